"""The locks that a rehearsed migration holds on tables that were there before, and for how long.

They are looked for every few hundredths of a second from another session: the migration is anybody's program, and says
nothing of them. How long a lock is held depends on rows, so without rows (`rehearse: schema`) nothing is said.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

import psycopg

from migrator.errors import MigratorError
from migrator.sessions import Log, connect
from migrator.settings import Settings
from migrator.statements import without_strings

_FILE, _BEGUN, _ASKED = "locks.json", "locks-begun", "locks-asked"
_POLL = 0.025
LONG = 1.0  # seconds: what clients notice
# What each mode keeps others from (https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES).
_BLOCKS = {
    "AccessExclusiveLock": ("ACCESS EXCLUSIVE", "reads and writes"),
    "ExclusiveLock": ("EXCLUSIVE", "writes"),
    "ShareRowExclusiveLock": ("SHARE ROW EXCLUSIVE", "writes"),
    "ShareLock": ("SHARE", "writes"),
}
_HELD = """
SELECT l.pid, l.mode, quote_ident(n.nspname) || '.' || quote_ident(c.relname), coalesce(a.query, '')
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE l.granted AND l.locktype = 'relation' AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
  AND l.mode = ANY (%s) AND l.pid <> pg_backend_pid() AND c.relkind IN ('r', 'p', 'm') AND n.nspname !~ '^pg_'
"""


@dataclass(frozen=True)
class Held:
    """A lock on a table.

    Attributes:
        table: its name.
        mode: as pg_locks has it.
        seconds: for which it was held.
        statement: that ran when it was first seen, without strings.
    """

    table: str
    mode: str
    seconds: float
    statement: str

    @property
    def name(self) -> str:
        """The mode as LOCK TABLE calls it."""
        return _BLOCKS[self.mode][0]

    @property
    def blocks(self) -> str:
        """What it keeps others from."""
        return _BLOCKS[self.mode][1]


def watch(scratch: str, folder: Path, begin: Path, settings: Settings, log: Log, stop: threading.Event) -> None:
    """Looks from when the scratch database is there until `held` asks, or the pod ends; for a thread of its own.

    Args:
        scratch: connection string of the scratch database.
        folder: shared by the pod's containers.
        begin: the file that appears once the scratch database is filled.
        settings: budgets.
        log: where lines for people go.
        stop: set when the pod ends.
    """
    seen: dict[tuple[int, str, str], Held] = {}
    begun: dict[tuple[int, str, str], float] = {}
    (folder / _BEGUN).touch()
    while not begin.exists():
        if stop.wait(_POLL):
            return
    try:
        with contextlib.closing(connect(scratch, settings, log, name="rehearsal")) as connection:
            while not stop.wait(_POLL) and not (folder / _ASKED).exists():
                now = time.monotonic()
                for pid, mode, table, query in connection.execute(_HELD, (list(_BLOCKS),)).fetchall():
                    key = (int(pid), str(mode), str(table))
                    since = begun.setdefault(key, now)
                    first = seen[key].statement if key in seen else " ".join(without_strings(str(query)).split())[:160]
                    seen[key] = Held(table, mode, now - since + _POLL, first)
    except (MigratorError, psycopg.Error) as error:
        log(f"the migration's locks were not seen to their end: {' '.join(str(error).split())}")
    partial = (folder / _FILE).with_suffix(".partial")
    partial.write_text(json.dumps([asdict(each) for each in seen.values()]))
    partial.replace(folder / _FILE)


def held(folder: Path, before: Collection[str]) -> tuple[Held, ...]:
    """The locks that `watch` has seen on tables that were there before, the longest first.

    Args:
        folder: shared by the pod's containers.
        before: the tables that were there, by name.
    """
    if not (folder / _BEGUN).exists():
        return ()
    (folder / _ASKED).touch()
    end = time.monotonic() + 2
    while not (folder / _FILE).exists() and time.monotonic() < end:
        time.sleep(_POLL)
    try:
        found = [Held(**each) for each in json.loads((folder / _FILE).read_text())]
    except (OSError, ValueError):
        return ()
    return tuple(sorted((each for each in found if each.table in before), key=lambda each: -each.seconds))
