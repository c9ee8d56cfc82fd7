"""Every example of docs/migrations.md does what the text says, with the old version's queries before and after each step."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

import migrator
from migrator import compatibility, fingerprint
from migrator.compatibility import RULES, Finding
from migrator.fingerprint import Snapshot
from migrator.lint import lint
from migrator.statements import split
from tests.cluster.migrator.conftest import QUIET, REPOSITORY, Database

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]


@dataclass(frozen=True)
class Block:
    language: str
    words: tuple[str, ...]
    text: str


def chapters() -> dict[str, list[Block]]:
    found: dict[str, list[Block]] = {}
    for part in re.split(r"^## ", (REPOSITORY / "docs" / "migrations.md").read_text(), flags=re.MULTILINE)[1:]:
        blocks = re.findall(r"^```(\w+) ?([^\n]*)\n(.*?)^```", part, flags=re.MULTILINE | re.DOTALL)
        found[part.partition("\n")[0]] = [
            Block(language, tuple(words.split()), text) for language, words, text in blocks
        ]
    return found


CHAPTERS = {title: blocks for title, blocks in chapters().items() if any(each.language == "sql" for each in blocks)}


class Ledger:
    """A chapter's database, with the queries that must work on it."""

    def __init__(self, base: Database) -> None:
        self.base = base
        self.queries: dict[str, str] = {}
        self.steps = 0

    def schema(self, text: str) -> None:
        self.base.execute(text)

    def old(self, text: str) -> None:
        self.queries["old"] = text
        assert self.failures() == []

    def new(self, text: str) -> None:
        self.queries["new"] = text
        assert self.failures() == []

    def true(self, text: str) -> None:
        with psycopg.connect(self.base.uri) as connection:
            assert failures(connection, self.queries) == []  # what is true must be so after both versions have written
            assert connection.execute(text.encode()).fetchone() == (True,)
            connection.rollback()

    def wrong(self, text: str, level: str, rule: str) -> None:
        before = self.taken()
        with psycopg.connect(self.base.uri) as connection:
            connection.execute(self.queries["old"].encode())
            connection.execute(text.encode())
            self.judged(compatibility.classify(before, fingerprint.take(connection)), level, rule)
            connection.rollback()
            if level == "breaks":
                connection.execute(text.encode())
                assert failures(connection, {"old": self.queries["old"]}), "nothing of the old version fails"
                connection.rollback()

    def step(self, text: str, level: str, rule: str = "", gone: str = "") -> None:
        self.steps += 1
        (self.base.directory / f"{self.steps:04}_step.sql").write_text(text)
        assert [each for each in lint([self.base.directory]) if each.level == "error"] == []
        before = self.taken()
        migrator.run(self.base.uri, self.base.directory, QUIET)
        after = self.taken()
        if level == "contract":
            self.judged(compatibility.classify(before, after), "breaks", rule)
            assert compatibility.worst(compatibility.classify(before, after, contract=True)) != "breaks"
        else:
            self.judged(compatibility.classify(before, after), level, rule)
        if level == "contract" or gone:
            del self.queries["old"]
        assert self.failures() == []

    def taken(self) -> Snapshot:
        with psycopg.connect(self.base.uri) as connection:
            return fingerprint.take(connection)

    def failures(self) -> list[str]:
        with psycopg.connect(self.base.uri) as connection:
            found = failures(connection, self.queries)
            connection.rollback()
            return found

    def judged(self, findings: tuple[Finding, ...], level: str, rule: str) -> None:
        assert compatibility.worst(findings) == level, "\n".join(map(str, findings))
        assert not rule or rule in {each.rule for each in findings if each.level == level}


def failures(connection: psycopg.Connection, queries: dict[str, str]) -> list[str]:
    """What fails of versions' queries, each version in a savepoint of its own."""
    found = []
    connection.execute("SELECT")  # or the first of the blocks below would be a transaction of its own, and be committed
    for version, text in queries.items():
        for statement in split(text):
            try:
                with connection.transaction():
                    connection.execute(statement.text.encode())
            except psycopg.Error as error:
                found.append(f"{version}: {statement.text}: {error}")
    return found


@pytest.mark.parametrize("title", CHAPTERS)
def test_a_chapter_s_steps_keep_the_old_version_working_and_what_is_called_wrong_breaks_it(
    title: str, base: Database
) -> None:
    ledger = Ledger(base)
    for block in CHAPTERS[title]:
        verb, *words = block.words
        assert set(words[1:]) <= {"gone", *(each.id for each in RULES)}
        getattr(ledger, verb)(block.text, *words)


def test_the_commands_exit_and_say_as_shown(base: Database, tmp_path: Path) -> None:
    (commands,), (shown,) = (
        [each.text for blocks in chapters().values() for each in blocks if each.language == language]
        for language in ("bash", "text")
    )
    work = tmp_path / "work"
    work.mkdir()
    said = ""
    for line in filter(None, commands.splitlines()):
        command, _, comment = line.partition("#")
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=work,
            env={
                **os.environ,
                "POSTGRES_URI": base.uri,
                "PYTHONPATH": str(REPOSITORY),
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "TERMINATION_LOG": os.devnull,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        expected = int(comment.rpartition(" ")[2]) if "exits with" in comment else 0
        assert done.returncode == expected, f"{command}: {done.stderr}"
        said += done.stdout + done.stderr
    assert all(line in said for line in shown.splitlines())
