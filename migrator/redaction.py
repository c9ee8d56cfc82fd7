"""Takes out of what the server says the strings of the statement that it speaks of.

An error quotes what it could not use: a password that is no connection string, a row that violates a constraint, the
statement that a function was running. What was a string in the file is left out of that, word by word, unless it is written
as something else too, such as a column's name. The words of a RAISE are meant to be read, and stay.

What is in rows is in no file. The server quotes it in errors of two classes, 22 (data exception) and 23 (integrity constraint
violation), and in the line of a COPY; there all that it quotes is left out, whatever language its messages are in.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
from collections.abc import Iterator, Sequence

import psycopg

from migrator.errors import InvalidMigration
from migrator.statements import lexemes, unquoted_values, with_quoted_passwords

_SHORTEST = 3
_LONGEST = 1000  # of what several strings make together
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


_OF_ENCODINGS = ("22021", "22P05")  # what these quote are encodings' names
_OF_ROWS = ("23502", "23514")
_OPENS = re.compile(r"[\"«»„“]|(?<!\w)'")
_CLOSES = "\"'«»“”"
_LINE_OF_DATA = re.compile(r"[^\":]*:\s")
_UNICODE = re.compile(r"\\(?:\\|\+[0-9A-Fa-f]{6}|[0-9A-Fa-f]{4})")


def told(error: psycopg.Error, sql: str = "", file: str = "", *, context: bool = True) -> str:
    """Gives message, detail and context of an error on one line, without the statement's strings and without what is in rows.

    Args:
        error: of the server.
        sql: the statement.
        file: see `redacted`.
        context: whether to give it.
    """
    said = error.diag
    message = said.message_primary or " ".join(str(error).split())
    lines = (said.context or "").splitlines() if context else []
    parts = without_rows(error.sqlstate or "", message, said.message_detail or "", lines)
    return ". ".join(" ".join(redacted(each, sql, file).split()) for each in parts if each)


def without_rows(sqlstate: str, message: str, detail: str = "", context: Sequence[str] = ()) -> list[str]:
    """Leaves out of what the server says of an error what is in rows.

    Args:
        sqlstate: of the error.
        message: its first line.
        detail: more of it.
        context: where it happened, a line each.
    """
    lines = [_without_data(each) for each in context]
    if sqlstate.startswith("22") and sqlstate not in _OF_ENCODINGS:
        message, detail = _unquoted(message), _unquoted(detail)
        lines = [each if _STATEMENT.match(each) else _unquoted(each) for each in lines]
    elif sqlstate.startswith("23"):
        # A whole row, or the columns of a key and then its values.
        begin = detail.find("(") if sqlstate in _OF_ROWS else detail.find(")=(") + 2
        if 0 <= begin < (end := detail.rfind(")")) and detail[begin] == "(":
            detail = f"{detail[:begin]}(…{detail[end:]}"
    return [message, detail, " ".join(lines)]


# A statement that a function was running: its own strings are left out of it, and no row is in it.
_STATEMENT = re.compile(
    r'[^":]*"\s*(?:ALTER|CALL|COPY|CREATE|DELETE|DO|DROP|EXECUTE|INSERT|MERGE|SELECT|SET|UPDATE|WITH)\s', re.IGNORECASE
)


def _without_data(line: str) -> str:
    """A line of context without the line of data in it, such as `COPY t, line 1, column a: "..."`."""
    found = _LINE_OF_DATA.match(line)
    return f"{found.group().rstrip()} …" if found else line


def _unquoted(text: str) -> str:
    """A text without what is in quotes, from the first to the last: what is quoted may hold quotes."""
    first = _OPENS.search(text)
    if first is None:
        return text
    last = max(text.rfind(each) for each in _CLOSES)
    return f"{text[: first.end()]}…{text[last:] if last >= first.end() else ''}"


def redacted(said: str, sql: str, file: str = "") -> str:
    """Gives what the server said of a statement without the statement's strings.

    Args:
        said: message, detail or context.
        sql: the statement.
        file: what else may have strings that it uses: the statements before it may have set them.
    """
    said = _STRING.sub("'…'", said)
    hidden: set[str] = set()
    all_shown: set[str] = set()
    for text in filter(None, (sql, file)):
        strings: set[str] = set()
        shown: set[str] = set()
        for each, is_hidden in _words(text):
            (strings if is_hidden else shown).add(each)
        all_shown |= shown
        hidden |= strings - all_shown
    hidden = {each for each in hidden if not _SERVERS.fullmatch(each)}
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
    code = [each for each in tokens if each[0] != "line_comment"]
    values = dict(unquoted_values(sql, code))
    raised = False
    hidden = 0
    joined = ""  # strings that stand next to each other or are put together by ||
    before = ["", ""]
    for index, (kind, begin, stop) in enumerate(code):
        if begin < hidden:
            continue
        if begin in values:
            hidden = values[begin]
            yield from _parts(sql[begin:hidden].strip('"'))
            if kind not in ("string", "escape_string"):
                continue
        text = sql[begin:stop]
        upper = text.upper()
        if kind in ("string", "escape_string"):
            content = _content(text)
            if before[1] == "&" and before[0].upper() in ("U", '"U'):
                content = _in_code_points(content, [sql[begin:stop] for _, begin, stop in code[index + 1 : index + 3]])
            if raised:
                continue
            if (text.startswith("$") and first in ("DO", "CREATE")) or _BEGINS_SQL.match(content):
                yield from _words(content)
            else:
                joined = (joined + content)[-_LONGEST:] if before[1] in ("|", "'") else content
                for each in {content, joined, *_decoded(content), *_decoded(joined)}:
                    yield from _parts(each)
            before = [before[1], "'"]
            continue
        yield text.strip('"') if kind == "quoted" else text, False
        before = [before[1], text]
        if text not in ("|", "U", "u", "E", "e", "&"):
            joined = ""
        raised = (raised or upper in ("RAISE", "ASSERT")) and text != ";"


def _parts(content: str) -> Iterator[tuple[str, bool]]:
    for each in (content, *_WORD.findall(content)):
        if len(each) >= _SHORTEST:
            yield each, True


def _decoded(content: str) -> Iterator[str]:
    """What a string is once it is decoded from base64 or hexadecimal digits, if that gives a text."""
    plain = "".join(content.split())
    for decode in (base64.b64decode, lambda text: binascii.unhexlify(text.removeprefix("\\x"))):
        with contextlib.suppress(ValueError):
            yield decode(plain + "=" * (-len(plain) % 4) if decode is base64.b64decode else plain).decode()


def _content(token: str) -> str:
    if token.startswith("$"):
        tag = token[: token.index("$", 1) + 1]
        return token[len(tag) : -len(tag)]
    content = token[token.index("'") + 1 : -1].replace("''", "'")
    return _LETTERS.sub(_letter, content) if token[0] in "eE" else content


def _in_code_points(content: str, after: Sequence[str]) -> str:
    """A U& string's text; another escape than a backslash may be set after it."""
    if len(after) == 2 and after[0].upper() == "UESCAPE":
        content = content.replace(after[1].strip("'"), "\\")
    return _UNICODE.sub(_code_point, content)


def _code_point(match: re.Match[str]) -> str:
    escape = match.group()[1:].lstrip("+")
    return "\\" if escape == "\\" else chr(min(int(escape, 16), 0x10FFFF))


def _letter(match: re.Match[str]) -> str:
    escape = match.group()[1:]
    if escape[0] in "01234567":
        return chr(int(escape, 8) & 0xFF)
    if escape[0] in "xuU" and len(escape) > 1:
        return chr(min(int(escape[1:], 16), 0x10FFFF))
    return {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}.get(escape, escape)
