"""Names of databases: a module's, and those that are made beside it for a while."""

from __future__ import annotations

import hashlib
import re

# https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS: NAMEDATALEN - 1 bytes, the rest is cut off.
LONGEST = 63
PURPOSES = ("rehearsal", "restoring", "proof")


def scratch_name(database: str, purpose: str, digits: str) -> str:
    """The name of a scratch database, as the migrator knows it (`migrator/scratch.py`).

    Args:
        database: that it stands beside.
        purpose: of `PURPOSES`.
        digits: eight hexadecimal ones.
    """
    return _within(database, f"-{purpose}-{digits}")


def is_scratch_name(name: str, database: str) -> bool:
    """Whether a database's name is one that a scratch database of another may have, now or in versions before."""
    for purpose in PURPOSES:
        made = [scratch_name(database, purpose, name[-8:])] if re.fullmatch("[0-9a-f]{8}", name[-8:]) else []
        # Versions before gave them no digits, and dropped what they found there.
        digest = hashlib.sha256(f"{database}-{purpose}".encode()).hexdigest()[:8]
        made += [_within(database, f"-{purpose}"), f"{database[:44]}-{digest}-{purpose}"]
        if name in made:
            return True
    return False


def _within(database: str, ending: str) -> str:
    return database.encode()[: LONGEST - len(ending)].decode(errors="ignore") + ending
