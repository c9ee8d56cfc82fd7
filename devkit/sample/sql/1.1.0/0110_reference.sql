-- Expand: 1.0.0 neither reads nor writes this column and goes on working. No default, so no row is rewritten.

ALTER TABLE transactions ADD COLUMN reference text;

COMMENT ON COLUMN transactions.reference IS 'The caller''s own name for the transaction, since 1.1.0.';
