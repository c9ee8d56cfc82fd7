"""What a file sets or makes in its session ends with the file: at once, one by one and behind a pooler are the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo

import migrator
from migrator.errors import InvalidMigration, StatementFailed
from tests.cluster.migrator.conftest import QUIET, Database, assert_clean
from tests.cluster.migrator.test_fingerprint import take

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]

# Each may stand once in a file, in any order; names are the same in every file.
LEFT = (
    "SET search_path TO other",
    "SELECT pg_catalog.set_config('search_path', 'other', false)",
    "SET LOCAL search_path TO other, public",
    "SET ROLE {role}",
    "SET LOCAL ROLE {role}",
    "SET statement_timeout = '77s'",
    "SET DateStyle = 'German'",
    "SET client_encoding = 'LATIN1'",
    "DO $$BEGIN PERFORM set_config('lock_timeout', '1234', false); EXECUTE 'CREATE TEMP TABLE hidden ()'; END$$",
    "CREATE TEMP TABLE shadowed (a int)",
    "CREATE TEMP TABLE staging (a int) ON COMMIT DROP; INSERT INTO staging VALUES (1)",
    "CREATE TEMP TABLE checked (a int UNIQUE DEFERRABLE INITIALLY DEFERRED); INSERT INTO checked VALUES (1)",
    "CREATE TEMP VIEW looked AS SELECT 1",
    "CREATE TEMP SEQUENCE counted",
    "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE TYPE pg_temp.pair AS (a int)",
    "PREPARE p AS SELECT 1",
    "DECLARE held CURSOR WITH HOLD FOR SELECT 1",
    "DECLARE open CURSOR FOR SELECT * FROM public.child",
    "LISTEN z",
    "SELECT pg_advisory_lock(77)",
    "SELECT nextval('public.ids')",
    "SET CONSTRAINTS ALL DEFERRED",
    "SET CONSTRAINTS ALL IMMEDIATE",
    "SET CONSTRAINTS public.child_parent IMMEDIATE",
    "SET CONSTRAINTS public.now_unique DEFERRED",
    "INSERT INTO public.child VALUES ({file}, {file}); INSERT INTO public.parent VALUES ({file})",
    "INSERT INTO public.child VALUES ({file}, {file} + 100)",
    "UPDATE public.parent SET id = id + 1000",
    "ALTER TABLE public.child ADD COLUMN c{file} int",
    "CREATE TABLE public.new{file} (a int CONSTRAINT only{file} UNIQUE DEFERRABLE INITIALLY DEFERRED)",
    "DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET search_path TO other, public', current_database()); END$$",
    "DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET DateStyle TO ''SQL, DMY''', current_database()); END$$",
    "DO $$BEGIN EXECUTE format('ALTER ROLE %I IN DATABASE %I SET search_path TO public, other', session_user, current_database()); END$$",
    "SAVEPOINT s; SET LOCAL DateStyle = 'SQL'; ROLLBACK TO SAVEPOINT s",
    "SAVEPOINT s2; SET SESSION statement_timeout = 5000; RELEASE SAVEPOINT s2",
)
START = """
INSERT INTO shadowed VALUES ({file});
INSERT INTO public.seen
SELECT {file}, current_user, session_user, (SELECT string_agg(setting, ' ' ORDER BY name) FROM pg_settings WHERE name IN
       ('search_path', 'statement_timeout', 'DateStyle', 'client_encoding', 'lock_timeout')),
       (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_cursors WHERE name <> ''),
       (SELECT count(*) FROM pg_listening_channels()),
       (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 77 AND pid = pg_backend_pid()),
       (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema());
DO $$BEGIN
    PERFORM currval('public.ids'); INSERT INTO public.seen (file) VALUES (-{file});
EXCEPTION WHEN object_not_in_prerequisite_state THEN NULL; END$$;
"""
SETUP = """
DO $$BEGIN EXECUTE format('ALTER DATABASE %1$I RESET ALL; ALTER ROLE %2$I IN DATABASE %1$I RESET ALL', current_database(), session_user); END$$;
DROP SCHEMA IF EXISTS public, other, migrator CASCADE; CREATE SCHEMA public; CREATE SCHEMA other;
GRANT ALL ON SCHEMA public, other TO {role};
CREATE TABLE shadowed (a int); CREATE SEQUENCE ids;
CREATE TABLE seen (file int, u text, s text, settings text, prepared int, cursors int, listening int, locks int, temporary int);
CREATE TABLE parent (id int PRIMARY KEY, place int CONSTRAINT now_unique UNIQUE DEFERRABLE);
CREATE TABLE child (id int, parent int CONSTRAINT child_parent REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; GRANT ALL ON SEQUENCE ids TO {role};
ALTER TABLE child OWNER TO {role};
"""


def outcome(base: Database, run: Callable[[], object]) -> str:
    """What came of a run: where it stopped, or all that is in the database afterwards."""
    try:
        run()
    except StatementFailed as error:
        return f"{error.sqlstate} in {error.file}"
    tables = "SELECT string_agg(t::text, ' ' ORDER BY t::text) FROM (SELECT * FROM {}) t"
    rows = [base.value(tables.format(name)) for name in ("seen", "shadowed", "parent", "child", "ids")]
    names = base.value(
        "SELECT string_agg(name, ' ' ORDER BY number) FROM migrator.migrations WHERE applied_at IS NOT NULL"
    )
    return f"{rows} {names} {take(base.uri).digest}"


def write(base: Database, files: Sequence[Sequence[str]], role: str) -> list[Path]:
    for path in base.directory.iterdir():
        path.unlink()
    paths = []
    for number, statements in enumerate(files, 1):
        text = START + ";\n".join(statements)
        paths.append(base.directory / f"{number:04}_file.sql")
        paths[-1].write_text(text.replace("{file}", str(number)).replace("{role}", role))
    return paths


def one_by_one(base: Database, paths: Sequence[Path]) -> None:
    """As many runs as there are files: each finds what the one before has left."""
    for path in paths:
        path.rename(path.with_suffix(".later"))
    for path in paths:
        path.with_suffix(".later").rename(path)
        migrator.run(base.uri, base.directory, QUIET, lambda _: None)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(files=st.lists(st.lists(st.sampled_from(LEFT), unique=True, min_size=1, max_size=6), min_size=2, max_size=4))
@example(files=[[each] for each in LEFT if "100)" not in each and "1000" not in each])
@example(
    files=[
        ["SET CONSTRAINTS ALL IMMEDIATE"],
        [
            next(each for each in LEFT if "only{file}" in each),
            "INSERT INTO public.new{file} VALUES (1), (1); DELETE FROM public.new{file}",
        ],
    ]
)
def test_any_files_at_once_one_by_one_and_behind_a_pooler_are_the_same_and_leave_no_trace(
    files: list[list[str]], role: str, base: Database, make_database: Callable[[], Database], pooled: str
) -> None:
    if not hasattr(make_database, "others"):
        make_database.others = (make_database(), make_database())  # type: ignore[attr-defined]
    stepwise, behind = make_database.others  # type: ignore[attr-defined]
    paths = {}
    for each in (base, stepwise, behind):
        each.execute(SETUP.format(role=role))
        paths[each.name] = write(each, files, role)
    through = make_conninfo(pooled, dbname=behind.name)
    found = outcome(stepwise, lambda: one_by_one(stepwise, paths[stepwise.name]))
    assert outcome(base, lambda: migrator.run(base.uri, base.directory, QUIET, lambda _: None)) == found
    assert outcome(behind, lambda: migrator.run(through, behind.directory, QUIET, lambda _: None)) == found
    assert_clean(through)


def test_a_temporary_table_hides_no_table_of_a_later_file(base: Database) -> None:
    # https://github.com/ariga/atlas/issues/3574
    base.write(
        _0001_work="CREATE TEMP TABLE note (code text); INSERT INTO note VALUES ('a')",
        _0002_note="CREATE TABLE IF NOT EXISTS public.note (code text)",
        _0003_first="INSERT INTO note VALUES ('b')",
    )
    migrator.run(base.uri, base.directory, QUIET)
    assert base.value("SELECT array_agg(code) FROM public.note") == ["b"]


def test_what_one_file_leaves_to_be_checked_at_commit_is_checked_before_the_next(base: Database) -> None:
    # drizzle-kit#525: "cannot ALTER TABLE because it has pending trigger events"
    base.write(
        _0001_tables="CREATE TABLE team (id int PRIMARY KEY);"
        "CREATE TABLE member (id int, team int REFERENCES team DEFERRABLE INITIALLY DEFERRED)",
        _0002_rows="INSERT INTO member VALUES (1, 1); INSERT INTO team VALUES (1)",
        _0003_column="ALTER TABLE member ADD COLUMN nick text; ALTER TABLE team ADD COLUMN name text",
        _0004_rows="INSERT INTO member VALUES (2, 2, ''); INSERT INTO team VALUES (2, '')",
    )
    assert len(migrator.run(base.uri, base.directory, QUIET).applied) == 4


def test_within_one_file_the_hint_says_what_is_in_the_way(base: Database) -> None:
    base.write(
        _0001_a="CREATE TABLE a (id int PRIMARY KEY, up int REFERENCES a DEFERRABLE INITIALLY DEFERRED);"
        "INSERT INTO a VALUES (1, 1); ALTER TABLE a ADD COLUMN b int"
    )
    with pytest.raises(StatementFailed) as caught:
        migrator.run(base.uri, base.directory, QUIET)
    assert caught.value.sqlstate == "55006"
    assert "SET CONSTRAINTS ALL IMMEDIATE" in caught.value.hint


def test_constraints_of_one_name_of_which_only_some_are_deferrable_do_no_harm(base: Database) -> None:
    base.execute("CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE a (p int CONSTRAINT same REFERENCES p)")
    base.execute("CREATE TABLE b (p int CONSTRAINT same REFERENCES p DEFERRABLE INITIALLY DEFERRED)")
    row = "INSERT INTO b VALUES ({0}); INSERT INTO p VALUES ({0})"
    base.write(_0001_a=row.format(1), _0002_b=row.format(2))
    assert migrator.run(base.uri, base.directory, QUIET).outcome == "migrated"


def test_a_file_that_makes_its_transaction_read_only_does_so_for_itself(base: Database) -> None:
    base.write(_0001_a="CREATE TABLE a (); SET TRANSACTION READ ONLY; SELECT 1", _0002_b="CREATE TABLE b ()")
    assert len(migrator.run(base.uri, base.directory, QUIET).applied) == 2


ALONE = "-- migrate: non-transactional\n"


@pytest.mark.parametrize(
    "sets",
    [
        "SELECT pg_catalog.set_config('search_path', 's, public', false)",
        "SET search_path = s, public",
        "PREPARE x AS SELECT 1; SET search_path = s",
    ],
)
def test_a_resumed_file_has_what_it_had_set_by_whatever_statement(sets: str, base: Database) -> None:
    # https://github.com/golang-migrate/migrate/issues/156
    base.execute("CREATE SCHEMA s; CREATE TABLE t (id int); INSERT INTO t VALUES (0)")
    base.write(_0001_a=f"{ALONE}{sets};\nALTER TABLE public.t ADD CHECK (id > 0);\nCREATE TABLE u ()")
    with pytest.raises(StatementFailed):
        migrator.run(base.uri, base.directory, QUIET)
    base.execute("DELETE FROM t")
    migrator.run(base.uri, base.directory, QUIET)
    assert base.value("SELECT to_regclass('s.u') IS NOT NULL AND to_regclass('public.u') IS NULL")


@pytest.mark.parametrize(
    ("makes", "uses", "line"),
    [
        ("CREATE TEMP TABLE x AS SELECT 1 AS id", "INSERT INTO t SELECT id FROM x", 2),
        ("DO $$BEGIN PERFORM set_config('search_path', 's', false); END$$", "CREATE TABLE u ()", 2),
    ],
)
def test_a_resumed_file_does_not_go_on_without_what_it_had_made(
    makes: str, uses: str, line: int, base: Database
) -> None:
    base.execute("CREATE SCHEMA s; CREATE TABLE t (id int); INSERT INTO t VALUES (0)")
    base.write(_0001_a=f"{ALONE}{makes};\nALTER TABLE public.t ADD CHECK (id > 0);\n{uses}")
    with pytest.raises(StatementFailed):
        migrator.run(base.uri, base.directory, QUIET)
    base.execute("DELETE FROM t")
    with pytest.raises(InvalidMigration, match="has ended with that") as caught:
        migrator.run(base.uri, base.directory, QUIET)
    assert caught.value.line == line
    # As the hint has it: the file ends there, and another does the rest.
    base.write(_0001_a=f"{ALONE}{makes}", _0002_b="ALTER TABLE public.t ADD CHECK (id > 0); CREATE TABLE u ()")
    assert len(migrator.run(base.uri, base.directory, QUIET).applied) == 2


def test_a_resumed_file_goes_on_without_what_the_rest_does_not_use(base: Database) -> None:
    base.execute("CREATE TABLE t (id int); INSERT INTO t VALUES (0)")
    base.write(_0001_a=f"{ALONE}CREATE TEMP TABLE x ();\nALTER TABLE t ADD CHECK (id > 0)")
    with pytest.raises(StatementFailed):
        migrator.run(base.uri, base.directory, QUIET)
    base.execute("DELETE FROM t")
    assert migrator.run(base.uri, base.directory, QUIET).outcome == "migrated"


ENUM = {
    "_0001_job": "CREATE TYPE phase AS ENUM ('queued'); CREATE TABLE job (phase phase DEFAULT 'queued'); INSERT INTO job DEFAULT VALUES",
    "_0002_paused": "ALTER TYPE phase ADD VALUE 'paused'",
    "_0003_other": "CREATE TABLE other ()",
}


def test_a_new_value_of_an_enum_is_committed_before_a_later_file_uses_it(base: Database) -> None:
    # https://github.com/riverqueue/river/issues/681
    base.write(**ENUM, _0004_use="UPDATE job SET phase = 'paused'")
    said: list[str] = []
    assert len(migrator.run(base.uri, base.directory, QUIET, said.append).applied) == 4
    assert base.value("SELECT phase::text FROM job") == "paused"
    assert any("0002_paused.sql ends a transaction" in line for line in said)


def test_where_nothing_uses_the_new_value_all_files_stay_one_transaction(base: Database) -> None:
    base.write(**ENUM, _0004_fails="SELECT 1/0")
    with pytest.raises(StatementFailed):
        migrator.run(base.uri, base.directory, QUIET)
    assert base.value("SELECT to_regclass('job') IS NULL AND to_regclass('migrator.migrations') IS NULL")


def test_no_more_than_the_new_value_demands_is_committed_when_the_rest_fails(base: Database) -> None:
    base.write(**ENUM, _0004_use="UPDATE job SET phase = 'paused'; SELECT 1/0")
    said: list[str] = []
    with pytest.raises(StatementFailed) as caught:
        migrator.run(base.uri, base.directory, QUIET, said.append)
    assert base.value("SELECT to_regclass('job') IS NOT NULL AND to_regclass('other') IS NULL")
    assert said[-1] == "rolled back 0003_other.sql, 0004_use.sql; 0001_job.sql, 0002_paused.sql stays committed"
    assert caught.value.more["applied"] == ["0001_job.sql", "0002_paused.sql"]


def test_within_one_file_a_new_value_cannot_be_used_and_the_hint_says_what_to_do(base: Database) -> None:
    base.execute("CREATE TYPE phase AS ENUM ('queued')")
    base.write(_0001_a="ALTER TYPE phase ADD VALUE 'paused'; SELECT 'paused'::phase")
    with pytest.raises(StatementFailed) as caught:
        migrator.run(base.uri, base.directory, QUIET)
    assert caught.value.sqlstate == "55P04"
    assert "file of its own" in caught.value.hint


def test_a_file_that_adds_and_uses_a_value_itself_has_nothing_committed_for_it(base: Database) -> None:
    base.write(
        _0001_job="CREATE TYPE phase AS ENUM ('queued')",
        _0002_both="ALTER TYPE phase ADD VALUE 'paused'; SELECT 'paused'::phase",
    )
    with pytest.raises(StatementFailed):
        migrator.run(base.uri, base.directory, QUIET)
    assert base.value("SELECT to_regtype('phase') IS NULL")


TO_DATABASE = "DO $$BEGIN EXECUTE format('ALTER DATABASE %I {}', current_database()); END$$"
RECORDS = "INSERT INTO public.seen SELECT current_setting('search_path'), current_setting('timezone')"


@pytest.mark.parametrize(
    "gives",
    [
        [TO_DATABASE.format("SET search_path TO other")],
        [TO_DATABASE.format("SET timezone TO ''Asia/Tokyo''")],
        [TO_DATABASE.format(f"SET timezone TO ''{each}''") for each in ("Asia/Tokyo", "Africa/Cairo")],
        [
            "DO $$BEGIN EXECUTE format('ALTER ROLE %I IN DATABASE %I SET search_path TO other', session_user, current_database()); END$$"
        ],
        [TO_DATABASE.format("SET search_path TO other"), TO_DATABASE.format("RESET search_path")],
        [TO_DATABASE.format("RESET timezone")],
        [
            TO_DATABASE.format("RESET ALL"),
            TO_DATABASE.format("SET search_path TO other"),
            TO_DATABASE.format("RESET ALL"),
        ],
        ["-- migrate: non-transactional\n" + TO_DATABASE.format("SET search_path TO other")],
        [TO_DATABASE.format("SET search_path TO other"), f"-- migrate: non-transactional\n{RECORDS}; SELECT 1"],
    ],
)
def test_what_a_file_gives_the_database_or_the_role_the_next_file_finds(
    gives: list[str], make_database: Callable[[], Database]
) -> None:
    found = []
    for how in (one_by_one, lambda base, _: migrator.run(base.uri, base.directory, QUIET)):
        base = make_database()
        base.execute("CREATE SCHEMA other; CREATE TABLE seen (search_path text, timezone text)")
        base.execute(TO_DATABASE.format("SET timezone TO ''Europe/Paris''"))
        paths = []
        for number, text in enumerate([each for gift in gives for each in (gift, RECORDS)], 1):
            paths.append(base.directory / f"{number:04}_file.sql")
            paths[-1].write_text(text)
        how(base, paths)
        found.append(base.value("SELECT string_agg(s::text, ' ') FROM public.seen s"))
    assert found[0] == found[1]
    assert "Paris" in found[0] or "Tokyo" in found[0] or "RESET" in str(gives)


def test_the_files_before_and_after_a_setting_stay_one_transaction(base: Database) -> None:
    base.write(
        _0001_a="CREATE TABLE a ()", _0002_b=TO_DATABASE.format("SET search_path TO other"), _0003_c="SELECT 1/0"
    )
    with pytest.raises(StatementFailed):
        migrator.run(base.uri, base.directory, QUIET)
    assert base.value("SELECT to_regclass('public.a') IS NULL AND current_setting('search_path') <> 'other'")


SAME = """
    CREATE TABLE p (id int PRIMARY KEY);
    CREATE TABLE a (p int CONSTRAINT same REFERENCES p {0}); CREATE TABLE b (p int CONSTRAINT same REFERENCES p {1})
"""


@pytest.mark.parametrize(
    "kinds",
    [("", "DEFERRABLE INITIALLY DEFERRED"), ("DEFERRABLE", "DEFERRABLE INITIALLY DEFERRED"), ("", "DEFERRABLE")],
)
@pytest.mark.parametrize(
    "files",
    [
        ["INSERT INTO b VALUES (1); INSERT INTO p VALUES (1)", "ALTER TABLE b ADD COLUMN c int", "INSERT INTO b VALUES (2); INSERT INTO p VALUES (2)"],
        ["INSERT INTO b VALUES (1); INSERT INTO p VALUES (1)", "INSERT INTO a VALUES (1); ALTER TABLE a ADD COLUMN c int"],
        ["INSERT INTO b VALUES (1); INSERT INTO p VALUES (1)", "INSERT INTO a VALUES (9); INSERT INTO p VALUES (9)"],
        ["INSERT INTO b VALUES (1)", "SELECT 1"],
        ["SET CONSTRAINTS ALL IMMEDIATE", "INSERT INTO b VALUES (1); INSERT INTO p VALUES (1)"],
        ["SET CONSTRAINTS ALL DEFERRED; INSERT INTO b VALUES (1); INSERT INTO p VALUES (1)", "INSERT INTO a VALUES (9); INSERT INTO p VALUES (9)"],
    ],
)  # fmt: skip
def test_constraints_of_one_name_are_as_deferred_in_the_next_file_as_in_a_transaction_of_its_own(
    files: list[str], kinds: tuple[str, str], make_database: Callable[[], Database]
) -> None:
    found = []
    for how in (one_by_one, lambda base, _: migrator.run(base.uri, base.directory, QUIET)):
        base = make_database()
        base.execute(SAME.format(*kinds))
        paths = []
        for number, text in enumerate(files, 1):
            paths.append(base.directory / f"{number:04}_file.sql")
            paths[-1].write_text(text)
        try:
            how(base, paths)
            found.append(
                base.value(
                    "SELECT concat((SELECT count(*) FROM a), (SELECT count(*) FROM b), (SELECT count(*) FROM p))"
                )
            )
        except StatementFailed as error:
            found.append(f"{error.sqlstate} in {error.file}")
    assert found[0] == found[1]


CATCHES = "BEGIN UPDATE job SET phase = 'paused'; EXCEPTION WHEN {} THEN INSERT INTO other VALUES (1); END"


@pytest.mark.parametrize(
    "uses",
    [
        f"DO $$ {CATCHES.format('OTHERS')} $$",
        f"DO $$ BEGIN {CATCHES.format('unsafe_new_enum_value_usage')}; END $$",
        f"DO $$ BEGIN EXECUTE $x$DO $y$ {CATCHES.format('SQLSTATE $z$55P04$z$')} $y$ $x$; END $$",
        f"CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ {CATCHES.format('OTHERS')} $$; SELECT f()",
        "SELECT tries()",
        "DO $$ BEGIN CALL calls(); END $$",
        "INSERT INTO fires VALUES (1)",
    ],
)
def test_where_something_would_catch_that_a_value_cannot_be_used_it_is_committed_before(
    uses: str, base: Database
) -> None:
    base.write(**{**ENUM, "_0003_other": "CREATE TABLE other (n int)"}, _0004_use=uses)
    base.execute(f"""
        CREATE FUNCTION tries() RETURNS void LANGUAGE plpgsql AS $$ {CATCHES.format("OTHERS")} $$;
        CREATE PROCEDURE calls() LANGUAGE plpgsql AS $$ {CATCHES.format("OTHERS")} $$;
        CREATE FUNCTION fires() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {CATCHES.format("OTHERS")}; RETURN NEW; END $$;
        CREATE TABLE fires (a int); CREATE TRIGGER fires BEFORE INSERT ON fires FOR EACH ROW EXECUTE FUNCTION fires()
    """)
    assert len(migrator.run(base.uri, base.directory, QUIET).applied) == 4
    assert base.value("SELECT phase::text FROM job") == "paused"
    assert base.value("SELECT count(*) FROM other") == 0
