"""Everything that meets foreign text takes time in proportion to its length: a megabyte of its worst, in less than a second of CPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from automation import wording
from automation.database import parse as parse_database
from automation.plan import Change
from automation.pulumi_adapter import classify, without_traceback
from automation.verdict import JobReport, ModuleVerdict, Outcome, Serving, Verdict, essence
from ci.report import grouped, shortened
from components.errors import RehearsalFailed
from components.foreign_text import flat, one_line, quoted, read
from components.pod_log import bounded
from components.redact import Redactor
from components.termination_message import TerminationMessage, parse

LENGTH = 1_000_000
SECONDS = 1.0

# What makes a pattern begin again at every place, or go back over what it has read.
WORST = (
    "a", "a-", "a.", "-", ".", " ", "\t", "\n", " \n", "\r", "\r\n", "\\", '"', "'", "#", "##", "##a", "[", "{", '{"a":', "(", "(a/a",
    "://", "x://a:b/", "://u:aaaa@", "https://a:b?c@d ", "a://b:c", "@", ":", "password=", 'password="', "password='", 'password=\\"',
    "password: a ", "password E'", "password=\\", "password=,a", "token:", "token:a,", "token: a ", "api_key=", "--", "--a-", "--password ",
    "authorization:", "authorization: bearer ", "authorization: digest ", "bearer ", "bearer aaaaaaaa", "eyJ", "eyJ-", "eyJaaaaaaaa.",
    "-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "hunter2-secre", "SQLSTATE ", "SQLSTATE:(", "\x1b[", "\x1b[1", "\x1b[1;", "\ud800", "\u202e",
    "\u65e5", "\u0130", "Traceback (most recent call last):\n", " Traceback (most recent call last):\n", " x\n", "x: created by ", "rollout:",
    "* ", "error occurred:\n", "policy a/b: ", "note: policy ", "(a/b)\n", "```", "<details", "|", "`",
)  # fmt: skip


def report(text: str) -> str:
    part = text[: LENGTH // 10]
    words = TerminationMessage(part, "22012", part, part, 1, part, (part,))
    job = JobReport("j", logs=(part,), words=words, failed=True)
    module = ModuleVerdict("ledger", "2", "1", Outcome.MIGRATION_FAILED, part, job=job, serving=Serving("1", 1, 1))
    return wording.text(Verdict("dev", "3.274.1", Outcome.MIGRATION_FAILED, 1.0, (module,), error=part))


def few_lines(text: str) -> str:
    """A text of short lines that are there again and again, which is the worst for a comparison."""
    return "".join(f"{text[0]}{number * number % 4001}\n" for number in range(len(text) // 7))


READERS: dict[str, Callable[[str], Any]] = {
    "redact": Redactor(["hunter2-secret", 'p@ss/w"ord', "admin"]),
    "flat": flat,
    "one_line": one_line,
    "quoted": lambda text: list(quoted(text)),
    "read": read,
    "parse": parse,
    "parse logs": lambda text: parse("", text.split("\n")),
    "database": parse_database,
    "program error": lambda text: str(RehearsalFailed("m", "1", "j", "refused", text)),
    "verdict": report,
    "engine: traceback": without_traceback,
    "engine: failure": lambda text: classify(1, text, text, [text]),
    "engine: lock": lambda text: classify(1, "", "the stack is currently locked by 1 lock\n" + text),
    "engine: essence": essence,
    "log": lambda text: list(bounded([text[at : at + 1000] for at in range(0, len(text), 1000)], 1 << 14)),
    "plan": lambda text: list(Change("p", few_lines(text), few_lines(text)[::-1]).lines()),
    "ci: grouped": lambda text: grouped(text.split("\n")),
    "ci: shortened": lambda text: shortened(text, 10_000),
}


@pytest.mark.measures
@pytest.mark.parametrize("reader", READERS)
def test_a_megabyte_of_its_worst_takes_less_than_a_second(reader: str) -> None:
    slow = {}
    for unit in WORST if reader != "plan" else WORST[:1]:
        text = unit * (LENGTH // len(unit)) + " y"
        begun = time.process_time()
        READERS[reader](text)
        took = time.process_time() - begun
        if took > SECONDS:
            slow[unit] = round(took, 2)
    assert not slow
