-- Takes 12 seconds and succeeds. It locks nothing that serves.

CREATE TABLE statements (
    account    text NOT NULL,
    month      date NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account, month)
);

SELECT pg_sleep(12);

CREATE INDEX statements_month ON statements (month);
