"""Takes out of what the server says the strings of the statement that it speaks of.

An error quotes what it could not use: a password that is no connection string, a row that violates a constraint, the
statement that a function was running. What was a string in the file is left out of that, word by word, unless it is written
as something else too, such as a column's name. The words of a RAISE are meant to be read, and stay.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from migrator.errors import InvalidMigration
from migrator.statements import lexemes, with_quoted_passwords

_SHORTEST = 3
_WORD = re.compile(r"[^\s=:;,/@&?'\"()<>{}\[\]|\\«»„“”]+")
_LETTERS = re.compile(r"\\(?:[0-7]{1,3}|x[0-9A-Fa-f]{1,2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)", re.DOTALL)
# SQL that the server shows in the context of an error; an apostrophe in its own words follows a letter.
_STRING = re.compile(r"(?<!\w)(?:[eEN]|[uU]&)?'(?:[^']|'')*(?:'|$)|\$(\w*)\$.*?(?:\$\1\$|$)", re.DOTALL)
_BEGINS_SQL = re.compile(
    r"\s*(?:ALTER|CALL|COPY|CREATE|DECLARE|DELETE|DO|DROP|EXECUTE|GRANT|INSERT|MERGE|SELECT|SET|UPDATE|WITH)\s",
    re.IGNORECASE,
)
# Words of the server's own messages are no news, whoever else has written them.
_SERVERS = re.compile(
    "already|and|are|cannot|check|column|constraint|contains|detail|does|duplicate|error|exist|exists|failed|failing|for"
    "|from|function|has|input|integer|invalid|key|line|near|not|null|relation|row|statement|syntax|table|text|the|type"
    "|unique|user|value|values|violates|with"
)


def redacted(said: str, sql: str) -> str:
    """Gives what the server said of a statement without the statement's strings.

    Args:
        said: message, detail or context.
        sql: the statement.
    """
    said = _STRING.sub("'…'", said)
    hidden: set[str] = set()
    shown: set[str] = set()
    for each, is_hidden in _words(sql):
        (hidden if is_hidden else shown).add(each)
    hidden = {each for each in hidden - shown if not _SERVERS.fullmatch(each)}
    for whole in sorted((each for each in hidden if not _WORD.fullmatch(each)), key=len, reverse=True):
        said = said.replace(whole, "…")

    def word(match: re.Match[str]) -> str:
        found = match.group()
        plain = found.rstrip(".!…")
        if plain in hidden or (found.endswith("...") and any(each.startswith(plain) for each in hidden)):
            return "…" + found[len(plain) :]
        return found

    return _WORD.sub(word, said)


def _words(sql: str) -> Iterator[tuple[str, bool]]:
    """Gives what is written in SQL, and of each word whether it is part of a string."""
    sql = with_quoted_passwords(sql)
    tokens: list[tuple[str, int, int]] = []
    with contextlib.suppress(InvalidMigration):
        tokens.extend(lexemes(sql))
    first = next((sql[begin:stop].upper() for kind, begin, stop in tokens if kind == "word"), "")
    raised = False
    for kind, begin, stop in tokens:
        text = sql[begin:stop]
        upper = text.upper()
        if kind == "line_comment":
            continue
        if kind in ("string", "escape_string"):
            content = _content(text)
            if raised:
                continue
            if (text.startswith("$") and first in ("DO", "CREATE")) or _BEGINS_SQL.match(content):
                yield from _words(content)
            else:
                yield from _parts(content)
        else:
            yield text.strip('"') if kind == "quoted" else text, False
        raised = (raised or upper in ("RAISE", "ASSERT")) and text != ";"


def _parts(content: str) -> Iterator[tuple[str, bool]]:
    for each in (content, *_WORD.findall(content)):
        if len(each) >= _SHORTEST:
            yield each, True


def _content(token: str) -> str:
    if token.startswith("$"):
        tag = token[: token.index("$", 1) + 1]
        return token[len(tag) : -len(tag)]
    content = token[token.index("'") + 1 : -1].replace("''", "'")
    return _LETTERS.sub(_letter, content) if token[0] in "eE" else content


def _letter(match: re.Match[str]) -> str:
    escape = match.group()[1:]
    if escape[0] in "01234567":
        return chr(int(escape, 8) & 0xFF)
    if escape[0] in "xuU" and len(escape) > 1:
        return chr(min(int(escape[1:], 16), 0x10FFFF))
    return {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}.get(escape, escape)
