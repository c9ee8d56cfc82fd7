"""The verdict on a change against a judge: the old version's own statements, run before and after it on the server.

Schemas and changes are generated. A statement that worked and now fails is a miss if the verdict was safe; a verdict of
breaks that no statement bears out is a false alarm. `python -m tests.cluster.migrator.test_judge EXAMPLES URI SEED` counts them
for more.
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from migrator import compatibility, fingerprint
from migrator.compatibility import Finding
from tests.cluster.migrator.conftest import Database

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]

_LONG = "(SELECT string_agg(md5(g::text), '') FROM generate_series(1, 300) g)"
_NUMBERS = ("1", "100", "0", "-3", "30000")
_TEXTS = ("'open'", "'closed'", "'a'", "'12'", "'ABCDEFGH'", "''")
# A column's type and values that a program writes into it, the first of which satisfies whatever is demanded at first.
TYPES: dict[str, tuple[str, ...]] = {
    "smallint": _NUMBERS,
    "integer": (*_NUMBERS, "100000"),
    "bigint": (*_NUMBERS, "10000000000"),
    "numeric(8,2)": ("1", "100", "0", "-3", "100.25"),
    "varchar(8)": _TEXTS,
    "varchar": (*_TEXTS, _LONG),
    "text": (*_TEXTS, _LONG),
    "boolean": ("true", "false"),
    "timestamptz": ("'2024-01-01'", "now()"),
    "color": ("'red'", "'green'"),
    "jsonb": ("'{\"n\": 1}'", '\'{"n": "x"}\'', "'[]'"),
}
_COMPARABLE = ("smallint", "integer", "bigint", "numeric(8,2)")
_WORDS = ("varchar(8)", "varchar", "text")


@dataclass(frozen=True)
class Column:
    name: str
    type: str
    required: bool
    default: str
    unique: bool
    check: str  # with the column's name in it


@dataclass(frozen=True)
class World:
    """What there is before: a table `t` beside what refers to it."""

    columns: tuple[Column, ...]
    rows: bool
    extras: frozenset[str]

    @property
    def setup(self) -> list[str]:
        parts = [
            " ".join(
                (
                    each.name,
                    each.type,
                    "NOT NULL" if each.required else "",
                    f"DEFAULT {each.default}" if each.default else "",
                )
            )
            for each in self.columns
        ]
        made = [
            "CREATE TYPE color AS ENUM ('red', 'green')",
            "CREATE TABLE o (id bigint PRIMARY KEY)",
            "INSERT INTO o VALUES (1), (2), (100)",
            f"CREATE TABLE t (id bigint PRIMARY KEY, owner bigint REFERENCES o, {', '.join(parts)})",
            *(
                f"ALTER TABLE t ADD CONSTRAINT {each.name}_check CHECK ({each.check})"
                for each in self.columns
                if each.check
            ),
            *(f"CREATE UNIQUE INDEX {each.name}_key ON t ({each.name})" for each in self.columns if each.unique),
            "CREATE TABLE archive (LIKE t)",
            "CREATE TABLE parts (id bigint, what text) PARTITION BY LIST (id)",
            "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1)",
        ]
        names = ", ".join(("id", "owner", *(each.name for each in self.columns)))
        if "view" in self.extras:
            made.append(f"CREATE VIEW v AS SELECT {names} FROM t")
        if "listed" in self.extras:
            made.append(f"CREATE FUNCTION listed() RETURNS SETOF t LANGUAGE sql AS 'SELECT {names} FROM t'")
        if "starred" in self.extras:
            made.append("CREATE FUNCTION starred() RETURNS SETOF t LANGUAGE sql AS 'SELECT * FROM t'")
        if "default" in self.extras:
            made.append("CREATE TABLE parts_rest PARTITION OF parts DEFAULT")
        if self.rows:
            made += [self.insert(1), "INSERT INTO parts VALUES (1, 'a')"]
        return made

    def insert(self, number: int, **values: str) -> str:
        turn = {1: 0, 9: 2}.get(number, 1)  # what has to be unique is another value in each row
        usual = {each.name: TYPES[each.type][turn if each.unique else 0] for each in self.columns}
        given = {"id": str(number), **usual, **values}
        given = {name: value for name, value in given.items() if value}
        return f"INSERT INTO t ({', '.join(given)}) VALUES ({', '.join(given.values())})"

    @property
    def statements(self) -> Iterator[tuple[str, ...]]:
        """What the old version does, a transaction each."""
        names = ", ".join(("id", "owner", *(each.name for each in self.columns)))
        yield (f"SELECT {names} FROM t",)
        yield ("SELECT DISTINCT * FROM t" if all(each.type != "json" for each in self.columns) else "SELECT 1",)
        yield ("INSERT INTO archive SELECT * FROM t",)
        yield ("UPDATE t SET owner = 2",)
        yield ("DELETE FROM t",)
        yield ("DELETE FROM t WHERE id IS NOT NULL", self.insert(7))
        yield (f"{self.insert(7)} ON CONFLICT (id) DO NOTHING",)
        yield ("SELECT 'red'::color",)
        yield ("INSERT INTO parts VALUES (1, 'b')", "SELECT what FROM parts")
        yield ("TRUNCATE archive",)
        yield (
            f"{self.insert(7)}".replace("INTO t", "INTO archive"),
            "UPDATE archive SET owner = 2",
            "DELETE FROM archive",
        )
        least = {each.name: "" for each in self.columns if not each.required or each.default}
        yield self.insert(8, **least), self.insert(9, **least)
        yield (self.insert(8, **least),)
        yield (self.insert(8, owner="1"),)
        for each in self.columns:
            for value in TYPES[each.type]:
                yield (self.insert(8, **{each.name: value}),)
                yield (f"SELECT id FROM t WHERE {each.name} = {value}",)
                if not each.unique:
                    yield self.insert(8, **{each.name: value}), self.insert(9, **{each.name: value})
                    yield (self.insert(9, **{each.name: value}),)
                    yield self.insert(1, **{each.name: value}), self.insert(8, **{each.name: value})
            yield self.insert(8), f"UPDATE t SET {each.name} = {TYPES[each.type][-1]} WHERE id = 8"
            if not each.required:
                yield (self.insert(8, **{each.name: "NULL"}),)
            if each.unique:
                yield (f"{self.insert(8)} ON CONFLICT ({each.name}) DO NOTHING",)
        if "view" in self.extras:
            yield (f"SELECT {names} FROM v",)
            yield (self.insert(8).replace("INTO t", "INTO v"), "UPDATE v SET owner = 2", "DELETE FROM v")
        for name in sorted({"listed", "starred"} & self.extras):
            yield (f"SELECT id FROM {name}()",)

    @property
    def prepared(self) -> list[str]:
        return ["SELECT * FROM t", *(f"SELECT {each.name} FROM t" for each in self.columns)]


@st.composite
def columns(draw: st.DrawFn, name: str) -> Column:
    kind = draw(st.sampled_from(sorted(TYPES)))
    checks = [""]
    if kind in _COMPARABLE:
        checks += [f"{name} > 0", f"{name} IN (1, 100)"]
    if kind in _WORDS:
        checks += [f"{name} IN ('open', 'closed')", f"length({name}) < 6"]
    checks.append(f"{name} IS NOT NULL")
    return Column(
        name,
        kind,
        draw(st.booleans()),
        draw(st.sampled_from(["", TYPES[kind][0]])),
        kind in (*_COMPARABLE, "varchar(8)") and draw(st.booleans()),
        draw(st.sampled_from(checks)),
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    names = ["a", "b", "c"][: draw(st.integers(1, 3))]
    extras = st.frozensets(st.sampled_from(["view", "listed", "starred", "default"]), max_size=2)
    return World(tuple(draw(columns(each)) for each in names), draw(st.booleans()), draw(extras))


@st.composite
def changes(draw: st.DrawFn, world: World) -> str:
    each = draw(st.sampled_from(world.columns))
    name, kind = each.name, each.type
    new = draw(st.sampled_from([*sorted(TYPES), "json"]))
    value = draw(st.sampled_from(TYPES.get(new, ("'{}'",))[:3]))
    tail = draw(
        st.sampled_from(
            [
                "",
                "UNIQUE",
                "UNIQUE NULLS NOT DISTINCT",
                "NOT NULL",
                f"DEFAULT {value}",
                f"NOT NULL DEFAULT {value}",
                f"DEFAULT {value} UNIQUE",
                f"CHECK (n = {value})",
                f"DEFAULT {value} CHECK (n = {value})",
                f"DEFAULT {value} CHECK (n <> {value})",
                "CHECK (n IS NOT NULL)",
                f"CHECK (n IS NULL OR n = {value})",
            ]
        )
    )
    condition = draw(
        st.sampled_from(
            [
                each.check or f"{name} IS NOT NULL",
                f"{name} IS NOT NULL",
                f"id > 100 OR {name} IS NULL",
                *(
                    [f"{name} > 0", f"{name} > -2", f"{name} >= 1", f"{name} IN (1, 100, 0)"]
                    if kind in _COMPARABLE
                    else []
                ),
                *(
                    [
                        f"{name} IN ('open', 'closed', 'a')",
                        f"length({name}) < 100",
                        f"length({name}) < 5",
                        f"{name} <> ''",
                    ]
                    if kind in _WORDS
                    else []
                ),
            ]
        )
    )
    valid = draw(st.sampled_from(["", " NOT VALID"]))
    other = draw(
        st.sampled_from(
            ["bigint", "numeric", "text", "varchar(8)", "varchar(20)", "varchar", "smallint", "numeric(10,2)"]
        )
    )
    key = draw(
        st.sampled_from(
            [name, f"{name}, id", f"({name}::text)", *([f"lower({name})", f"({name}::int)"] if kind in _WORDS else []),
             *([f"(100 / {name})"] if kind in _COMPARABLE else []), *([f"(({name} ->> 'n')::int)"] if kind == "jsonb" else [])]
        )
    )  # fmt: skip
    names = ", ".join(("id", "owner", *(one.name for one in world.columns)))
    return draw(
        st.sampled_from(
            [
                f"ALTER TABLE t ADD n {new} {tail}",
                f"ALTER TABLE t ADD n {new} {tail}",
                f"ALTER TABLE t ADD n bigint; CREATE UNIQUE INDEX ON t (n, {name})",
                f"ALTER TABLE t DROP {name} CASCADE",
                f"ALTER TABLE t RENAME {name} TO n",
                f"ALTER TABLE t ALTER {name} TYPE {other}",
                f"ALTER TABLE t ALTER {name} TYPE {other}",
                f"ALTER TABLE t ALTER {name} SET NOT NULL",
                f"ALTER TABLE t ALTER {name} SET NOT NULL; ALTER TABLE t DROP CONSTRAINT IF EXISTS {name}_check",
                f"ALTER TABLE t ALTER {name} DROP NOT NULL",
                f"ALTER TABLE t ALTER {name} SET DEFAULT {TYPES[kind][1]}",
                f"ALTER TABLE t ALTER {name} DROP DEFAULT",
                f"ALTER TABLE t ADD CONSTRAINT n CHECK ({condition}){valid}",
                f"ALTER TABLE t ADD CONSTRAINT n CHECK ({condition}){valid}",
                f"ALTER TABLE t DROP CONSTRAINT IF EXISTS {name}_check; ALTER TABLE t ADD CONSTRAINT {name}_check CHECK ({condition})",
                f"ALTER TABLE t DROP CONSTRAINT IF EXISTS {name}_check; ALTER TABLE t ADD CONSTRAINT {name}_check CHECK ({condition})",
                f"ALTER TABLE t ADD CONSTRAINT n FOREIGN KEY (owner) REFERENCES o{valid}",
                f"ALTER TABLE t ADD UNIQUE ({name})",
                f"ALTER TABLE t ADD UNIQUE (id, {name})",
                f"CREATE INDEX ON t ({key})",
                f"CREATE INDEX ON t ({key})",
                f"CREATE UNIQUE INDEX ON t ({key})",
                f"DROP INDEX IF EXISTS {name}_key",
                "ALTER TABLE t DROP CONSTRAINT t_pkey",
                "ALTER TABLE t DROP CONSTRAINT t_owner_fkey",
                f"CREATE TABLE fresh (id bigint REFERENCES t, {name} text)",
                "CREATE TABLE child () INHERITS (t)",
                "ALTER TABLE t RENAME TO u",
                "ALTER TYPE color ADD VALUE 'blue'",
                "ALTER TYPE color RENAME VALUE 'red' TO 'crimson'",
                "DROP TABLE parts_1",
                "ALTER TABLE parts DETACH PARTITION parts_1",
                "CREATE TABLE parts_2 PARTITION OF parts FOR VALUES IN (2)",
                "CREATE PUBLICATION p FOR TABLE t",
                "CREATE PUBLICATION p FOR TABLE archive",
                "ALTER TABLE t REPLICA IDENTITY NOTHING",
                "CREATE PUBLICATION p FOR TABLE t; ALTER TABLE t REPLICA IDENTITY NOTHING",
                f"CREATE OR REPLACE VIEW v AS SELECT {names} FROM t WHERE id > 0",
                f"CREATE OR REPLACE VIEW v AS SELECT DISTINCT {names} FROM t",
            ]
        )
    )


@dataclass
class Judgement:
    """What the statements and the rules say of one change."""

    world: World
    change: str
    findings: tuple[Finding, ...]
    fail: list[str] = field(default_factory=list)  # statements that worked before
    stale: list[str] = field(default_factory=list)  # prepared ones

    @property
    def verdict(self) -> str:
        return compatibility.worst(self.findings)

    @property
    def missed(self) -> bool:
        """A statement fails, and the verdict was that none does; of what is prepared, that it gets no finding of its own."""
        told = {each.level for each in self.findings} - {"safe"}
        return bool(self.fail or self.stale) and not told

    @property
    def false_alarm(self) -> bool:
        return self.verdict == "breaks" and not self.fail and not self.stale

    def __str__(self) -> str:
        found = "\n  ".join(f"{each.level} {each.rule}: {each.what}" for each in self.findings)
        return f"{self.world.setup}\n{self.change}\n  {found}\n  fail: {self.fail[:3]}\n  stale: {self.stale[:3]}"


class _Undone(Exception):
    """Ends a transaction that is to leave nothing."""


def judge(connection: psycopg.Connection, world: World, change: str) -> Judgement | None:
    """Runs the old version's statements before and after a change; None where the schema or the change does not run."""
    found: Judgement | None = None
    with contextlib.suppress(_Undone), connection.transaction():
        try:
            with connection.transaction():
                for each in world.setup:
                    connection.execute(each.encode())
        except psycopg.Error:
            raise _Undone from None
        before = fingerprint.take(connection)
        worked = [each for each in world.statements if _runs(connection, each)]
        for number, each in enumerate(world.prepared):
            connection.execute(f"PREPARE old_{number} AS {each}; EXECUTE old_{number}".encode())
        try:
            with connection.transaction():
                connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
                connection.execute(change.encode())
        except psycopg.Error:
            raise _Undone from None
        found = Judgement(world, change, compatibility.classify(before, fingerprint.take(connection)))
        found.fail = ["; ".join(each) for each in worked if not _runs(connection, each)]
        found.stale = [
            each for number, each in enumerate(world.prepared) if not _runs(connection, (f"EXECUTE old_{number}",))
        ]
        raise _Undone
    connection.execute("DEALLOCATE ALL")
    return found


def _runs(connection: psycopg.Connection, statements: tuple[str, ...]) -> bool:
    try:
        with connection.transaction(force_rollback=True):
            for each in statements:
                connection.execute(each.encode())
            connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except psycopg.Error:
        return False
    return True


def judged(connection: psycopg.Connection, examples: int, number: int = 1) -> list[Judgement]:
    """Judges generated changes, others for another number."""
    done: list[Judgement] = []

    @seed(number)
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def each(data: st.DataObject) -> None:
        world = data.draw(worlds())
        if found := judge(connection, world, data.draw(changes(world))):
            done.append(found)

    each()
    return done


def test_the_verdict_is_what_the_old_version_s_statements_bear_out(base: Database) -> None:
    with psycopg.connect(base.uri, autocommit=True) as connection:
        done = judged(connection, 150)
    assert len(done) > 75
    assert {each.verdict for each in done} == {"safe", "risky", "breaks"}
    assert [str(each) for each in done if each.missed] == []
    assert [str(each) for each in done if each.false_alarm] == []


if __name__ == "__main__":
    with psycopg.connect(sys.argv[2], autocommit=True) as server:
        all_of_them = judged(server, int(sys.argv[1]), int(sys.argv[3]))
    counts: Counter[str] = Counter()
    for one in all_of_them:
        counts[f"{one.verdict}, {'fails' if one.fail else 'stale' if one.stale else 'works'}"] += 1
        if one.missed or one.false_alarm:
            print("MISSED" if one.missed else "FALSE ALARM", one, sep="\n")
    print(len(all_of_them), dict(sorted(counts.items())))
    print(
        f"{sum(each.missed for each in all_of_them)} missed, {sum(each.false_alarm for each in all_of_them)} false alarms"
    )
