"""Where a database can be dropped: in the two places that look first whose it is."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
ROOMS = ("automation", "components", "migrator", "policies", "settings")


def test_no_database_is_dropped_but_where_its_owner_is_looked_at() -> None:
    files = [file for room in ROOMS for file in (REPOSITORY / room).rglob("*.py")]
    dropping = {
        file.relative_to(REPOSITORY).as_posix()
        for file in files
        if re.search(r'SQL\(\s*f?"+\s*DROP DATABASE|execute\([^)]*DROP DATABASE|"dropdb"', file.read_text())
    }
    assert dropping == {"migrator/database.py", "migrator/scratch.py"}
