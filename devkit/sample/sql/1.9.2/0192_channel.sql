-- How it reached the ledger.

ALTER TABLE transactions ADD COLUMN channel text;
