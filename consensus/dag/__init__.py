"""The DAG: store, decision rule, order, proposals, catch-up, and the one `step` that joins them."""
