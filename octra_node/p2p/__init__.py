"""Links between nodes: frames, handshake and flow control over carriers of bytes (libp2p, TLS, memory)."""
