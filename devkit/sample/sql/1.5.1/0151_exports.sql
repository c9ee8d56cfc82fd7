-- Takes 12 seconds and succeeds: time enough to kill whoever waits for it. It locks nothing that serves.

CREATE TABLE exports (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    exported_at timestamptz NOT NULL DEFAULT now()
);

SELECT pg_sleep(12);

COMMENT ON TABLE exports IS 'Files handed out, since 1.5.1.';
