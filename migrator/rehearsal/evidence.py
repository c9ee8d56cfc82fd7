"""The statements that the serving version really uses, held against the schema that a rehearsed migration has made.

They come from pg_stat_statements, or from a file of the user's. Each is prepared on the scratch database before the
migration and again afterwards: the server parses it, finds its tables, columns, functions and operators, and infers its
parameters' types. Nothing is run. A statement that cannot be prepared before the migration says nothing and is set aside.

From the same look comes what each statement touches, which a static finding can be compared with. It is what pg_depend
has of an SQL function made of the statement, so views and functions are named and not what is behind them.
"""

from __future__ import annotations

import base64
import json
import math
import re
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import psycopg
from psycopg import pq

from migrator.fingerprint import Object, Snapshot
from migrator.sessions import Log
from migrator.statements import split, without_strings

_NAME = "rollout_statement"
_SECONDS = 20.0  # for all statements, in each of the two looks
_LARGE_ROWS = 10_000  # of a table that is better not read from its beginning to its end
_USER_OID = 16_384  # the first that is not the server's own; FirstNormalObjectId in its access/transam.h
_USES_DATA = re.compile(r"\s*(?:\(\s*)*(?:SELECT|INSERT|UPDATE|DELETE|MERGE|WITH|VALUES|TABLE)\b", re.IGNORECASE)
_TYPED = re.compile(
    r"\b(interval|date|timestamptz|timestamp(?:\s+with(?:out)?\s+time\s+zone)?|timetz|time(?:\s+with(?:out)?\s+time\s+zone)?"
    r"|jsonb?|uuid|inet|cidr|numeric|text|bytea|boolean|bool|xml)\s+(\$\d+)",
    re.IGNORECASE,
)
_INDETERMINATE, _UNDETERMINED = "42P18", re.compile(r"\$(\d+)")
_TEXT = 25  # the OID of the type text
_MOST_PARAMETERS = 1000
_PASSING = ("08", "53", "55", "57")  # classes of SQLSTATE
_RELATIONS = ("table", "foreign table", "view", "materialized view")
_OF_A_RELATION = ("constraint", "index", "trigger", "rule", "policy")
_ROUTINES = ("function", "procedure", "aggregate")


@dataclass(frozen=True)
class Shape:
    """A statement as the server understands it at one moment.

    Attributes:
        types: OIDs of its parameters' types; 0 for those that a migration could make anew under the same name.
        columns: name, type and modifier of each column of its result: what a prepared statement must not change.
        touches: the tables, columns, functions and other objects that it names, qualified and quoted as in a snapshot.
        writes: tables that it inserts into, updates or deletes from.
        scans: tables for which no index serves it.
        refused: SQLSTATE and message of the planner, where that refuses what the parser has taken.
    """

    types: tuple[int, ...] = ()
    columns: tuple[tuple[str, int, int], ...] = ()
    touches: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    scans: tuple[str, ...] = ()
    refused: tuple[str, str] | None = None


@dataclass(frozen=True)
class Statement:
    """A statement of the serving version.

    Attributes:
        text: normalised, with `$1` for constants where it comes from the server.
        calls: how often it was seen; 0 if that is not known.
        shape: before the migration.
    """

    text: str
    calls: int
    shape: Shape = field(default_factory=Shape)

    @property
    def shown(self) -> str:
        """One line without strings and comments, of at most 160 characters."""
        line = " ".join(without_strings(self.text).split())
        return line if len(line) <= 160 else line[:159] + "…"


@dataclass(frozen=True)
class Evidence:
    """What is known of the serving version's statements, before the migration.

    Attributes:
        source: where they come from, such as `pg_stat_statements`; empty if there are none.
        statements: those that plan on the schema before.
        aside: number of those that do not.
        since: when counting began, as a date; empty if that is not known.
        hours: since then; 0 if that is not known, infinite for a list that counts as whole.
        large: number of rows of the real tables that have many.
        words: of the bodies of functions, in which a name may stand that no statement names itself.
        note: why there are none, or not all of them.
    """

    source: str = ""
    statements: tuple[Statement, ...] = ()
    aside: int = 0
    since: str = ""
    hours: float = 0.0
    large: Mapping[str, int] = field(default_factory=dict)
    words: frozenset[str] = frozenset()
    note: str = ""

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "words": sorted(self.words)})

    @classmethod
    def from_json(cls, text: str) -> Evidence:
        value = json.loads(text)
        statements = tuple(Statement(s["text"], s["calls"], _shape(s["shape"])) for s in value.pop("statements"))
        return cls(**{**value, "statements": statements, "words": frozenset(value["words"])})

    @property
    def seen(self) -> str:
        """How many statements were seen, and since when."""
        since = f" since {self.since}" if self.since else ""
        return (
            f"{len(self.statements)} statement{'s' if len(self.statements) != 1 else ''} seen by {self.source}{since}"
        )

    def touching(self, name: str, schema: Snapshot) -> tuple[Statement, ...] | None:
        """The statements that touch an object of the schema before.

        Args:
            name: of the object, as a finding has it.
            schema: before the migration.

        Returns:
            The statements; None where they could not be known: of an object of another kind, or one whose name is in
            the body of a function.
        """
        objects = [each for each in schema.objects if each.name == name] or _new(name)
        found: list[Statement] = []
        for each in objects:
            if not isinstance(each, Object) or each.kind == "column":
                parent = name.rpartition(".")[0] if not isinstance(each, Object) else each.parent
                found += [s for s in self.statements if name in s.shape.touches or parent in s.shape.writes]
            elif each.kind in _OF_A_RELATION:
                found += [s for s in self.statements if each.parent in (*s.shape.touches, *s.shape.writes)]
            elif each.kind in (*_RELATIONS, *_ROUTINES):
                found += [s for s in self.statements if name in (*s.shape.touches, *s.shape.writes)]
            else:
                return None
        if not found and any(self._in_a_function(each, name) for each in objects):
            return None
        return tuple(dict.fromkeys(found))

    def _in_a_function(self, each: Object | str, name: str) -> bool:
        """Whether the body of a function may use it: it names it, or the table that it belongs to."""
        parts = [name]
        if isinstance(each, Object) and each.kind in _OF_A_RELATION:
            parts = [each.parent]
        elif isinstance(each, Object) and each.kind in _ROUTINES:
            parts = [name.partition("(")[0]]
        return any(part.rpartition(".")[2].strip('"').lower() in self.words for part in parts)


def _new(name: str) -> list[Object | str]:
    """An object that is not in the schema before, such as a column that came: known by its name alone."""
    return [name] if name.count(".") >= 2 else []


def _shape(value: Mapping[str, Any]) -> Shape:
    lists = {key: tuple(value[key]) for key in ("types", "touches", "writes", "scans")}
    refused = (str(value["refused"][0]), str(value["refused"][1])) if value["refused"] else None
    return Shape(refused=refused, columns=tuple((str(n), int(t), int(m)) for n, t, m in value["columns"]), **lists)


def seen_by_server(real: psycopg.Connection, maintenance: psycopg.Connection, name: str) -> Evidence:
    """The statements that pg_stat_statements has of a database; reads only.

    Args:
        real: session in the database.
        maintenance: session in another database, which may have the extension where this one has not.
        name: of the database.
    """
    for connection in (real, maintenance):
        row = connection.execute(
            "SELECT quote_ident(n.nspname) FROM pg_catalog.pg_extension x"
            " JOIN pg_catalog.pg_namespace n ON n.oid = x.extnamespace WHERE x.extname = 'pg_stat_statements'"
        ).fetchone()
        if row is None:
            continue
        try:
            with connection.transaction():
                found = connection.execute(_SEEN.replace("{schema}", str(row[0])).encode(), {"name": name}).fetchall()
                began = connection.execute(_SINCE.replace("{schema}", str(row[0])).encode()).fetchone()
        except psycopg.Error as error:
            return Evidence(note=f"pg_stat_statements cannot be read: {error.diag.message_primary or error}")
        since, hours = (str(began[0]), float(began[1])) if began else ("", 0.0)
        statements = tuple(Statement(str(text), int(calls)) for text, calls in found)
        return Evidence("pg_stat_statements", statements, since=since, hours=hours)
    return Evidence(note="pg_stat_statements is not there, so nothing is known of the statements that are really used")


_SEEN = """
SELECT s.query, sum(s.calls)::bigint FROM {schema}.pg_stat_statements s JOIN pg_catalog.pg_database d ON d.oid = s.dbid
WHERE d.datname = %(name)s AND s.query <> '<insufficient privilege>' GROUP BY s.query ORDER BY 2 DESC
"""
_SINCE = """
SELECT to_char(stats_reset, 'FMDD FMMonth YYYY'), extract(epoch FROM clock_timestamp() - stats_reset)::float8 / 3600
FROM {schema}.pg_stat_statements_info
"""


def given(texts: Sequence[str], seen: Evidence) -> Evidence:
    """Adds the statements of a list that the user has given, which counts as whole.

    Args:
        texts: of the statements.
        seen: by the server.
    """
    source = f"{seen.source} and listed" if seen.source else "a list"
    both = {each.text: each for each in (*seen.statements, *(Statement(each, 0) for each in texts))}
    return Evidence(source, tuple(both.values()), since=seen.since, hours=math.inf)


def statements_from(text: str) -> tuple[str, ...]:
    """Reads a file of statements as a pod is given it: compressed by zlib, in base 64; empty for none.

    Args:
        text: SQL, or lines of PostgreSQL's own log (log_statement, log_min_duration_statement, auto_explain's prefix).

    Raises:
        InvalidMigration: the SQL cannot be split.
    """
    if not text:
        return ()
    content = zlib.decompress(base64.b64decode(text)).decode(errors="replace")
    logged = [match["statement"] for match in _LOGGED.finditer(content)]
    found = [" ".join(each.split()) for each in logged] or [each.text for each in split(content)]
    return tuple(dict.fromkeys(each for each in found if each.strip()))


# A line of the log, and those that go on with it, which begin with a tab.
_LOGGED = re.compile(
    r"LOG: +(?:duration: [\d.]+ ms +)?(?:statement|execute [^:\n]*|parse [^:\n]*|bind [^:\n]*): (?P<statement>[^\n]*(?:\n\t[^\n]*)*)"
)


def large_tables(real: psycopg.Connection) -> dict[str, int]:
    """The tables of a database that have many rows, with about how many."""
    return {str(n): int(r) for n, r in real.execute(_LARGE, {"rows": _LARGE_ROWS}).fetchall()}


def look(connection: psycopg.Connection, evidence: Evidence, large: Mapping[str, int], log: Log) -> Evidence:
    """Has the server understand each statement before the migration.

    Args:
        connection: to the scratch database, in autocommit mode.
        evidence: what was seen.
        large: number of rows of the real tables that have many.
        log: where lines for people go.
    """
    if not evidence.statements:
        log(evidence.note)
        return replace(evidence, large=large)
    bodies = " ".join(str(b) for (b,) in connection.execute(_BODIES).fetchall())
    kept: list[Statement] = []
    aside = 0
    note = evidence.note
    end = time.monotonic() + _SECONDS
    server = _Server(connection)
    data = [each for each in evidence.statements if _USES_DATA.match(without_strings(each.text))]
    for number, each in enumerate(data):
        if time.monotonic() > end:
            note = f"{len(data) - number} of {len(data)} statements were not looked at within {_SECONDS:.0f} s"
            break
        shape = server.understood(each.text, (), touched=True)
        if isinstance(shape, tuple):
            aside += 1
        elif not _is_a_tool_s(shape):
            kept.append(Statement(each.text, each.calls, shape))
    words = frozenset(word.lower() for word in re.findall(r"\w+", bodies))
    found = Evidence(evidence.source, tuple(kept), aside, evidence.since, evidence.hours, large, words, note)
    log(f"{found.seen}" + (f"; {aside} more do not plan on the schema as it is and are set aside" if aside else ""))
    return found


@dataclass(frozen=True)
class Changed:
    """A statement that means something else on the new schema, or nothing.

    Attributes:
        statement: it.
        why: the server's words, or what is different.
    """

    statement: Statement
    why: str


@dataclass(frozen=True)
class Outcome:
    """What the statements say of the new schema.

    Attributes:
        broken: no longer plan.
        reshaped: give other columns, so what is prepared of them fails once on each connection (0A000).
        slower: read a large table from its beginning to its end, where an index served before.
        unseen: number of those for which there was no time.
    """

    broken: tuple[Changed, ...] = ()
    reshaped: tuple[Changed, ...] = ()
    slower: tuple[Changed, ...] = ()
    unseen: int = 0


def again(connection: psycopg.Connection, evidence: Evidence) -> Outcome:
    """Has the server understand each statement after the migration.

    Args:
        connection: to the scratch database, in autocommit mode.
        evidence: from `look`.
    """
    broken: list[Changed] = []
    reshaped: list[Changed] = []
    slower: list[Changed] = []
    unseen = 0
    end = time.monotonic() + _SECONDS
    server = _Server(connection)
    for number, each in enumerate(evidence.statements):
        if time.monotonic() > end:
            unseen = len(evidence.statements) - number
            break
        now = server.understood(each.text, each.shape.types)
        if isinstance(now, tuple):
            broken.append(Changed(each, f"{now[1]} (SQLSTATE {now[0]})"))
            continue
        if now.refused and not each.shape.refused:
            broken.append(Changed(each, f"{now.refused[1]} (SQLSTATE {now.refused[0]})"))
            continue
        if now.columns != each.shape.columns:
            reshaped.append(Changed(each, _difference(each.shape.columns, now.columns)))
        for table in set(now.scans) - set(each.shape.scans):
            if table in evidence.large:
                slower.append(
                    Changed(
                        each, f"no index serves it any more on {table}, which has about {evidence.large[table]:,} rows"
                    )
                )
    return Outcome(tuple(broken), tuple(reshaped), tuple(slower), unseen)


# An empty table's planner would choose to read it whole; this way it does so only where no index can serve.
_SETTLED = (
    "SELECT pg_catalog.set_config('plan_cache_mode', 'force_generic_plan', false),"
    " pg_catalog.set_config('enable_seqscan', 'off', false), pg_catalog.set_config('jit', 'off', false),"
    " pg_catalog.set_config('lock_timeout', '1s', false), pg_catalog.set_config('statement_timeout', '5s', false)"
)
_LARGE = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.reltuples::bigint
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm', 'p') AND c.reltuples >= %(rows)s
"""
_BODIES = """
SELECT p.prosrc FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'rollout_rehearsal')
"""
_TOUCHED = """
SELECT DISTINCT CASE WHEN d.refclassid = 'pg_class'::regclass THEN
        quote_ident(cn.nspname) || '.' || quote_ident(c.relname) || coalesce('.' || quote_ident(a.attname), '')
    ELSE quote_ident(pn.nspname) || '.' || quote_ident(p.proname) || '(' || (
        SELECT coalesce(string_agg(format_type(one, NULL), ', ' ORDER BY place), '')
        FROM unnest(p.proargtypes) WITH ORDINALITY u (one, place)) || ')' END
FROM pg_catalog.pg_depend d
LEFT JOIN pg_catalog.pg_class c ON d.refclassid = 'pg_class'::regclass AND c.oid = d.refobjid
LEFT JOIN pg_catalog.pg_namespace cn ON cn.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid AND d.refobjsubid <> 0
LEFT JOIN pg_catalog.pg_proc p ON d.refclassid = 'pg_proc'::regclass AND p.oid = d.refobjid
LEFT JOIN pg_catalog.pg_namespace pn ON pn.oid = p.pronamespace
WHERE d.classid = 'pg_proc'::regclass AND d.objid = 'pg_temp.rollout_statement'::regproc AND (c.oid IS NOT NULL OR p.oid IS NOT NULL)
"""


class _Server:
    """Asks the server what statements mean in one database.

    Args:
        connection: to the scratch database, in autocommit mode.
    """

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self._names: dict[tuple[str, str], str] = {}
        connection.execute(_SETTLED)

    def understood(self, text: str, types: Sequence[int], *, touched: bool = False) -> Shape | tuple[str, str]:
        """The statement as the server understands it; SQLSTATE and message where it does not.

        Args:
            text: of the statement.
            types: OIDs of its parameters' types; empty to have them inferred.
            touched: whether to find out what it touches.
        """
        # pg_stat_statements makes `interval $1` of `interval '1 day'`, which the grammar does not have.
        text = _TYPED.sub(r"(\2::\1)", text)
        raw, name = self._connection.pgconn, _NAME.encode()
        wanted = list(types)
        while (result := raw.prepare(name, text.encode(), wanted or None)).status != pq.ExecStatus.COMMAND_OK:
            state, message = _error(result)
            number = int(found[1]) if (found := _UNDETERMINED.search(message)) else 0
            if state != _INDETERMINATE or not 0 < number < _MOST_PARAMETERS or wanted[number - 1 : number] == [_TEXT]:
                return state, message
            # A constant where any type will do was a text, as in json_build_object('input', ...).
            wanted += [0] * (number - len(wanted))
            wanted[number - 1] = _TEXT
        try:
            described = raw.describe_prepared(name)
            if described.status != pq.ExecStatus.COMMAND_OK:
                return _error(described)
            kinds = [described.param_type(n) for n in range(described.nparams)]
            columns = tuple(
                ((described.fname(n) or b"").decode(), described.ftype(n), described.fmod(n))
                for n in range(described.nfields)
            )
            plan = self._plan(len(kinds))
        finally:
            raw.exec_(b"DEALLOCATE " + name)
        refused = plan if isinstance(plan, tuple) else None
        nodes = [] if isinstance(plan, tuple) else list(_nodes(plan))
        written = [n for n in nodes if n["Node Type"] == "ModifyTable"]
        writes = self._named(each for n in written for each in (n, *n.get("Target Tables", ())))
        scans = self._named(n for n in nodes if n["Node Type"] == "Seq Scan")
        touches = {*writes, *scans, *(self._touched(text, kinds) if touched else ())}
        # The user's own types may be made anew under the same name, with another OID: those are left to be inferred.
        stable = tuple(each if each < _USER_OID else 0 for each in kinds)
        return Shape(stable, columns, tuple(sorted(touches)), tuple(sorted(writes)), tuple(sorted(scans)), refused)

    def _plan(self, parameters: int) -> Mapping[str, Any] | tuple[str, str]:
        """Its generic plan; SQLSTATE and message where the server makes none. Nothing is run or could be written."""
        values = f" ({', '.join(['NULL'] * parameters)})" if parameters else ""
        try:
            with self._connection.transaction(force_rollback=True):
                self._connection.execute("SET TRANSACTION READ ONLY")
                row = self._connection.execute(
                    f"EXPLAIN (FORMAT JSON, VERBOSE) EXECUTE {_NAME}{values}".encode()
                ).fetchone()
        except psycopg.Error as error:
            # What has taken too long or waited for a lock says nothing of the statement.
            passing = (error.sqlstate or "08")[:2] in _PASSING
            return {} if passing else (error.sqlstate or "", without_strings(error.diag.message_primary or ""))
        plan: Mapping[str, Any] = row[0][0]["Plan"] if row else {}
        return plan

    def _touched(self, text: str, kinds: Sequence[int]) -> list[str]:
        """The objects that it names: those that an SQL function made of it depends on (PostgreSQL 14 and newer)."""
        body = text.strip().rstrip(";")
        try:
            with self._connection.transaction(force_rollback=True):
                row = self._connection.execute(
                    "SELECT string_agg(format_type(one, NULL), ', ' ORDER BY place)"
                    " FROM unnest(%s::oid[]) WITH ORDINALITY u (one, place)",
                    (list(kinds),),
                ).fetchone()
                arguments = str(row[0] or "") if row else ""
                self._connection.execute(
                    f"CREATE FUNCTION pg_temp.{_NAME} ({arguments}) RETURNS void LANGUAGE sql"
                    f" BEGIN ATOMIC {body}\n; END".encode()
                )
                return [str(name) for (name,) in self._connection.execute(_TOUCHED).fetchall()]
        except psycopg.Error:
            return []  # what its plan reads and writes is known all the same

    def _named(self, nodes: Iterable[Mapping[str, Any]]) -> set[str]:
        """The tables of nodes of a plan, as a snapshot has their names."""
        pairs = {(str(n["Schema"]), str(n["Relation Name"])) for n in nodes if "Schema" in n and "Relation Name" in n}
        for pair in pairs - self._names.keys():
            row = self._connection.execute("SELECT quote_ident(%s) || '.' || quote_ident(%s)", pair).fetchone()
            self._names[pair] = str(row[0]) if row else ".".join(pair)
        return {self._names[pair] for pair in pairs}


def _error(result: Any) -> tuple[str, str]:
    def field_of(number: pq.DiagnosticField) -> str:
        return (result.error_field(number) or b"").decode(errors="replace")

    return field_of(pq.DiagnosticField.SQLSTATE), without_strings(field_of(pq.DiagnosticField.MESSAGE_PRIMARY))


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if plan:
        yield plan
        for each in plan.get("Plans", ()):
            yield from _nodes(each)


def _is_a_tool_s(shape: Shape) -> bool:
    """Whether it is about the server's own tables alone, as tools' statements are, or about the runner's record."""
    own = [
        each
        for each in (*shape.touches, *shape.writes)
        if not each.startswith(("pg_catalog.", "information_schema.", "migrator."))
    ]
    return not own


def _difference(before: Sequence[tuple[str, int, int]], after: Sequence[tuple[str, int, int]]) -> str:
    gone, come = [c for c in before if c not in after], [c for c in after if c not in before]
    parts = [f"without {', '.join(n for n, _, _ in gone)}"] if gone else []
    parts += [f"with {', '.join(n for n, _, _ in come)}"] if come else []
    names = {n for n, _, _ in gone} & {n for n, _, _ in come}
    if names and len(names) == len(gone) == len(come):
        return f"its result has another type of {', '.join(sorted(names))}"
    return f"its result comes {' and '.join(parts) or 'in another order'}"
