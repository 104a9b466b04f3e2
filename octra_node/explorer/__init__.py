"""The pages that every node serves at `/`: rendered on the server, whole without any script."""
