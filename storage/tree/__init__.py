"""The state tree: rows of branches, batch updates, ways to a leaf."""
