"""A small double-entry ledger with the contract of a Formance module: what the devkit rolls out."""
