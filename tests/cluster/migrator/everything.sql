-- One of every kind of object that a fingerprint knows.
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE SCHEMA books;
CREATE TYPE books.direction AS ENUM ('debit', 'credit');
CREATE DOMAIN books.amount AS numeric(20, 0) DEFAULT 0 NOT NULL CONSTRAINT positive CHECK (VALUE >= 0);
CREATE TYPE books.pair AS (left_side text, right_side integer);
CREATE TYPE books.period AS RANGE (subtype = timestamptz);
CREATE SEQUENCE books.numbers AS integer START 10 INCREMENT 5 MAXVALUE 100000 CACHE 7 CYCLE;
CREATE COLLATION books.german (provider = icu, locale = 'de');

CREATE FUNCTION books.twice(x integer, times integer DEFAULT 2) RETURNS integer
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 7 RETURN x * times;
CREATE FUNCTION books.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = books AS
    $$BEGIN NEW.noted := now(); RETURN NEW; END$$;
CREATE PROCEDURE books.nothing() LANGUAGE sql AS $$SELECT 1$$;
CREATE AGGREGATE books.total (integer) (SFUNC = int4pl, STYPE = integer, INITCOND = '0');
CREATE OPERATOR books.=== (LEFTARG = integer, RIGHTARG = integer, FUNCTION = int4eq);
CREATE CAST (books.pair AS text) WITH INOUT;
CREATE TEXT SEARCH CONFIGURATION books.plain (COPY = simple);

CREATE TABLE books.accounts (
    id bigint GENERATED ALWAYS AS IDENTITY (START 1000) PRIMARY KEY,
    "Odd name" text COLLATE "C" NOT NULL DEFAULT 'it''s',
    opened timestamptz DEFAULT '2020-01-01 00:00:00+02',
    side books.direction DEFAULT 'debit',
    balance books.amount,
    twice integer GENERATED ALWAYS AS (books.twice(7)) STORED,
    noted timestamptz,
    tags text[],
    CONSTRAINT odd CHECK ("Odd name" <> '') NOT VALID
) WITH (fillfactor = 70, toast.autovacuum_enabled = off);
ALTER TABLE books.accounts ALTER noted SET STATISTICS 50, ALTER tags SET STORAGE EXTERNAL, ALTER opened SET (n_distinct = 5);
CREATE UNIQUE INDEX accounts_name ON books.accounts (lower("Odd name")) INCLUDE (side) WHERE noted IS NULL;
CREATE INDEX accounts_trigram ON books.accounts USING gin ("Odd name" gin_trgm_ops);
CREATE STATISTICS books.related ON side, balance FROM books.accounts;
CREATE TABLE books.postings (
    account bigint REFERENCES books.accounts ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    during tstzrange,
    number integer DEFAULT nextval('books.numbers') UNIQUE,
    EXCLUDE USING gist (during WITH &&)
);
ALTER SEQUENCE books.numbers OWNED BY books.postings.number;
ALTER TABLE books.postings REPLICA IDENTITY FULL;
CREATE TABLE books.events (at date NOT NULL, what text, PRIMARY KEY (at, what)) PARTITION BY RANGE (at);
CREATE TABLE books.events_2025 PARTITION OF books.events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE books.events_rest PARTITION OF books.events DEFAULT;
CREATE INDEX events_what ON books.events (what);
CREATE TABLE books.base (common integer);
CREATE TABLE books.derived (own integer) INHERITS (books.base);
CREATE UNLOGGED TABLE books.scratch (x integer);
CREATE VIEW books.open_accounts WITH (security_barrier) AS SELECT id, "Odd name" FROM books.accounts WHERE noted IS NULL;
CREATE MATERIALIZED VIEW books.sums AS SELECT side, count(*) FROM books.accounts GROUP BY side WITH NO DATA;
CREATE TRIGGER note BEFORE UPDATE ON books.accounts FOR EACH ROW WHEN (OLD.noted IS NULL) EXECUTE FUNCTION books.note();
ALTER TABLE books.accounts ENABLE ALWAYS TRIGGER note;
CREATE RULE quiet AS ON DELETE TO books.scratch DO INSTEAD NOTHING;
ALTER TABLE books.accounts ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON books.accounts FOR SELECT TO PUBLIC USING (side = 'debit');
GRANT SELECT ON books.accounts TO pg_monitor WITH GRANT OPTION;
GRANT UPDATE (noted) ON books.accounts TO PUBLIC;
REVOKE EXECUTE ON FUNCTION books.twice(integer, integer) FROM PUBLIC;
REVOKE DELETE ON books.postings FROM CURRENT_USER;
ALTER DEFAULT PRIVILEGES IN SCHEMA books GRANT SELECT ON TABLES TO pg_monitor;
