-- Refuses to run while somebody has put the table maintenance.block there; succeeds once it is gone.
--   CREATE SCHEMA maintenance; CREATE TABLE maintenance.block ();    -- breaks it
--   DROP TABLE maintenance.block;                                    -- repairs it

CREATE TABLE closings (
    month     date PRIMARY KEY,
    closed_at timestamptz NOT NULL DEFAULT now()
);

DO $check$
BEGIN
    IF to_regclass('maintenance.block') IS NOT NULL THEN
        RAISE EXCEPTION 'the books are blocked for maintenance'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'DROP TABLE maintenance.block; then migrate again.';
    END IF;
END
$check$;
