"""A rehearsal leaves the server as it was, or says what it has changed; its scratch database is like the real one."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import migrator
from migrator import fingerprint, rehearsal, traits
from migrator.errors import StatementFailed
from migrator.rehearsal import Refused, locks
from tests.cluster.migrator.conftest import QUIET, REPOSITORY, Database, needs_roles, remove

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]


@pytest.fixture
def made(server: str) -> Iterator[str]:
    """The name of a role that a migration is to make."""
    name = f"migrator_test_{secrets.token_hex(4)}"
    with psycopg.connect(server, autocommit=True) as connection:
        needs_roles(connection)
        yield name
        remove(name, server)
        connection.execute(f"DROP ROLE IF EXISTS {name}, {name}_other".encode())


@pytest.fixture
def real(made: str, base: Database, server: str) -> Iterator[Database]:  # the role goes after what was granted to it
    base.execute("CREATE TABLE t (a int)")
    yield base
    remove(scratch(base), server)


def scratch(real: Database) -> str:
    return f"{real.name}-rehearsal-0123abcd"


def environment(real: Database) -> dict[str, str]:
    owner = {"ROLLOUT_STACK": "rollout.test.0", "ROLLOUT_MODULE": "ledger"}
    return {"POSTGRES_URI": real.uri, "POSTGRES_DATABASE": real.name, "SCRATCH_DATABASE": scratch(real), **owner}


def prepare(real: Database, folder: Path) -> None:
    rehearsal.prepare(environment(real), folder, "schema", 0, (), print)


def judge(real: Database, folder: Path) -> dict[str, Any]:
    return rehearsal.judge(environment(real), folder, None, previous="1.0.0", log=print)


def rehearse(real: Database, folder: Path, sql: str) -> dict[str, Any]:
    """All of it but the serving version."""
    prepare(real, folder)
    real.write(_0001_a=sql)
    migrator.run(make_conninfo(real.uri, dbname=scratch(real)), real.directory, QUIET, print)
    return judge(real, folder)


def told(words: dict[str, Any], name: str) -> list[str]:
    """What a rehearsal that has passed tells of a role or database on the server; others change theirs meanwhile."""
    assert words["outcome"] == "passed"
    found = [each for each in words["findings"] if each["rule"] == "server-changed" and name in each["what"]]
    assert {each["level"] for each in found} <= {"risky"}
    return [each["what"] for each in found]


def roles(real: Database, name: str) -> int:
    return int(real.value("SELECT count(*) FROM pg_roles WHERE rolname = %s", name))


def test_a_role_that_a_migration_makes_and_grants_something_is_gone_after_its_rehearsal(
    made: str, real: Database, tmp_path: Path
) -> None:
    words = rehearse(
        real, tmp_path, f"CREATE ROLE {made} LOGIN; GRANT SELECT ON t TO {made}; GRANT {made} TO CURRENT_USER"
    )
    assert words["outcome"] == "passed"
    assert f"made role {made} on the server" in words["message"]
    assert roles(real, made) == 0
    migrator.run(real.uri, real.directory, QUIET, print)
    assert roles(real, made) == 1


def test_it_is_gone_too_where_the_rehearsal_refuses_the_migration(made: str, real: Database, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="the migration breaks"):
        rehearse(real, tmp_path, f"CREATE ROLE {made}; GRANT SELECT ON t TO {made}; ALTER TABLE t DROP COLUMN a")
    assert roles(real, made) == 0


@pytest.fixture
def administrator(role: str, real: Database) -> Database:
    """The real database as the role sees it that owns it, may make others and is no superuser."""
    real.execute(f"""
        ALTER ROLE {role} LOGIN CREATEDB CREATEROLE PASSWORD 'rehearsed';
        ALTER DATABASE "{real.name}" OWNER TO {role}; ALTER TABLE t OWNER TO {role}
    """)
    return replace(real, uri=make_conninfo(real.uri, user=role, password="rehearsed"))


def test_a_role_that_no_database_names_stays_and_is_told_or_refuses_the_migration_where_the_server_knows_its_maker(
    made: str, administrator: Database, tmp_path: Path
) -> None:
    text = f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{made}') THEN CREATE ROLE {made}; END IF; END $$"
    if administrator.value("SELECT current_setting('server_version_num')::int") < 160_000:
        assert f"role {made} made" in told(rehearse(administrator, tmp_path, text), made)
    else:
        with pytest.raises(Refused, match=f"role {made} made") as caught:
            rehearse(administrator, tmp_path, text)
        assert "run the update again" in caught.value.hint
    assert roles(administrator, made) == 1
    assert told(rehearse(administrator, tmp_path, text), made) == []


def test_a_role_that_something_elsewhere_has_been_granted_to_stays_and_the_migration_is_refused(
    made: str, real: Database, tmp_path: Path
) -> None:
    with pytest.raises(Refused, match=f"role {made} made, and it cannot be dropped"):
        rehearse(
            real,
            tmp_path,
            f'CREATE ROLE {made}; GRANT SELECT ON t TO {made}; GRANT CONNECT ON DATABASE "{real.name}" TO {made}',
        )
    assert roles(real, made) == 1
    real.execute(f'REVOKE CONNECT ON DATABASE "{real.name}" FROM {made}')


def test_a_role_that_is_new_but_another_s_is_left_alone(made: str, real: Database, tmp_path: Path) -> None:
    prepare(real, tmp_path)
    real.execute(f"CREATE ROLE {made}; GRANT SELECT ON t TO {made}")
    assert judge(real, tmp_path)["outcome"] == "passed"
    assert roles(real, made) == 1
    real.execute(f"REVOKE SELECT ON t FROM {made}")


def test_a_role_that_may_make_none_is_not_blamed_for_what_others_do(
    made: str, administrator: Database, real: Database, tmp_path: Path
) -> None:
    real.execute(f"ALTER ROLE {conninfo_to_dict(administrator.uri)['user']} NOCREATEROLE; CREATE ROLE {made}_other")
    prepare(administrator, tmp_path)
    real.execute(f"CREATE ROLE {made}; DROP ROLE {made}_other")
    assert told(judge(administrator, tmp_path), made) == []
    assert roles(real, made) == 1


@pytest.mark.parametrize(
    ("does", "line"),
    [
        ("DROP ROLE {0}", "role {0} dropped"),
        ("ALTER ROLE {0} RENAME TO {0}_other", "role {0} renamed to {0}_other"),
        ("ALTER ROLE {0} LOGIN CONNECTION LIMIT 3", "role {0}: now CONNECTION LIMIT 3, now LOGIN"),
        ("ALTER ROLE {0} SET search_path TO s", "role {0}: now search_path=s"),
        ('ALTER ROLE {0} IN DATABASE "{1}" SET search_path TO s', "role {0}: now search_path=s in database {1}"),
        ("REVOKE {0} FROM {0}_other", "role {0}_other: no longer member of {0}"),
        ('ALTER DATABASE "{1}" SET search_path TO s', "everybody: now search_path=s in database {1}"),
        ("-- migrate: non-transactional\nCREATE DATABASE {0};", "database {0} made"),
        ("-- migrate: non-transactional\nDROP DATABASE {0};", "database {0} dropped"),
    ],
)
def test_what_else_the_rehearsal_changes_of_the_server_is_told(
    made: str, real: Database, tmp_path: Path, does: str, line: str
) -> None:
    real.execute(f"CREATE ROLE {made}")
    if "DROP DATABASE" in does:
        real.execute(f"CREATE DATABASE {made}")
    if "_other" in line and "RENAME" not in does:
        real.execute(f"CREATE ROLE {made}_other; GRANT {made} TO {made}_other")
    words = rehearse(real, tmp_path, does.format(made, real.name))
    assert line.format(made, real.name) in told(words, real.name if "everybody" in line else made)


@pytest.mark.parametrize(
    ("does", "line"),  # with a blank at its end, in another database than the real one
    [
        ('REVOKE CONNECT ON DATABASE "{1}" FROM PUBLIC', "database {1}: datacl ["),
        ('REVOKE CONNECT ON DATABASE "{1}" FROM PUBLIC ', "database {1}: datacl ["),
        ('GRANT CREATE ON DATABASE "{1}" TO {0}', "database {1}: datacl ["),
        ('ALTER DATABASE "{1}" CONNECTION LIMIT 7', "database {1}: datconnlimit 7, was -1"),
        ('ALTER DATABASE "{1}" IS_TEMPLATE true', "database {1}: datistemplate True, was False"),
        ('ALTER DATABASE "{1}" ALLOW_CONNECTIONS false', "database {1}: datallowconn False, was True"),
        ('ALTER DATABASE "{1}" OWNER TO {0}', "database {1}: owner {0}, was "),
        ("REASSIGN OWNED BY {0}_other TO {0}", "database {1}: owner {0}, was {0}_other"),
        ("REASSIGN OWNED BY {0}_other TO {0} ", "database {1}: owner {0}, was {0}_other"),
        ('ALTER DATABASE "{1}" RENAME TO "{1}-x"', "database {1}: name {1}-x, was {1}"),
        ('ALTER DATABASE "{1}" RENAME TO "{1}-x" ', "database {1}: name {1}-x, was {1}"),
        ("COMMENT ON DATABASE \"{1}\" IS 'a secret'", "database {1}: comment changed"),
        ("COMMENT ON DATABASE \"{1}\" IS 'a secret' ", "database {1}: comment changed"),
        (
            "ALTER DATABASE \"{1}\" SET application_name TO 'a secret'",
            "everybody: now application_name=… in database {1}",
        ),
        ("ALTER ROLE {0} SET application_name TO 'a secret'", "role {0}: application_name=… changed"),
        (
            "ALTER ROLE {0} IN DATABASE \"{1}\" SET application_name TO 'a secret'",
            "role {0}: now application_name=… in database {1}",
        ),
    ],
)
def test_whatever_it_changes_of_a_database_is_told_without_what_may_be_secret(
    made: str, real: Database, make_database: Callable[[], Database], tmp_path: Path, does: str, line: str
) -> None:
    base = make_database() if does.endswith(" ") else real
    real.execute(f"CREATE ROLE {made} ROLE CURRENT_USER; CREATE ROLE {made}_other ROLE CURRENT_USER CREATEDB")
    real.execute(f"ALTER ROLE {made} SET application_name TO 'another secret'")
    if "_other" in does:
        real.execute(f'ALTER DATABASE "{base.name}" OWNER TO {made}_other')
    try:
        words = rehearse(real, tmp_path, does.format(made, base.name))
        assert any(each.startswith(line.format(made, base.name)) for each in told(words, ""))
        assert "secret" not in str(words)
    finally:
        text = f"""
            ALTER DATABASE "{base.name}-x" RENAME TO "{base.name}"; ALTER DATABASE "{base.name}" ALLOW_CONNECTIONS true;
            ALTER DATABASE "{base.name}" IS_TEMPLATE false; ALTER DATABASE "{base.name}" OWNER TO CURRENT_USER;
            REVOKE ALL ON DATABASE "{base.name}" FROM {made}"""
        with psycopg.connect(make_conninfo(real.uri, dbname="postgres"), autocommit=True) as connection:
            for each in text.split(";"):
                with contextlib.suppress(psycopg.errors.InvalidCatalogName):
                    connection.execute(each.encode())


def test_a_migration_that_fails_half_way_in_its_rehearsal_leaves_no_role_either(
    made: str, real: Database, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [
            sys.executable, "-m", "migrator", "rehearse-hold", "--folder", str(tmp_path), "--previous", "1.0.0",
            "--port", "1", "--not-started",
        ], cwd=REPOSITORY,
        env={**os.environ, **environment(real)}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr
    assert "is dropped when this ends" in process.stderr.readline()
    with pytest.raises(StatementFailed):
        rehearse(
            real,
            tmp_path,
            f"-- migrate: non-transactional\nCREATE ROLE {made};\nGRANT SELECT ON t TO {made};\nSELECT 1 / 0;",
        )
    assert roles(real, made) == 1
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert roles(real, made) == 0
    assert not real.value("SELECT count(*) FROM pg_database WHERE datname = %s", scratch(real))


def test_what_is_granted_in_the_real_database_is_granted_in_the_scratch_one(
    made: str, real: Database, tmp_path: Path
) -> None:
    real.execute(f"""
        CREATE ROLE {made};
        CREATE SCHEMA "a ""b"; GRANT USAGE ON SCHEMA "a ""b" TO {made};
        GRANT SELECT (a), UPDATE (a) ON t TO {made}; GRANT INSERT ON t TO PUBLIC; REVOKE DELETE ON t FROM CURRENT_USER;
        CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; REVOKE EXECUTE ON FUNCTION f FROM PUBLIC;
        CREATE SEQUENCE s; GRANT USAGE ON SEQUENCE s TO {made} WITH GRANT OPTION;
        CREATE TYPE mood AS ENUM ('good'); REVOKE USAGE ON TYPE mood FROM PUBLIC;
        REVOKE USAGE ON SCHEMA public FROM PUBLIC; GRANT USAGE ON SCHEMA public TO {made};
        ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {made}
    """)
    prepare(real, tmp_path)
    seen = []
    for name in (real.name, scratch(real)):
        with psycopg.connect(make_conninfo(real.uri, dbname=name), autocommit=True) as connection:
            found = fingerprint.take(connection).objects
            # In the copy, where this role is a superuser, there is what keeps it from changing anything elsewhere.
            seen.append([each for each in found if each.kind != "database" and "rollout_rehearsal" not in each.name])
    assert seen[0] == seen[1]
    assert any("grants" in each.attributes for each in seen[0])
    assert judge(real, tmp_path)["message"] == NOT_STARTED


NOT_STARTED = "1.0.0 was not started for the rehearsal; the schema is judged by itself"


def test_a_migration_that_revokes_what_is_granted_is_refused(made: str, real: Database, tmp_path: Path) -> None:
    real.execute(f"CREATE ROLE {made}; GRANT SELECT ON t TO {made}")
    with pytest.raises(Refused, match="grants - SELECT to") as caught:
        rehearse(real, tmp_path, f"REVOKE SELECT ON t FROM {made}")
    findings: Any = caught.value.more["findings"]  # others make roles meanwhile, which is told as risky
    assert [each["rule"] for each in findings if each["level"] == "breaks"] == ["privilege-revoked"]


def test_a_privilege_that_the_role_may_not_copy_is_told(
    made: str, real: Database, server: str, superuser: str, tmp_path: Path
) -> None:
    with psycopg.connect(make_conninfo(superuser, dbname=real.name), autocommit=True) as connection:
        if connection.info.parameter_status("is_superuser") != "on" or superuser == server:
            pytest.skip("needs a superuser beside the server's role")
        user = conninfo_to_dict(server)["user"]
        connection.execute(
            f"""
            CREATE ROLE {made};
            CREATE TABLE theirs (a int); GRANT SELECT ON theirs TO {user};
            ALTER DEFAULT PRIVILEGES FOR ROLE postgres GRANT SELECT ON TABLES TO {made};
            GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text) TO {made}
        """.encode()
        )
    prepare(real, tmp_path)
    message = judge(real, tmp_path)["message"]
    assert message.startswith(f"{NOT_STARTED}; the scratch database lacks what this role may not copy: ")
    assert "ALTER DEFAULT PRIVILEGES FOR ROLE postgres" in message
    assert "pg_ls_dir" in message
    assert "theirs" not in message, "the copy's owner may grant in the other's stead"


def test_a_migration_is_rehearsed_with_the_settings_of_the_real_database_and_of_roles_in_it(
    made: str, real: Database, tmp_path: Path
) -> None:
    real.execute(f"""
        CREATE SCHEMA books;
        ALTER DATABASE "{real.name}" SET search_path = books, "$user", public;
        CREATE ROLE {made};
        ALTER ROLE {made} IN DATABASE "{real.name}" SET statement_timeout = 1000
    """)
    words = rehearse(real, tmp_path, "CREATE TABLE t (a int)")
    assert "added table books.t" in words["changes"], "public.t is there already"
    assert told(words, real.name) == []
    prepare(real, tmp_path)
    with psycopg.connect(real.uri) as connection:
        assert traits.settings(connection, scratch(real)) == traits.settings(connection, real.name)


def test_a_setting_that_lets_nobody_write_hinders_a_migration_but_not_what_is_around_it(
    real: Database, tmp_path: Path
) -> None:
    real.execute(f'ALTER DATABASE "{real.name}" SET default_transaction_read_only = on')
    prepare(real, tmp_path)
    with (
        psycopg.connect(make_conninfo(real.uri, dbname=scratch(real)), autocommit=True) as connection,
        pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
    ):
        connection.execute("CREATE TABLE u (a int)")
    assert judge(real, tmp_path)["outcome"] == "passed"


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("ALTER TABLE t ADD COLUMN b int;\nSELECT pg_sleep(1.3);", [("ACCESS EXCLUSIVE", "public.t")]),
        ("CREATE INDEX ON t (a);\nSELECT pg_sleep(1.3);", [("SHARE", "public.t")]),
        ("ALTER TABLE t ADD COLUMN b int;", []),
        ("CREATE TABLE made (a int);\nSELECT pg_sleep(1.3);", []),
        ("INSERT INTO t VALUES (1);\nSELECT pg_sleep(1.3);", []),
    ],
)
def test_a_lock_that_clients_would_wait_for_is_found_before_it_happens(
    sql: str, found: list[tuple[str, str]], real: Database, tmp_path: Path
) -> None:
    where = rehearsal.Databases.of(environment(real))
    stop = threading.Event()
    begin = tmp_path / "statements.json"
    watcher = threading.Thread(target=locks.watch, args=(where.scratch, tmp_path, begin, QUIET, print, stop))
    watcher.start()
    try:
        words = rehearse(real, tmp_path, sql)
    finally:
        stop.set()
        watcher.join(5)
    told = [each["what"] for each in words["findings"] if each["rule"] == "lock-held"]
    assert len(told) == len(found), words["findings"]
    for what, (mode, table) in zip(told, found, strict=True):
        assert f"the migration holds {mode} on {table} for about 1." in what
