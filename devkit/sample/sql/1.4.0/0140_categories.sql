-- A good migration of a version whose program then never becomes healthy.

CREATE TABLE categories (
    name       text PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO categories (name) VALUES ('fee'), ('refund'), ('transfer');
