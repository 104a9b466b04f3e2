"""The command line: talks to a node by its API, and to key files."""
