"""What wasm a Circle may run, and what it costs: reader, checker, meter and the gas table. Pure."""
