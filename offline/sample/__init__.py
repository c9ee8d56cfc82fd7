"""A small double-entry ledger with the contract of a Formance module: what the offline kit rolls out."""
