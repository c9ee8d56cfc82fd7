"""What is dropped, replaced or migrated is this project's own, of the same stack and module; nothing else loses a row."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from migrator import backup, cli, database, marks, rehearsal, restore, scratch
from migrator.database import Target
from migrator.errors import ForeignDatabase, InvalidMigration, MigratorError
from migrator.marks import KEPT, LIVE, Mark, Owner
from migrator.scratch import PROOF, REHEARSAL, RESTORING, Scratch
from migrator.settings import Settings
from migrator.stores import Folder
from settings import scratch_name
from settings.databases import PURPOSES
from tests.cluster.migrator.conftest import QUIET, remove

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]

ROWS = 1000


@dataclass
class Server:
    """A server on which a test makes databases; what it has named is gone at the end."""

    uri: str
    beginning: str

    def name(self, name: str) -> str:
        return f"{self.beginning}{name}"

    def make(self, name: str, comment: str = "") -> str:
        """Makes a database with rows in it, that is nobody's unless the comment says so."""
        full = self.name(name)
        with psycopg.connect(self.uri, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(full)))
            if comment:
                text = sql.SQL("COMMENT ON DATABASE {} IS {}")
                connection.execute(text.format(sql.Identifier(full), sql.Literal(comment)))
        self.execute(full, f"CREATE TABLE entries AS SELECT n FROM generate_series(1, {ROWS}) n")
        return full

    def execute(self, name: str, statement: str) -> None:
        with psycopg.connect(make_conninfo(self.uri, dbname=name), autocommit=True) as connection:
            connection.execute(statement.encode())

    def rows(self, name: str) -> int:
        with psycopg.connect(make_conninfo(self.uri, dbname=name)) as connection:
            row = connection.execute("SELECT count(*) FROM entries").fetchone()
            return int(row[0]) if row else 0

    def found(self, name: str) -> marks.Found:
        with psycopg.connect(self.uri) as connection:
            [found] = marks.databases(connection, name)
            return found

    def all(self) -> list[str]:
        with psycopg.connect(self.uri) as connection:
            names = [each.name for each in marks.databases(connection)]
        return [name.removeprefix(self.beginning) for name in names if name.startswith(self.beginning)]


@pytest.fixture
def here(server: str) -> Iterator[Server]:
    made = Server(server, f"own-{secrets.token_hex(3)}-")
    yield made
    for name in made.all():
        remove(made.name(name), server)


class Later(datetime):
    """A clock that goes on by a minute each time it is asked: two restores in one second are one too many."""

    asked = 0

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        cls.asked += 1
        return datetime.fromtimestamp(1_900_000_000 + 60 * cls.asked, tz)


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore, "datetime", Later)


PROD = Owner("rollout.prod.11111111", "ledger")
OTHER = Owner("rollout.staging.22222222", "ledger")


def environment(here: Server, name: str, owner: Owner = PROD, digits: str = "0123abcd") -> dict[str, str]:
    return {
        "POSTGRES_URI": make_conninfo(here.uri, dbname=name),
        "POSTGRES_DATABASE": name,
        "SCRATCH_DATABASE": scratch.name_for(name, REHEARSAL, digits),
        "ROLLOUT_STACK": owner.stack,
        "ROLLOUT_MODULE": owner.module,
        "MIGRATE_CONNECT_BUDGET": "5",
    }


def prepare(env: dict[str, str], folder: Path) -> None:
    rehearsal.prepare(env, folder, "schema", 0, (), print)


def judge(env: dict[str, str], folder: Path) -> dict[str, Any]:
    return rehearsal.judge(env, folder, None, previous="1.0.0", log=print)


def upgraded(env: dict[str, str], folder: Path) -> None:
    """All that an upgrade does with databases, and a restore after it."""
    folder.mkdir()
    (backups := folder / "backups").mkdir()
    assert cli.main(["create-database"], env) == 0
    prepare(env, folder)
    judge(env, folder)
    backup.take(env, Folder(backups), module="ledger", version="1.0.0", target="1.1.0", keep=3, log=print)
    for _ in range(2):
        restore.restore(env, Folder(backups), "", differences=False, log=print)


def test_an_upgrade_and_a_restore_lose_no_row_of_databases_with_the_names_of_scratch_databases(
    here: Server, tmp_path: Path
) -> None:
    ledger = here.make("ledger")
    others = [here.make(name) for name in ("ledger-rehearsal", "ledger-restoring", "ledger-rehearsal-deadbeef")]
    upgraded(environment(here, ledger), tmp_path / "a")
    for each in others:  # and they are modules of their own
        upgraded(environment(here, each, Owner(PROD.stack, each[-9:])), tmp_path / each)
        assert here.rows(ledger) == ROWS
    assert {name: here.rows(name) for name in others} == dict.fromkeys(others, ROWS)
    assert not [name for name in here.all() if re.search(r"-(rehearsal|restoring)-(?!deadbeef)[0-9a-f]{8}$", name)]


@pytest.mark.parametrize(
    "comment",
    [
        "",
        "the auditors'",
        str(Mark.of(OTHER, REHEARSAL, "")),
        str(Mark.of(Owner(PROD.stack, "payments"), REHEARSAL, "")),
        str(Mark.of(PROD, LIVE, "")),
        "rollout: {}",
    ],
)
def test_a_database_of_the_very_name_that_is_not_its_own_is_refused_and_left_alone(
    here: Server, tmp_path: Path, comment: str
) -> None:
    ledger = here.make("ledger")
    taken = here.make("ledger-rehearsal-0123abcd", comment.replace('"database": ""', f'"database": "{ledger}"'))
    env = environment(here, ledger)
    with pytest.raises(ForeignDatabase, match=r"is there and .* left alone"):
        prepare(env, tmp_path)
    assert rehearsal.Databases.of(env).copy.target.name == taken
    with pytest.raises(ForeignDatabase):
        rehearsal.Databases.of(env).copy.drop(QUIET, print)
    assert here.rows(taken) == ROWS


def test_a_marked_one_that_was_renamed_to_be_kept_is_kept(here: Server, tmp_path: Path) -> None:
    ledger = here.make("ledger")
    env = environment(here, ledger)
    prepare(env, tmp_path)
    here.execute("postgres", f'ALTER DATABASE "{env["SCRATCH_DATABASE"]}" RENAME TO "{here.name("keep")}"')
    prepare(environment(here, ledger, digits="aaaaaaaa"), tmp_path)
    assert "keep" in here.all()


def test_what_a_killed_rehearsal_left_goes_with_the_next_but_not_with_another_module_s(
    here: Server, tmp_path: Path
) -> None:
    ledger, other = here.make("ledger"), here.make("other")
    prepare(environment(here, ledger), tmp_path)
    left = "ledger-rehearsal-0123abcd"
    prepare(environment(here, other, OTHER), tmp_path)
    assert left in here.all()
    env = environment(here, ledger, digits="aaaaaaaa")
    prepare(env, tmp_path)
    assert left not in here.all()
    judge(env, tmp_path)
    assert here.all() == ["ledger", "other", "other-rehearsal-0123abcd"]


class Killed(BaseException):
    """What comes between CREATE DATABASE and COMMENT."""


@pytest.mark.parametrize("marked", [False, True])
def test_killed_while_it_is_made_it_is_known_again_and_nobody_has_been_in_it(
    here: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, marked: bool
) -> None:
    ledger = here.make("ledger")

    def killed(*arguments: Any) -> None:
        if marked:
            marks.put(*arguments)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(scratch, "put", killed)
        with pytest.raises(Killed):
            prepare(environment(here, ledger), tmp_path)
    half = here.found(here.name("ledger-rehearsal-0123abcd"))
    assert (half.comment, half.admits) == (None, False)
    with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
        here.execute(half.name, "SELECT")
    prepare(environment(here, ledger, digits="aaaaaaaa"), tmp_path)
    assert here.all() == ["ledger", "ledger-rehearsal-aaaaaaaa"]


@pytest.mark.parametrize(
    "how", ["ALLOW_CONNECTIONS false", "CONNECTION LIMIT {number}", "ALLOW_CONNECTIONS false CONNECTION LIMIT 1"]
)
def test_one_that_only_looks_half_made_is_left_alone(here: Server, tmp_path: Path, how: str) -> None:
    ledger = here.make("ledger")
    alike = here.make("ledger-rehearsal-deadbeef")
    number = scratch._number(Mark.of(PROD, REHEARSAL, ledger), alike)
    here.execute("postgres", f'ALTER DATABASE "{alike}" {how.format(number=number)}')
    upgraded(environment(here, ledger), tmp_path / "a")
    here.execute("postgres", f'ALTER DATABASE "{alike}" ALLOW_CONNECTIONS true CONNECTION LIMIT -1')
    assert here.rows(alike) == ROWS


def test_a_migration_that_changes_the_comment_of_its_database_leaves_no_scratch_database(
    here: Server, tmp_path: Path
) -> None:
    ledger = here.make("ledger")
    env = environment(here, ledger)
    prepare(env, tmp_path)
    named = "DO $$ BEGIN EXECUTE format('COMMENT ON DATABASE %I IS ''the ledger''', current_database()); END $$"
    here.execute(env["SCRATCH_DATABASE"], named)
    assert judge(env, tmp_path)["outcome"] == "passed"
    assert here.all() == ["ledger"]


def test_two_stacks_whose_names_make_one_database_do_not_share_it_unknowingly(
    here: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = Owner("rollout.prod.1", "ledger-eu"), Owner("rollout.prod-ledger.2", "eu")
    name = here.name("prod-ledger-eu")
    one, two = environment(here, name, first), environment(here, name, second)
    assert cli.main(["create-database"], one) == 0
    assert cli.main(["create-database"], one) == 0
    here.execute(name, f"CREATE TABLE entries AS SELECT n FROM generate_series(1, {ROWS}) n")
    capsys.readouterr()
    assert cli.main(["create-database"], two) == 1
    said = capsys.readouterr().err
    assert "belongs to module ledger-eu of stack rollout.prod.1" in said
    (backups := tmp_path / "backups").mkdir()
    backup.take(one, Folder(backups), module="ledger", version="1.0.0", target="1.1.0", keep=3, log=print)
    with pytest.raises(ForeignDatabase, match="belongs to module ledger-eu"):
        prepare(two, tmp_path)
    with pytest.raises(ForeignDatabase, match="belongs to module ledger-eu"):
        restore.restore(two, Folder(backups), "", differences=True, log=print)
    with pytest.raises(ForeignDatabase, match="belongs to module ledger-eu"):
        backup.take(two, Folder(backups), module="ledger", version="1.0.0", target="1.1.0", keep=3, log=print)
    assert cli.main(["drop-database"], two) == 1
    assert (here.all(), here.rows(name)) == (["prod-ledger-eu"], ROWS)

    adopted = re.search(r"COMMENT ON DATABASE .*;", said)
    assert adopted, "it says how the other one gets it, if that is meant"
    here.execute("postgres", adopted[0])
    assert cli.main(["create-database"], two) == 0
    assert cli.main(["create-database"], one) == 1
    assert cli.main(["drop-database"], one) == 1
    assert cli.main(["drop-database"], two) == 0


def test_a_database_of_an_earlier_version_gets_its_mark_and_keeps_what_its_comment_says(
    here: Server, tmp_path: Path
) -> None:
    ledger = here.make("ledger", "Books of 2024.\nDo not touch.")
    env = environment(here, ledger)
    assert cli.main(["create-database"], env) == 0
    found = here.found(ledger)
    assert found.mark == Mark.of(PROD, LIVE, ledger)
    assert (found.comment or "").startswith("Books of 2024.\nDo not touch.\nrollout: ")
    upgraded(env, tmp_path / "a")
    assert (here.found(ledger).comment or "").startswith("Books of 2024.\nDo not touch.\nrollout: ")


@pytest.mark.parametrize("schema", ["public", "_system", "pgboss"])
def test_a_database_that_others_have_migrated_is_marked_and_no_row_of_it_is_touched(here: Server, schema: str) -> None:
    ledger = here.make("ledger")
    here.execute(
        ledger, f'CREATE SCHEMA IF NOT EXISTS "{schema}"; CREATE TABLE "{schema}".goose_db_version (version_id int)'
    )
    if schema != "public":
        here.execute(ledger, "DROP TABLE entries")
    before = here.found(ledger).oid
    for _ in range(2):
        assert cli.main(["adopt-database"], environment(here, ledger)) == 0
    assert here.found(ledger).mark == Mark.of(PROD, LIVE, ledger)
    assert here.found(ledger).oid == before
    assert cli.main(["create-database"], environment(here, ledger)) == 0


def test_one_that_is_not_there_is_not_made_for_who_said_that_others_had(
    here: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["adopt-database"], environment(here, here.name("ledger"))) == 1
    assert (
        "should have been migrated already (rollout:modules.ledger.adopted), but it does not exist"
        in capsys.readouterr().err
    )
    assert here.all() == []


@pytest.mark.parametrize("inside", ["", "CREATE SCHEMA books", "CREATE VIEW entries AS SELECT 1", "CREATE SEQUENCE s"])
def test_nor_is_one_that_nobody_has_migrated_marked(
    here: Server, capsys: pytest.CaptureFixture[str], inside: str
) -> None:
    ledger = here.make("ledger")
    here.execute(ledger, f"DROP TABLE entries; {inside}")
    assert cli.main(["adopt-database"], environment(here, ledger)) == 1
    assert "but it has no table" in capsys.readouterr().err
    assert here.found(ledger).mark is None


def test_another_stacks_is_not_taken_over(here: Server, capsys: pytest.CaptureFixture[str]) -> None:
    ledger = here.make("ledger")
    assert cli.main(["adopt-database"], environment(here, ledger, OTHER)) == 0
    assert cli.main(["adopt-database"], environment(here, ledger)) == 1
    assert "belongs to module" in capsys.readouterr().err


def test_a_rehearsal_marks_what_has_no_mark_as_it_is_about_to_be_migrated(here: Server, tmp_path: Path) -> None:
    ledger = here.make("ledger")
    prepare(environment(here, ledger), tmp_path)
    assert here.found(ledger).mark == Mark.of(PROD, LIVE, ledger)


def test_what_a_restore_has_put_in_the_place_is_live_and_what_was_there_is_kept_and_may_come_back(
    here: Server, tmp_path: Path
) -> None:
    ledger = here.make("ledger")
    env = environment(here, ledger)
    upgraded(env, tmp_path / "a")
    assert here.found(ledger).mark == Mark.of(PROD, LIVE, ledger)
    kept = [here.name(name) for name in here.all() if "_before_restore_" in name]
    assert {here.found(name).mark for name in kept} == {Mark.of(PROD, KEPT, ledger)}
    here.execute("postgres", f'ALTER DATABASE "{ledger}" RENAME TO "{here.name("undone")}"')
    here.execute("postgres", f'ALTER DATABASE "{kept[0]}" RENAME TO "{ledger}"')
    assert cli.main(["create-database"], env) == 0
    assert here.found(ledger).mark == Mark.of(PROD, LIVE, ledger)


def test_a_scratch_database_that_got_the_name_of_the_live_one_is_not_taken_for_it(here: Server, tmp_path: Path) -> None:
    ledger = here.make("ledger")
    env = environment(here, ledger)
    prepare(env, tmp_path)
    live = environment(here, env["SCRATCH_DATABASE"])
    assert cli.main(["create-database"], live) == 1
    assert cli.main(["drop-database"], live) == 1


def test_a_database_that_the_role_does_not_own_is_used_all_the_same_and_that_it_has_no_mark_is_said(
    here: Server, role: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = here.make("ledger")
    here.execute("postgres", f"ALTER ROLE {role} LOGIN PASSWORD 'x'")
    env = environment(here, ledger)
    env["POSTGRES_URI"] = make_conninfo(env["POSTGRES_URI"], user=role, password="x")
    assert cli.main(["create-database"], env) == 0
    assert "cannot be marked" in capsys.readouterr().err
    assert here.found(ledger).comment is None


def test_two_that_find_one_without_a_mark_do_not_both_get_it(here: Server) -> None:
    ledger = here.make("ledger")
    with psycopg.connect(here.uri, autocommit=True) as first, psycopg.connect(here.uri, autocommit=True) as second:
        with first.transaction():
            assert marks.claim(first, ledger, PROD) == ""
            second.execute("SET lock_timeout = '200ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                marks.claim(second, ledger, OTHER)
        with pytest.raises(ForeignDatabase):
            marks.claim(second, ledger, OTHER)


def test_without_an_owner_nothing_scratch_is_made_and_nothing_marked_is_dropped(here: Server, tmp_path: Path) -> None:
    ledger = here.make("ledger", str(Mark.of(PROD, LIVE, here.name("ledger"))))
    env = {name: value for name, value in environment(here, ledger).items() if not name.startswith("ROLLOUT_")}
    with pytest.raises(InvalidMigration, match="ROLLOUT_STACK"):
        prepare(env, tmp_path)
    with pytest.raises(ForeignDatabase):
        database.drop(Target(ledger, here.uri), Settings(), print)
    assert here.rows(ledger) == ROWS


@pytest.mark.parametrize("name", ["ledger", "postgres", "ledger-rehearsal", "ledger-rehearsal-XYZXYZXY"])
def test_nothing_but_a_name_of_a_scratch_database_is_taken_for_one(here: Server, name: str) -> None:
    with pytest.raises(ForeignDatabase, match="no name of a rehearsal database"):
        rehearsal.Databases.of({**environment(here, "ledger"), "SCRATCH_DATABASE": name})


@pytest.mark.parametrize("live", ["ledger", "x" * 63, "x" * 50, "ledger-rehearsal-0123abcd"])
def test_settings_and_migrator_know_scratch_databases_by_the_same_names(live: str) -> None:
    assert PURPOSES == (REHEARSAL, RESTORING, PROOF)
    for purpose in PURPOSES:
        name = scratch_name(live, purpose, "0123abcd")
        assert name == scratch.name_for(live, purpose, "0123abcd")
        assert len(name) <= 63
        assert Scratch.named(name, Mark.of(PROD, purpose, live), "").target.name == name


LEDGER = str(Mark.of(OTHER, LIVE, "ledger"))


@pytest.mark.parametrize(
    "comment",
    [
        LEDGER.replace("}", ', "since": "2027"}'),
        f" {LEDGER}",
        f"{LEDGER}\r",
        f"rollout: production of team A, do not drop\n{LEDGER}",
        f"{LEDGER}\n{Mark.of(PROD, LIVE, 'ledger')}",
        LEDGER[:-5],
        'rollout: {"stack": 1}',
        "rollout: " + '{"a":' * 2000,
    ],
    ids=["a field more", "indented", "CRLF", "beside a person's line", "two", "cut", "wrong types", "nested"],
)
def test_what_is_marked_in_whatever_form_is_not_taken_over_and_not_dropped(here: Server, comment: str) -> None:
    ledger = here.make("ledger", comment)
    before = here.found(ledger).comment
    assert cli.main(["create-database"], environment(here, ledger)) != 0
    assert cli.main(["drop-database"], environment(here, ledger)) != 0
    assert here.rows(ledger) == ROWS
    assert here.found(ledger).comment == before


def test_a_person_s_comment_is_kept_when_a_database_is_marked(here: Server) -> None:
    ledger = here.make("ledger", "rollout: owner is team A, ask before you touch it")
    assert cli.main(["create-database"], environment(here, ledger)) == 0
    assert "ask before you touch it" in str(here.found(ledger).comment)
    assert here.found(ledger).mark == Mark.of(PROD, LIVE, ledger)


def test_a_database_that_is_claimed_while_it_is_about_to_be_dropped_is_not_dropped(here: Server) -> None:
    ledger = here.make("ledger")
    with psycopg.connect(here.uri) as claiming, ThreadPoolExecutor(1) as pool:
        claiming.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (marks._LOCK, ledger))
        marks.put(claiming, ledger, Mark.of(OTHER, LIVE, ledger))
        dropping = pool.submit(database.drop, Target(ledger, here.uri), Settings(), print, PROD)
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND classid = %s"
        with psycopg.connect(here.uri, autocommit=True) as looking:
            while not dropping.done() and looking.execute(waiting, (marks._LOCK,)).fetchone() == (0,):
                pass
        claiming.commit()
        with pytest.raises(ForeignDatabase, match=r"belongs to module ledger of stack rollout\.staging"):
            dropping.result(60)
    assert here.rows(ledger) == ROWS


def _waiting(here: Server, changing: psycopg.Connection, dropping: Any) -> None:
    """Until somebody waits for what another session has changed and not committed, or it is done."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))"
    with psycopg.connect(here.uri, autocommit=True) as looking:
        end = time.monotonic() + 60
        while not dropping.done() and looking.execute(query, (changing.info.backend_pid,)).fetchone() == (0,):
            assert time.monotonic() < end


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        (["COMMENT ON DATABASE \"{0}\" IS 'to be kept'"], "{0}"),
        (['ALTER DATABASE "{0}" RENAME TO "{0}-keep"'], "{0}-keep"),
        (['ALTER DATABASE "{0}" RENAME TO "{0}-keep"', 'ALTER DATABASE "{1}" RENAME TO "{0}"'], "{0}-keep"),
        (['ALTER DATABASE "{1}" RENAME TO "{1}-keep"', 'ALTER DATABASE "{0}" RENAME TO "{1}"'], "{1}"),
    ],
)
def test_what_somebody_is_about_to_keep_is_not_dropped(
    here: Server, tmp_path: Path, changes: list[str], kept: str, known: bool
) -> None:
    """By the commands of a transaction that is open while it is looked at, and committed before it is dropped."""
    ledger, other = here.make("ledger"), here.make("other")
    env = environment(here, ledger)
    prepare(env, tmp_path)
    copy = rehearsal.Databases.of(env).copy
    name = copy.target.name
    here.execute(name, f"INSERT INTO entries SELECT n FROM generate_series(1, {ROWS}) n")
    oid = here.found(name).oid if known else None
    with psycopg.connect(here.uri) as changing, ThreadPoolExecutor(1) as pool:
        for each in changes:
            changing.execute(each.format(name, other).encode())
        dropping = pool.submit(copy.drop, QUIET, print, oid)
        _waiting(here, changing, dropping)
        changing.commit()
        if "COMMENT" in changes[0] or (len(changes) > 1 and "{0}" in changes[1].rpartition(" ")[2]):
            with pytest.raises(ForeignDatabase, match="left alone"):
                dropping.result(60)
        else:
            dropping.result(60)
    assert here.rows(kept.format(name, other)) == ROWS
    assert [here.rows(here.name(each)) for each in here.all() if each != "ledger"] == [ROWS] * (len(here.all()) - 1)
    assert len(here.all()) == 3


def test_killed_while_it_is_dropped_a_scratch_database_is_known_again(
    here: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = here.make("ledger")
    env = environment(here, ledger)
    prepare(env, tmp_path)
    named = "DO $$ BEGIN EXECUTE format('COMMENT ON DATABASE %I IS ''the ledger''', current_database()); END $$"
    copy = rehearsal.Databases.of(env).copy
    here.execute(copy.target.name, named)
    real = marks.databases

    def killed(connection: psycopg.Connection, name: str | None = None) -> Any:
        if name not in (None, copy.target.name):
            connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return real(connection, name)

    with monkeypatch.context() as patch:
        patch.setattr(scratch, "databases", killed)
        with pytest.raises(MigratorError):
            copy.drop(QUIET, print, here.found(copy.target.name).oid)
    assert here.all() == ["ledger", "ledger-rehearsal-0123abcd"], "rolled back"
    put = marks.put

    def put_and_killed(connection: psycopg.Connection, name: str, mark: Mark) -> None:
        put(connection, name, mark)
        connection.execute("COMMIT")
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(scratch, "put", put_and_killed)
        with pytest.raises(Killed):
            copy.drop(QUIET, print, here.found(copy.target.name).oid)
    assert len(here.all()) == 2
    prepare(environment(here, ledger, digits="aaaaaaaa"), tmp_path)
    assert here.all() == ["ledger", "ledger-rehearsal-aaaaaaaa"]


@pytest.mark.parametrize(
    ("which", "mark"),
    [
        ("real", Mark.of(OTHER, LIVE, "")),
        ("real", Mark.of(OTHER, REHEARSAL, "")),
        ("new", Mark.of(OTHER, LIVE, "")),
        ("new", None),
    ],
)
@pytest.mark.parametrize("committed", [False, True])
def test_a_restore_does_not_put_away_what_has_become_another_s_meanwhile(
    here: Server, tmp_path: Path, which: str, mark: Mark | None, committed: bool
) -> None:
    ledger = here.make("ledger")
    env = environment(here, ledger)
    backup.take(env, Folder(tmp_path), module="ledger", version="1.0.0", target="1.1.0", keep=3, log=print)
    here.execute(ledger, "DELETE FROM entries WHERE n > 10")
    with psycopg.connect(here.uri) as changing, ThreadPoolExecutor(1) as pool:

        def log(line: str) -> None:
            if line == "the databases change places":
                [new] = [each for each in here.all() if "-restoring-" in each]
                name = ledger if which == "real" else here.name(new)
                changing.execute(
                    sql.SQL("COMMENT ON DATABASE {} IS {}").format(
                        sql.Identifier(name), sql.Literal(str(mark or "mine"))
                    )
                )
                if committed:
                    changing.commit()

        restoring = pool.submit(restore.restore, env, Folder(tmp_path), "", differences=False, log=log)
        if not committed:
            _waiting(here, changing, restoring)
            changing.commit()
        with pytest.raises(ForeignDatabase):
            restoring.result(60)
    assert here.rows(ledger) == 10
    left = [each for each in here.all() if each != "ledger"]
    assert len(left) == (which == "new"), "what has another mark is not dropped either"


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ("COMMENT ON DATABASE \"{0}\" IS '{2}'", "{0}"),
        ('ALTER DATABASE "{0}" RENAME TO "{0}-keep"; ALTER DATABASE "{1}" RENAME TO "{0}"', "{0}"),
        ('ALTER DATABASE "{0}" RENAME TO "{0}-keep"', "{0}-keep"),
    ],
)
def test_a_module_s_database_that_becomes_another_s_while_it_is_about_to_be_dropped_is_not_dropped(
    here: Server, change: str, kept: str
) -> None:
    mark = str(Mark.of(OTHER, LIVE, ""))
    ledger, other = here.make("ledger"), here.make("other", mark)
    with psycopg.connect(here.uri) as changing, ThreadPoolExecutor(1) as pool:
        changing.execute(change.format(ledger, other, mark).encode())
        dropping = pool.submit(database.drop, Target(ledger, here.uri), Settings(), print, PROD)
        _waiting(here, changing, dropping)
        changing.commit()
        if "-keep" in kept:
            assert dropping.result(60) is False
        else:
            with pytest.raises(ForeignDatabase, match=r"stack rollout\.staging"):
                dropping.result(60)
    assert here.rows(kept.format(ledger)) == ROWS
