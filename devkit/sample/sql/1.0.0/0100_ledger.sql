-- A double-entry ledger: every transaction moves amounts between accounts and sums to zero.
-- Amounts are integers of the smallest unit (cents).

CREATE TABLE accounts (
    address    text PRIMARY KEY,
    balance    bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE transactions (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    idempotency_key text NOT NULL UNIQUE,
    request_hash    bytea NOT NULL,
    description     text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE postings (
    transaction_id bigint NOT NULL REFERENCES transactions (id),
    position       integer NOT NULL,
    account        text NOT NULL REFERENCES accounts (address),
    amount         bigint NOT NULL CHECK (amount <> 0),
    PRIMARY KEY (transaction_id, position)
);

CREATE INDEX postings_account ON postings (account);

CREATE FUNCTION postings_must_balance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT sum(amount) FROM postings WHERE transaction_id = NEW.transaction_id) <> 0 THEN
        RAISE EXCEPTION 'postings of transaction % do not sum to zero', NEW.transaction_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END;
$$;

-- Checked at commit, when all postings of the transaction are there.
CREATE CONSTRAINT TRIGGER postings_must_balance AFTER INSERT OR UPDATE ON postings
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION postings_must_balance();
