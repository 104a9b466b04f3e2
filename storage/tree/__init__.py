"""The state tree: versioned nodes in the store, batch updates, proofs."""
