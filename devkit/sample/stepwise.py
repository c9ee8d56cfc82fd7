"""Migrates as many programs do, and the project's runner does not: each statement is committed as it comes.

There to show what is told of such an image when it fails in the middle. It is not the runner with a switch: its record
is a table of its own, as a foreign tool's is.
"""

from __future__ import annotations

import sys

import psycopg

from devkit.sample.versions import Version
from migrator import files

_RECORD = "CREATE TABLE IF NOT EXISTS schema_migrations (version bigint PRIMARY KEY)"


def migrate(uri: str, version: Version) -> int:
    """Runs what neither this nor the project's runner has recorded.

    Args:
        uri: the database.
        version: whose files to run.

    Returns:
        The exit code: 1 when the server refused a statement; what came before it stays.
    """
    with psycopg.connect(uri, autocommit=True) as connection:
        done = {row[0] for row in connection.execute("SELECT number FROM migrator.migrations").fetchall()}
        connection.execute(_RECORD)
        done |= {row[0] for row in connection.execute("SELECT version FROM schema_migrations").fetchall()}
        for file in files.read(version.directories):
            if file.number in done:
                continue
            for statement in file.statements:
                try:
                    connection.execute(statement.text.encode())
                except psycopg.Error as error:
                    print(f"{file.name}: {error} (SQLSTATE {error.sqlstate})", file=sys.stderr)
                    return 1
            connection.execute("INSERT INTO schema_migrations VALUES (%s)", (file.number,))
    return 0
