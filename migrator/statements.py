"""Splits a SQL file into its statements, each with the line it starts on.

The server accepts a whole file as one query, but then a failure names neither the statement nor the line, and a COMMIT
in its midst goes unseen. Splitting must agree with the server about what ends a statement, so this follows PostgreSQL's
lexical rules (manual, section 4.1): nested block comments, quoted strings and identifiers, dollar quotes, and the two
places in which a semicolon does not end a statement: inside parentheses (CREATE RULE) and inside the BEGIN ATOMIC body
of a SQL routine. Where it should err all the same, the server refuses what the runner sends: see `sessions.execute_one`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from migrator.errors import InvalidMigration

_IDENTIFIER = r"[A-Za-z_\u0080-\U0010ffff][\w$\u0080-\U0010ffff]*"
# What is quoted is matched possessively (++, *+): a way back would be kept for each of its characters, hundreds of bytes
# for one.
_TOKEN = re.compile(
    rf"""
      (?P<space>[ \t\n\r\f\v]+)
    | (?P<line_comment>--[^\n\r]*)
    | (?P<block_comment>/\*)
    | (?P<escape_string>[eE]'(?:[^'\\]++|\\.|'')*+(?P<escape_end>'?))
    | (?P<string>'(?:[^']++|'')*+(?P<string_end>'?))
    | (?P<quoted>"(?:[^"]++|"")*+(?P<quoted_end>"?))
    | (?P<dollar>\$(?:[A-Za-z_\u0080-\U0010ffff][\w\u0080-\U0010ffff]*)?\$)
    | (?P<word>{_IDENTIFIER})
    | (?P<number>\d[\w.]*)
    | (?P<backslash>\\)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_KEPT_WORDS = 8
# Statements that need nothing of a session but what they say themselves. Any other kind reads or writes what only one has.
_NEEDS_NO_SESSION = re.compile(
    "ALTER|ANALYZE|CALL|CLUSTER|COMMENT|COPY|CREATE|DELETE|DO|DROP|EXPLAIN|GRANT|IMPORT|INSERT|MERGE|NOTIFY|REASSIGN|REFRESH"
    "|REINDEX|REVOKE|SECURITY|SELECT|TABLE|TRUNCATE|UPDATE|VACUUM|VALUES|WITH"
)
_SETS = {"DEALLOCATE", "DISCARD", "LISTEN", "LOAD", "PREPARE", "RESET", "SET", "UNLISTEN"}
_UNQUOTED_PASSWORD = re.compile(
    r"(\b(?:CREATE|ALTER)\s+(?:ROLE|USER|GROUP)\b[^;']*\bPASSWORD\s+)(?!NULL\b|[eEuU]&?'|\$)([^\s;']+)", re.IGNORECASE
)
_FOR_A_TRANSACTION = {"LOCAL", "TRANSACTION", "CONSTRAINTS"}
_SET_CONFIG = re.compile(r"\bset_config\s*\(", re.IGNORECASE)
_LOCAL_SET_CONFIG = re.compile(
    r"\bset_config\s*\((?:[^()]|\([^()]*\))*,\s*(?:true|'(?:t|true|on|1|yes)')\s*\)", re.IGNORECASE
)
_KEEPS = re.compile(r"\bpg_(?:try_)?advisory_lock(?:_shared)?\s*\(|\bsetseed\s*\(", re.IGNORECASE)
_READS = re.compile(r"\b(?:currval|lastval)\s*\(|\bpg_temp\b", re.IGNORECASE)
_MAKES = re.compile(
    r"\bCREATE\s+(?:OR\s+REPLACE\s+)?(?:(?:LOCAL|GLOBAL)\s+)?(?:TEMP|TEMPORARY)\b"
    r"|\bCREATE\b[^;(]*\bpg_temp\s*\.|\bINTO\s+(?:(?:LOCAL|GLOBAL)\s+)?(?:TEMP|TEMPORARY)\b"
    r"|^DECLARE\b.*\bWITH\s+HOLD\b",
    re.IGNORECASE | re.DOTALL,
)
_MADE = re.compile(
    rf"^(?:CREATE\b.*?\b(?:TABLE|VIEW|SEQUENCE|FUNCTION|PROCEDURE|TYPE|DOMAIN|AGGREGATE)|DECLARE|.*\bINTO\s+\w+)"
    rf"(?:\s+(?:TABLE|IF|NOT|EXISTS))*\s+(?:pg_temp\s*\.\s*)?(?P<name>\"(?:[^\"]|\"\")+\"|{_IDENTIFIER})",
    re.IGNORECASE | re.DOTALL,
)
# In a DO block: what the same statement would set outside of it.
_SETS_INSIDE = re.compile(
    r"(?:;|\b(?:BEGIN|THEN|ELSE|LOOP))\s*(?:SET(?!\s+(?:LOCAL|TRANSACTION|CONSTRAINTS)\b)|RESET|LISTEN|PREPARE|LOAD)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class ConcurrentIndex:
    """What a CREATE INDEX CONCURRENTLY names, as it is written.

    Attributes:
        name: of the index; empty where the server is to choose one.
        table: on which it is, with the schema if that is written.
    """

    name: str
    table: str


@dataclass(frozen=True)
class Statement:
    """One statement of a file.

    Attributes:
        text: from its first to its last character, without the semicolon and without comments around it.
        line: the line of the file, counted from 1, on which it starts.
        words: its first unquoted words in upper case, enough to tell what kind of statement it is.
    """

    text: str
    line: int
    words: tuple[str, ...] = ()

    def line_at(self, position: int) -> int:
        """Gives the file's line for a server's error position.

        Args:
            position: character of the statement, counted from 1, as PostgreSQL reports it.
        """
        return self.line + self.text.count("\n", 0, max(position - 1, 0))

    def tokens(self) -> list[str]:
        """Gives what it is made of, as it is written, without blanks and comments."""
        return [self.text[begin:stop] for _, begin, stop in _tokens(self.text)]

    def needs_a_session(self) -> bool:
        """Whether it reads or leaves what one session has and another has not, as far as its text tells."""
        first = self.words[0] if self.words else "SELECT"
        return (
            (not _NEEDS_NO_SESSION.fullmatch(first) and not self._is_for_a_transaction())
            or self.sets_the_session()
            or bool(self.made())
            or _READS.search(self._code()) is not None
        )

    def sets_the_session(self) -> bool:
        """Whether all it does is to set something for the statements after it, and so may be run again in another session.

        As `SET search_path` and `SELECT set_config(...)` do, and `SET LOCAL` does not.
        """
        first = self.words[:1]
        if first == ("SELECT",):
            return self._keeps() and not _MAKES.search(self._code())
        return first[0] in _SETS and not self._is_for_a_transaction() if first else False

    def made(self) -> str:
        """Names what it leaves in the session and no second run could bring back: a temporary table with its rows.

        Empty for a statement that leaves nothing of the kind; `*` for a block of code that sets something.
        """
        code = self._code()
        if self.words[:1] != ("DO",) and _MAKES.search(code):
            found = _MADE.match(code)
            return found["name"] if found else "*"
        if self.words[:1] in (("SELECT",), ("CREATE",)):
            return ""
        inside = self.words[:1] == ("DO",) and (_SETS_INSIDE.search(code) or _MAKES.search(code))
        return "*" if inside or self._keeps() else ""

    def mentions(self, name: str) -> bool:
        """Whether a name, written as `made` gives it, occurs in its code."""
        if name == "*":
            return True
        plain = name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()
        return re.search(rf"(?<![\w$]){re.escape(plain)}(?![\w$])", self._code(), re.IGNORECASE) is not None

    def _is_for_a_transaction(self) -> bool:
        return self.words[:1] == ("SET",) and (*self.words, "")[1] in _FOR_A_TRANSACTION

    def _keeps(self) -> bool:
        code = self._code()
        local = len(_LOCAL_SET_CONFIG.findall(code))
        return len(_SET_CONFIG.findall(code)) > local or _KEEPS.search(code) is not None

    def _code(self) -> str:
        """Its text without comments, those in the body of a DO block among them."""
        tokens = self.tokens()
        if self.words[:1] == ("DO",):
            with contextlib.suppress(InvalidMigration):
                tokens = [" ".join(_code_tokens(each)) for each in tokens]
        return " ".join(tokens)

    def concurrent_index(self) -> ConcurrentIndex | None:
        """Gives what a CREATE INDEX CONCURRENTLY names; None for any other statement."""
        kinds = [("CREATE", *unique, "INDEX", "CONCURRENTLY") for unique in ((), ("UNIQUE",))]
        if not any(self.words[: len(kind)] == kind for kind in kinds):
            return None
        tokens = self.tokens()
        upper = [each.upper() for each in tokens]
        at = upper.index("CONCURRENTLY") + 1
        if upper[at : at + 3] == ["IF", "NOT", "EXISTS"]:
            at += 3
        name = ""
        if upper[at : at + 1] != ["ON"]:
            name = "".join(tokens[at : at + 1])
            at += 1
        at += 2 if upper[at : at + 2] == ["ON", "ONLY"] else 1
        end = at + 1
        while tokens[end : end + 1] == ["."]:
            end += 2
        table = "".join(tokens[at:end])
        return ConcurrentIndex(name, table) if table else None  # else the server tells what is wrong with it

    def shortened(self, characters: int = 300) -> str:
        """Gives the statement on one line, without its strings, cut to a length fit for a log."""
        begin = self.text[: 20 * characters]  # enough of a long one
        flat = " ".join(without_strings(begin).split())
        whole = len(flat) <= characters and len(begin) == len(self.text)
        return flat if whole else flat[: characters - 1] + "…"


def with_quoted_passwords(sql: str) -> str:
    """Gives a role's password the quotes that somebody has forgotten, or has taken for a name's: it is secret all the same."""
    return _UNQUOTED_PASSWORD.sub(lambda found: f"{found[1]}'{found[2].strip(chr(34))}'", sql)


def unquoted_values(sql: str, tokens: Sequence[tuple[str, int, int]]) -> list[tuple[int, int]]:
    """Where values of settings of one's own stand without quotes: `SET app.key = word` sets a string all the same.

    Args:
        sql: the text.
        tokens: kind, start and end of each that is neither blank nor comment.
    """
    found: list[tuple[int, int]] = []
    at = 0
    while at < len(tokens):
        end = _after_name(sql, tokens, at)
        at += 1
        while at < end:
            at = end
            begin, stop = tokens[at - 1][2], -1
            while at < len(tokens) and stop in (-1, tokens[at][1]) and sql[tokens[at][1]] not in ";,":
                begin, stop, at = (begin if stop >= 0 else tokens[at][1]), tokens[at][2], at + 1
            if stop >= 0 and sql[begin:stop].upper() != "DEFAULT":
                found.append((begin, stop))
            if at < len(tokens) and sql[tokens[at][1]] == ",":
                end = at + 1
    return found


def _after_name(sql: str, tokens: Sequence[tuple[str, int, int]], at: int) -> int:
    """The index of the token after `SET a.b =`, 0 if nothing of the kind begins here."""

    def word(index: int) -> str:
        return sql[tokens[index][1] : tokens[index][2]].upper() if index < len(tokens) else ""

    if word(at) != "SET":
        return 0
    at += 2 if word(at + 1) in ("LOCAL", "SESSION") and word(at + 2) != "." else 1
    if word(at + 1) != ".":
        return 0
    while word(at + 1) == ".":
        at += 2
    return at + 2 if word(at + 1) in ("=", "TO") and at + 2 < len(tokens) else 0


def without_strings(sql: str) -> str:
    """Gives SQL with its strings left out, and without comments: what is secret in it is in one of them, whatever it is for.

    A password, a connection string, a key, a row: no list of the places where one may stand would be complete.

    Args:
        sql: statements, or the beginning of some: what is not closed counts as a string or comment to its end.
    """
    sql = with_quoted_passwords(sql)
    tokens = list(_lenient(sql))
    code = [each for each in tokens if each[0] not in ("space", "line_comment")]
    values = dict(unquoted_values(sql, code))
    shown: list[str] = []
    hidden = 0
    for kind, begin, stop in tokens:
        if begin < hidden:
            continue
        if begin in values:
            hidden = values[begin]
            shown.append("'…'")
        elif kind == "dollar":
            shown.append("$$…$$")
        elif kind in ("string", "escape_string"):
            shown.append("'…'")
        elif kind != "line_comment":
            shown.append(sql[begin:stop])
    return "".join(shown)


def _lenient(sql: str) -> Iterator[tuple[str, int, int]]:
    """Gives kind, start and end of all that is no block comment; what is not closed ends with the text."""
    position = 0
    while position < len(sql):
        match = _TOKEN.match(sql, position)
        assert match is not None, "every character matches `other`"
        kind, stop, text = match.lastgroup or "other", match.end(), match.group()
        if kind == "block_comment":
            with contextlib.suppress(InvalidMigration):
                position = _after_comment(sql, position)
                continue
            break
        if kind == "dollar":
            closing = sql.find(text, stop)
            stop = closing + len(text) if closing >= 0 else len(sql)
        yield kind, position, stop
        position = stop


def split(sql: str) -> list[Statement]:
    """Splits the text of a SQL file.

    Args:
        sql: the file's text.

    Returns:
        Its statements in order; empty ones and comments are left out.

    Raises:
        InvalidMigration: a quote or comment is not closed, or the text holds a psql command.
    """
    return list(_statements(sql))


def line_comments(sql: str) -> Iterator[tuple[int, str, bool]]:
    """Gives the `--` comments of a SQL file, not what looks like one inside of a string or another comment.

    Args:
        sql: the file's text.

    Returns:
        Of each its place in the text, its own text, and whether it stands before every statement.
    """
    first = True
    for kind, begin, stop in lexemes(sql):
        if kind == "line_comment":
            yield begin, sql[begin:stop], first
        elif sql[begin:stop] != ";":
            first = False


def _code_tokens(token: str) -> Iterator[str]:
    """Gives the tokens inside of a dollar-quoted one; any other as it is."""
    tag = re.match(r"\$\w*\$", token)
    if tag is None:
        return iter([token])
    body = token[tag.end() : -tag.end()]
    return (body[begin:stop] for _, begin, stop in _tokens(body))


def _statements(sql: str) -> Iterator[Statement]:
    start = end = -1  # of the current statement's tokens; comments and blanks around it do not count
    words: list[str] = []
    line, counted = 1, 0  # the line of the character at `counted`
    parentheses = bodies = 0
    begun = False  # whether the token before is a BEGIN that may open a body
    for kind, begin, stop in _tokens(sql):
        text = sql[begin:stop]
        if kind == "other" and text == ";" and parentheses == 0 and bodies == 0:
            if start >= 0:
                yield Statement(sql[start:end], line, tuple(words))
            start, words = -1, []
            continue
        if start < 0:
            start = begin
            line, counted = line + sql.count("\n", counted, start), start
        end = stop
        after_begin, begun = begun, False
        if kind == "other":
            if text == "(":
                parentheses += 1
            elif text == ")":
                parentheses = max(parentheses - 1, 0)
        elif kind == "word":
            word = text.upper()
            if parentheses == 0 and _is_routine(words):
                begun = word == "BEGIN"  # alone it may be a name, the routine's own for one
                if (word == "ATOMIC" and after_begin) or (word == "CASE" and bodies):
                    bodies += 1
                elif word == "END" and bodies:
                    bodies -= 1
            if len(words) < _KEPT_WORDS:
                words.append(word)
    if start >= 0:
        yield Statement(sql[start:end], line, tuple(words))


def _is_routine(words: list[str]) -> bool:
    """Whether the statement creates a function or procedure: only there does BEGIN ATOMIC open a body."""
    rest = words[3:4] if words[1:3] == ["OR", "REPLACE"] else words[1:2]
    return words[:1] == ["CREATE"] and rest in (["FUNCTION"], ["PROCEDURE"])


def _tokens(sql: str) -> Iterator[tuple[str, int, int]]:
    """Gives kind, start and end of every token that is neither blank nor comment."""
    return (each for each in lexemes(sql) if each[0] != "line_comment")


def lexemes(sql: str) -> Iterator[tuple[str, int, int]]:
    """Gives kind, start and end of the tokens of a SQL file and of the `--` comments between them.

    Raises:
        InvalidMigration: see `split`.
    """
    position = 0
    while position < len(sql):
        match = _TOKEN.match(sql, position)
        assert match is not None, "every character matches `other`"
        kind, stop = match.lastgroup or "other", match.end()
        for name in ("escape", "string", "quoted"):
            if match.group(f"{name}_end") == "":
                raise _unclosed(sql, position, "quoted identifier" if name == "quoted" else "string")
        if match.group("block_comment"):
            position = _after_comment(sql, position)
            continue
        if match.group("space"):
            position = stop
            continue
        if match.group("backslash"):
            line = sql.count("\n", 0, position) + 1
            raise InvalidMigration(
                f"line {line}: a backslash command of psql is not SQL",
                line=line,
                hint="Write the statement itself; only the server reads these files.",
            )
        if tag := match.group("dollar"):
            closing = sql.find(tag, stop)
            if closing < 0:
                raise _unclosed(sql, position, f"dollar-quoted string {tag}")
            kind, stop = "string", closing + len(tag)
        if match.group("word"):
            kind = "word"
        yield kind, position, stop
        position = stop


def _after_comment(sql: str, position: int) -> int:
    depth = 0
    for edge in _COMMENT_EDGE.finditer(sql, position):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    raise _unclosed(sql, position, "comment")


def _unclosed(sql: str, position: int, what: str) -> InvalidMigration:
    line = sql.count("\n", 0, position) + 1
    return InvalidMigration(f"line {line}: the {what} that starts here is never closed", line=line)
