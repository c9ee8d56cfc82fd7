-- Contract too early: 1.1.0 still reads and writes this column. The migration succeeds; the previous version breaks.

ALTER TABLE transactions DROP COLUMN reference;
