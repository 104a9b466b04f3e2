"""What a node answers to people and programs: JSON-RPC, REST, pages. No route here can spend anything."""
