"""The verdict of a rehearsal: the schema compared, the statements planned, the serving version asked and restarted."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg

from migrator import isolation, shared
from migrator.compatibility import classify
from migrator.errors import MigratorError
from migrator.rehearsal import evidence as statements
from migrator.rehearsal import locks
from migrator.rehearsal.database import BEFORE, NOTICE, SAMPLE, SERVER, STATEMENTS, Databases, dropped, take_back
from migrator.rehearsal.serving import Serving, Unanswered
from migrator.rehearsal.weighing import Policy, of_answers, of_locks, of_restart, of_statements, weighed
from migrator.sessions import Log, connect
from migrator.settings import Settings
from migrator.witness import Look, summary


class Refused(MigratorError):
    """The rehearsal shows that the version that serves would not survive the migration."""

    outcome = "breaks"

    def __init__(self, message: str, hint: str, more: dict[str, object]) -> None:
        super().__init__(message, hint=hint)
        self.more = more


def judge(
    environment: Mapping[str, str], folder: Path, serving: Serving | None, *,
    previous: str, target: str = "", contract: bool = False, policy: Policy | None = None, log: Log,
) -> dict[str, Any]:  # fmt: skip
    """Compares the scratch database with before, and tries the serving version on it.

    Args:
        environment: see `Databases.of`.
        folder: of `prepare`.
        serving: the serving version, which has run through the migration; None where only the schema is judged.
        previous: the serving version, for the texts.
        target: the version that is migrated to, likewise.
        contract: removing what only versions before it used is allowed.
        policy: what refuses; the default one if left out.
        log: where lines for people go.

    Raises:
        Refused: the change breaks the serving version.
        MigratorError: it could not be told.
    """
    where = Databases.of(environment)
    settings = Settings.from_environment({}, connect_budget=5.0)
    policy = policy or Policy()
    touched = shared.Changes()
    words: dict[str, Any] = {"changes": [], "findings": []}
    refused: Refused | None = None
    notices: list[str] = []
    try:
        before = Look.from_json((folder / BEFORE).read_text())
        server = shared.Server.from_json((folder / SERVER).read_text())
        with contextlib.closing(connect(where.scratch, settings, log, name="rehearsal")) as connection:
            touched = shared.changes(server, connection, where.name, where.copy.target.name)
            _refuse_subscriptions(connection, words)
            _compare(connection, before, folder, words, previous, contract, policy, log)
            if serving:
                _ask(connection, serving, words, target, policy, log)
            else:
                words["message"] = f"{previous} was not started for the rehearsal; the schema is judged by itself"
                log(str(words["message"]))
    except Refused as error:
        refused = error
    finally:
        notices += dropped(where, folder, settings, log)
    left = take_back(where, touched, settings, log)
    words["findings"] += [_ON_THE_SERVER | {"what": line} for line in touched.others]
    if refused:
        words["findings"] += [_ON_THE_SERVER | {"what": line} for line in left]
        raise refused
    if left:
        raise Refused(f"{_LEFT}: {'; '.join(left)}", _AGAIN, words)
    notices = [str(words.get("message", "")), (folder / NOTICE).read_text(), *notices]
    if touched.made:
        names = ", ".join(touched.made.values())
        notices.append(f"the rehearsed migration made role {names} on the server, which has no copy; dropped again")
    return {"outcome": "passed", **words, "message": "; ".join(filter(None, notices))}


def _compare(
    connection: psycopg.Connection, before: Look, folder: Path, words: dict[str, Any], previous: str, contract: bool,
    policy: Policy, log: Log,
) -> None:  # fmt: skip
    """Finds out what is different in the scratch database and what the statements say of it; refuses what breaks."""
    after = Look.take(connection)
    seen = statements.Evidence.from_json((folder / STATEMENTS).read_text())
    outcome = statements.again(connection, seen)
    tables = {each.name for each in before.schema.objects if each.kind in ("table", "materialized view")}
    found = [
        *of_locks(locks.held(folder, tables), seen.large, _sample(folder), policy),
        *of_statements(outcome, seen, policy),
        *weighed(classify(before.schema, after.schema, contract=contract), before.schema, seen, policy),
    ]
    words |= {"changes": summary(before, after), "findings": found, "evidence": _evidence(seen, outcome)}
    for line in (*words["changes"], words["evidence"]):
        log(line)
    _refuse_what_breaks(found, words, previous)


def _sample(folder: Path) -> dict[str, tuple[int, int]]:
    """Of each table the rows that were rehearsed with, and those that there are; empty if that was no sample."""
    return {name: (int(had), int(there)) for name, (had, there) in json.loads((folder / SAMPLE).read_text()).items()}


def _refuse_what_breaks(found: list[dict[str, Any]], words: dict[str, Any], previous: str) -> None:
    broken = [each for each in found if each["level"] == "breaks"]
    if broken:
        each = "; ".join(f"{f['what']} ({f['why'].rstrip('.')})" if f["why"] else f["what"] for f in broken)
        raise Refused(f"the migration breaks {previous}, which serves: {each}", broken[0]["instead"], words)


def _evidence(seen: statements.Evidence, outcome: statements.Outcome) -> str:
    if not seen.statements:
        return seen.note or f"no statement of the serving version seen by {seen.source}"
    bad = len(outcome.broken)
    said = f"{bad} of {seen.seen} no longer plan" if bad else f"{seen.seen}, all still plan"
    aside = f"; {seen.aside} more did not plan before either and were set aside" if seen.aside else ""
    late = f"; no time for {outcome.unseen} of them" if outcome.unseen else ""
    return said + aside + late + (f"; {seen.note}" if seen.note else "")


def _ask(
    connection: psycopg.Connection, serving: Serving, words: dict[str, Any], target: str, policy: Policy, log: Log
) -> None:
    """Asks the version that has run through the migration; then has it started anew."""
    found: list[dict[str, Any]] = words["findings"]
    try:
        words["probes"], seen = serving.ask_again()
    except Unanswered as failed:
        raise Refused(str(failed), "Expand first, contract once no older version serves.", words) from None
    found += of_answers(serving.version, seen, policy)
    if not _is_used(connection):
        words["message"] = (
            f"{serving.version} had no connection to the scratch database; unless it opens one for each request, "
            "its answers say nothing: it must take the database from POSTGRES_URI or POSTGRES_DATABASE"
        )
        log(str(words["message"]))
    log(f"{serving.version} is restarted on the new schema")
    starts, said = serving.restart()
    log(said)
    if not starts:
        found.append(of_restart(serving.version, target, said, policy))
    _refuse_what_breaks(
        [each for each in found if each["rule"] in ("serving-ended", "requests-lost", "restart-fails")],
        words,
        serving.version,
    )


_ON_THE_SERVER = {
    "level": "risky",
    "rule": "server-changed",
    "why": (
        "It belongs to the server, of which a rehearsal has no copy. If the migration has done it and not another meanwhile, "
        "it is in force already, and what cannot be done twice, such as CREATE ROLE, fails when it runs in earnest."
    ),
    "instead": "Let whoever runs the server do it before the update; or let the migration do it only where it is not done.",
}
_LEFT = "the rehearsal has left on the server, of which it has no copy, what the migration cannot make a second time"
_AGAIN = (
    "DROP ROLE, and migrate with rehearse: off. Or let the migration make it only where it is not there (DO $$ BEGIN IF NOT EXISTS "
    "(SELECT FROM pg_roles WHERE rolname = '...') THEN CREATE ROLE ...; END IF; END $$): then just run the update again."
)


def _refuse_subscriptions(connection: psycopg.Connection, words: dict[str, Any]) -> None:
    if feeds := isolation.subscriptions(connection):
        raise Refused(f"{_TAKES}: {', '.join(feeds)}", _ALONE, words)


_TAKES = (
    "the rehearsed migration has made a subscription, which took from the publisher what the real database is to get"
)
_ALONE = "Look at the publisher's slot; let a migration of its own make the subscription, with rehearse: off."


def _is_used(connection: psycopg.Connection) -> bool:
    """Whether somebody else than the parts of the rehearsal has a session in the scratch database."""
    row = connection.execute(
        "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    ).fetchone()
    return bool(row and row[0])
