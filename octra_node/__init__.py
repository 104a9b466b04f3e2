"""The daemon: actors, transport, RPC, explorer. The only package with asyncio, sockets and logs."""
