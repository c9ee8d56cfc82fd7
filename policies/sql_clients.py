"""Clients of databases that run the SQL which they are given: whether that only looks, and whether the client fails with it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .shell import Does

_GOES_ON = "goes on after a statement that has failed"
# Statements that change nothing; a function may do anything, but for these.
_LOOKS = re.compile(
    r"(?:select|show|values|table|explain|\\[dlz]\S*|\\conninfo|\\q|\\echo|describe|use|begin|commit|rollback|set)\b.*",
    re.DOTALL,
)
_CALLS = re.compile(r"(?<![\w.])([\w.]++)\s*+\(")
_HARMLESS = re.compile(
    r"count|now|version|current_\w+|to_reg\w+|coalesce|max|min|sum|avg|exists|in|and|or|as|pg_is_in_recovery|pg_postmaster_start_time"
    r"|inet_server_\w+|has_\w+_privilege|length|lower|upper|values|interval|extract|from|where|not|any|all"
)
_STOPS = re.compile(r"^[ \t]*+\\set[ \t]++ON_ERROR_STOP[ \t]++(?:on|1|true|yes)\b", re.MULTILINE | re.IGNORECASE)
_LONGEST = 4_096  # a longer text is not one that only looks
_ON = ("", "1", "on", "true", "yes", "t", "y")


def _only_looks(sql: str) -> bool:
    if len(sql) > _LONGEST:
        return False
    statements = [text.strip().lower() for text in sql.split(";") if text.strip()]
    return all(
        _LOOKS.match(text) and " into " not in text and all(_HARMLESS.fullmatch(name) for name in _CALLS.findall(text))
        for text in statements
    )


def _given(words: Sequence[str], short: str, *long: str) -> list[str]:
    """What a flag is given, each time that it is: ``-c x``, ``-cx``, ``-Atc x``, ``--command x``, ``--command=x``."""
    found = []
    for n, word in enumerate(words):
        after = words[n + 1] if n + 1 < len(words) else ""
        flag, equals, value = word.partition("=")
        if flag.startswith("--"):
            if flag[2:] in long:
                found.append(value if equals else after)
        elif word.startswith("-") and short and (at := _cluster(word, short)):
            found.append(word[at:] or after)
    return found


def _cluster(word: str, short: str) -> int:
    """Where the value of a short flag begins that may stand behind others which have none."""
    found = re.match(rf"-[AabeEHilnqsStwWxXzZ01]*{short}", word)
    return found.end() if found else 0


def _psql(words: Sequence[str], given: str) -> Does:
    """https://www.postgresql.org/docs/current/app-psql.html : its exit status is 3 for an error in a script only with ON_ERROR_STOP."""
    if any(re.fullmatch(r"-l|--list|--help(=.*)?|-\?|-V|--version", word) for word in words[1:]):
        return Does("idle")
    commands, files = _given(words, "c", "command"), _given(words, "f", "file")
    if commands and not files and all(map(_only_looks, commands)):
        return Does("idle")
    stops = _STOPS.search("\n".join((*commands, given))) is not None
    for setting in _given(words, "v", "set", "variable"):
        name, _, value = setting.partition("=")
        if name == "ON_ERROR_STOP":
            stops = value.lower() in _ON and "=" in setting
    return Does("other", "" if stops or (len(commands) == 1 and not files) else _GOES_ON)


def _mysql(words: Sequence[str]) -> Does:
    if any(word in ("--help", "-?", "--version", "-V") for word in words[1:]):
        return Does("idle")
    commands = _given(words, "e", "execute")
    if commands and all(map(_only_looks, commands)):
        return Does("idle")
    return Does("other", _GOES_ON if "--force" in words or "-f" in words else "")


def _sqlcmd(words: Sequence[str], given: str) -> Does:
    """https://learn.microsoft.com/sql/tools/sqlcmd/sqlcmd-utility : only with -b it ends at an error."""
    commands = _given(words, "[qQ]")
    if commands and all(map(_only_looks, commands)):
        return Does("idle")
    stops = any(re.fullmatch(r"-b\w*", word) for word in words) or re.search(r"(?im)^\s*:on error exit\b", given)
    return Does("other", "" if stops else _GOES_ON)


def _sqlplus(words: Sequence[str], given: str) -> Does:
    """https://docs.oracle.com/en/database/oracle/oracle-database/23/sqpug/WHENEVER-SQLERROR.html"""
    return Does("other", "" if re.search(r"(?i)whenever\s+sqlerror\s+exit", " ".join((*words, given))) else _GOES_ON)


CLIENTS = frozenset(["psql", "mysql", "mariadb", "sqlcmd", "sqlplus"])


def read_client(name: str, words: Sequence[str], given: str) -> Does:
    """What a client does that is called so.

    Args:
        given: what is known of its input and its files.
    """
    if name == "psql":
        return _psql(words, given)
    if name == "sqlplus":
        return _sqlplus(words, given)
    return _sqlcmd(words, given) if name == "sqlcmd" else _mysql(words)
