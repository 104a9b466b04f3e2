"""Circles: isolated wasm applications with key-value state, a balance and a web origin of their own."""
