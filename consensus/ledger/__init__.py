"""The rules of the ledger: transactions, balances, encrypted balances, evaluation jobs, Circles. Pure.

Start at `transition.apply_commit` for what a commit does to the state, at `transactions` for signed bytes, and at
`duties.duties` for what a seat owes to the chain.
"""
