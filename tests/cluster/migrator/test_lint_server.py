"""What lint says of locks, of transactions and of types is what the server does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from migrator import grammar, lint_rules
from migrator.files import parse
from migrator.grammar import Name
from tests.cluster.migrator.conftest import Database

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]

SETUP = """
CREATE TABLE o (id bigint PRIMARY KEY);
CREATE TABLE t (id bigint PRIMARY KEY, a text, n integer NOT NULL DEFAULT 0, CONSTRAINT known FOREIGN KEY (id) REFERENCES o);
CREATE INDEX t_a ON t (a);
ALTER TABLE t ADD CONSTRAINT short CHECK (length(a) < 100) NOT VALID;
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();
CREATE POLICY p ON t USING (true);
CREATE RULE r AS ON DELETE TO o DO ALSO NOTHING;
CREATE VIEW v AS SELECT id FROM t;
CREATE MATERIALIZED VIEW m AS SELECT id FROM t;
CREATE UNIQUE INDEX m_id ON m (id);
CREATE SEQUENCE s;
CREATE SCHEMA other;
CREATE TABLE q (id bigint) PARTITION BY LIST (id);
CREATE TABLE q1 PARTITION OF q FOR VALUES IN (1);
CREATE TABLE loose (id bigint);
CREATE TYPE side AS ENUM ('debit', 'credit');
"""
STATEMENTS = [
    "ALTER TABLE t ADD COLUMN b text",
    "ALTER TABLE t ALTER a SET DEFAULT ''",
    "ALTER TABLE t ALTER a SET STATISTICS 9",
    "ALTER TABLE t ALTER a SET (n_distinct = 5)",
    "ALTER TABLE t ALTER a SET STORAGE EXTERNAL",
    "ALTER TABLE t SET (fillfactor = 70)",
    "ALTER TABLE t RESET (fillfactor)",
    "ALTER TABLE t CLUSTER ON t_a",
    "ALTER TABLE t SET WITHOUT CLUSTER",
    "ALTER TABLE t VALIDATE CONSTRAINT short",
    "ALTER TABLE t VALIDATE CONSTRAINT known",
    "ALTER TABLE t DISABLE TRIGGER g",
    "ALTER TABLE t ENABLE ALWAYS TRIGGER g",
    "ALTER TABLE t DISABLE TRIGGER USER",
    "ALTER TABLE t ADD FOREIGN KEY (n) REFERENCES o NOT VALID",
    "ALTER TABLE t ADD b bigint REFERENCES o",
    "ALTER TABLE t ADD CHECK (n >= 0) NOT VALID",
    "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE t REPLICA IDENTITY FULL",
    "ALTER TABLE t OWNER TO CURRENT_USER",
    "ALTER TABLE t RENAME TO u",
    "ALTER TABLE t RENAME a TO b",
    "ALTER TABLE t RENAME CONSTRAINT short TO brief",
    "ALTER TABLE t SET SCHEMA other",
    "ALTER TABLE q ATTACH PARTITION loose FOR VALUES IN (2)",
    "ALTER TABLE q DETACH PARTITION q1",
    "ALTER INDEX t_a RENAME TO by_a",
    "ALTER SEQUENCE s INCREMENT BY 2",
    "ALTER VIEW v RENAME TO w",
    "CREATE TABLE part PARTITION OF q FOR VALUES IN (3)",
    "CREATE TABLE n (x bigint REFERENCES o, LIKE t)",
    "CREATE SCHEMA third CREATE TABLE n (id bigint REFERENCES o)",
    "CREATE INDEX ON t (n)",
    "CREATE STATISTICS st ON a, n FROM t",
    "CREATE TRIGGER h BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
    "CREATE RULE r2 AS ON DELETE TO t DO ALSO NOTHING",
    "CREATE POLICY p2 ON t USING (true)",
    "ALTER POLICY p ON t USING (false)",
    "CREATE OR REPLACE VIEW v AS SELECT id FROM t WHERE id > 0",
    "CREATE VIEW w AS SELECT id FROM t",
    "REFRESH MATERIALIZED VIEW m",
    "REFRESH MATERIALIZED VIEW CONCURRENTLY m",
    "REINDEX TABLE t",
    "CLUSTER t USING t_a",
    "TRUNCATE loose",
    "LOCK TABLE t",
    "LOCK TABLE t, o IN SHARE MODE",
    "LOCK TABLE t IN SHARE UPDATE EXCLUSIVE MODE",
    "DROP TRIGGER g ON t",
    "DROP POLICY p ON t",
    "DROP RULE r ON o",
    "COMMENT ON TABLE t IS 'x'",
    "GRANT SELECT ON t TO PUBLIC",
    "ANALYZE t",
    "UPDATE t SET a = ''",
    "SELECT count(*) FROM t",
    "DO $$BEGIN ALTER TABLE t ADD COLUMN b text; END$$",
]
_HELD = """
SELECT c.relname::text, bool_or(l.mode = 'AccessExclusiveLock') FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
WHERE l.pid = pg_backend_pid() AND c.oid = ANY (%s) AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
  'AccessExclusiveLock') GROUP BY 1
"""


@pytest.fixture
def connection(base: Database) -> Iterator[psycopg.Connection]:
    base.execute(SETUP)
    with psycopg.connect(base.uri) as connection:
        yield connection
        connection.rollback()


def test_the_locks_that_lint_knows_are_those_that_the_server_takes(connection: psycopg.Connection) -> None:
    relations = [
        row[0] for row in connection.execute("SELECT oid FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'S')")
    ]
    connection.rollback()
    differ = {}
    for text in STATEMENTS:
        connection.execute(text.encode())
        held = {str(name): "readers" if reads else "writers" for name, reads in connection.execute(_HELD, (relations,))}
        connection.rollback()
        said: dict[str, str] = {}
        for command in grammar.commands(text, 1, {}):
            for lock in grammar.locks(command):
                if said.get(lock.name.name) != "readers":
                    said[lock.name.name] = lock.against
        renamed = {"t": "u"} if "RENAME TO u" in text else {"v": "w"} if "v RENAME TO w" in text else {}
        said = {renamed.get(name, name): against for name, against in said.items()}
        if said != held:
            differ[text] = f"lint {said}, server {held}"
    assert differ == {}


@pytest.mark.parametrize(
    "text",
    [
        "VACUUM t",
        "CREATE /* c */ INDEX CONCURRENTLY i ON t (a)",
        "DROP INDEX CONCURRENTLY t_a",
        "REINDEX (CONCURRENTLY) TABLE t",
        "REINDEX SCHEMA public",
        "CLUSTER",
        "DISCARD ALL",
        "CREATE DATABASE never",
        "ALTER SYSTEM SET work_mem = '8MB'",
        "ALTER TABLE q DETACH PARTITION q1 CONCURRENTLY",
        "DO $$BEGIN COMMIT; END$$",
        "DO $$BEGIN VACUUM t; END$$",
        "REINDEX (CONCURRENTLY false) TABLE t",
        "REINDEX (CONCURRENTLY off) TABLE t",
        "VACUUM (FULL) t",
        "ANALYZE t",
        "DISCARD PLANS",
        "CLUSTER t USING t_a",
        "DO $$BEGIN PERFORM 1; END$$",
        "ALTER TYPE side ADD VALUE 'both'; SELECT 'both'::side",
        "ALTER TYPE side ADD VALUE 'both'",
    ],
)
def test_what_lint_says_cannot_run_the_server_refuses(text: str, connection: psycopg.Connection) -> None:
    file = parse("0001_it.sql", text.encode())
    found = lint_rules.read(lint_rules.parsed([(file, "0001_it.sql")]), pending=False)
    refused = False
    try:
        for statement in file.statements:
            connection.execute(statement.text.encode())
    except psycopg.Error as error:
        refused = error.sqlstate in ("25001", "2D000", "55P04")
    assert any(each.level == "error" for each in found) == refused


def test_the_types_without_equality_are_the_server_s(connection: psycopg.Connection) -> None:
    names = connection.execute(
        "SELECT typname::text FROM pg_type WHERE typtype = 'b' AND typcategory <> 'A' AND typnamespace = 'pg_catalog'::regnamespace"
        " AND typisdefined AND typname NOT LIKE 'reg%' AND typname !~ '^pg_(node|ndist|dep|mcv|brin|ddl)'"
    ).fetchall()
    without = set()
    for (name,) in names:
        try:
            with connection.transaction():
                connection.execute(f"SELECT DISTINCT NULL::pg_catalog.{name}".encode())
        except psycopg.errors.UndefinedFunction:
            without.add(name)
    assert without == lint_rules._WITHOUT_EQUALITY


def test_names_are_compared_as_the_server_does() -> None:
    assert Name("", "t").same(Name("public", "t"))
    assert not Name("public", "t").same(Name("other", "t"))


def test_files_with_what_is_legal_today_are_all_read(tmp_path: Path) -> None:
    everything = (Path(__file__).parent / "everything.sql").read_bytes()
    (file,) = lint_rules.parsed([(parse("0001_everything.sql", everything), "")])
    assert file.not_read == ()
