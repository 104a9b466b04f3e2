"""The actor kernel (mailbox, references, supervisor, workers) and one module per actor of the node."""
