-- Never ends: it waits for a night run that does not come. The Job's deadline ends it. It locks nothing that serves.

CREATE TABLE archived_transactions (
    id          bigint PRIMARY KEY,
    archived_at timestamptz NOT NULL DEFAULT now()
);

SELECT pg_sleep(86400);

INSERT INTO archived_transactions (id) SELECT id FROM transactions WHERE created_at < now() - interval '10 years';
