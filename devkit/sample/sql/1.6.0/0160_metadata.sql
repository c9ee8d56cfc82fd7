-- Expand: a table that earlier versions do not know.

CREATE TABLE transaction_metadata (
    transaction_id bigint NOT NULL,
    key            text NOT NULL,
    value          text NOT NULL,
    PRIMARY KEY (transaction_id, key)
);

-- Last, since it locks `transactions` against writing until the commit.
ALTER TABLE transaction_metadata
    ADD FOREIGN KEY (transaction_id) REFERENCES transactions (id);
