-- The batch that it came in.

ALTER TABLE transactions ADD COLUMN batch bigint;
