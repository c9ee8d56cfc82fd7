-- Fails in its second statement: the mistake of somebody who tried it on a database without a zero in it.

CREATE TABLE settlements (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account    text NOT NULL,
    settled_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO settlements (account)
SELECT 'settlement:' || (100 / (count(*) - count(*)))
FROM accounts;

CREATE INDEX settlements_account ON settlements (account);
