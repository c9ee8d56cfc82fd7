-- Who booked it. The program searches by prefix now, so the trigger and what it called go.

ALTER TABLE transactions ADD COLUMN booked_by text;

DROP TRIGGER fill_account_segments ON accounts;
DROP FUNCTION fill_account_segments();
DROP FUNCTION account_segments(text);
