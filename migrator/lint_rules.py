"""The rules of our own: what files do to those who use the database meanwhile, and to the runner, as it will run them.

squawk reads a file at a time; the runner has all pending files in one transaction, but for those marked non-transactional.
So a lock that a file takes is still held when the next one writes its rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from migrator import grammar
from migrator.files import Migration
from migrator.grammar import Command, Name, Node
from migrator.settings import Settings

LintLevel = Literal["error", "warning", "advice"]
RULES = (
    "needs-a-transaction",
    "new-enum-value-used",
    "not-in-a-transaction",
    "not-read",
    "rows-under-lock",
    "server-wide",
    "table-rewrite",
    "timeout-lifted",
    "transactional-would-do",
    "type-without-equality",
    "unreadable-file",
)
_MARKED = "Put it into a file of its own that starts with `-- migrate: non-transactional`."
_TIMEOUTS = {"lock_timeout": Settings.lock_timeout, "statement_timeout": Settings.statement_timeout}
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"\s*(-?\d+(?:\.\d+)?)\s*(us|ms|s|min|h|d)?\s*")
_CURSOR_WITH_HOLD = 0x20
_REWRITES = {
    "AT_SetAccessMethod": "SET ACCESS METHOD",
    "AT_SetTableSpace": "SET TABLESPACE",
    "AT_SetLogged": "SET LOGGED",
    "AT_SetUnLogged": "SET UNLOGGED",
    "AT_SetExpression": "SET EXPRESSION",
}
_SERIALS = {"serial", "bigserial", "smallserial", "serial2", "serial4", "serial8"}
# Types of the server's own without a default operator class for btree or hash, which is what DISTINCT looks for.
_WITHOUT_EQUALITY = {
    "box", "circle", "gtsvector", "json", "jsonpath", "line", "lseg", "path", "pg_snapshot", "point", "polygon",
    "refcursor", "txid_snapshot", "xml",
}  # fmt: skip
_ALWAYS_ALONE = {
    "AlterSystemStmt": "ALTER SYSTEM",
    "CreateTableSpaceStmt": "CREATE TABLESPACE",
    "CreatedbStmt": "CREATE DATABASE",
    "DropTableSpaceStmt": "DROP TABLESPACE",
    "DropdbStmt": "DROP DATABASE",
}
_SERVER_WIDE = {
    "AlterRoleSetStmt",
    "AlterRoleStmt",
    "AlterSystemStmt",
    "AlterTableSpaceOptionsStmt",
    "CreateTableSpaceStmt",
    "CreatedbStmt",
    "DropRoleStmt",
    "DropTableSpaceStmt",
    "DropdbStmt",
}


_OF_THE_SERVER = ("OBJECT_ROLE", "OBJECT_TABLESPACE", "OBJECT_PARAMETER_ACL")


@dataclass(frozen=True)
class LintFinding:
    """One thing to look at.

    Attributes:
        file: its path.
        line: counted from 1.
        level: `error`: it cannot run; `warning`: it hurts those who use the database meanwhile; `advice`.
        rule: squawk's, or one of ours.
        message: what is wrong.
        help: what to write instead, where the rule knows.
    """

    file: str
    line: int
    level: LintLevel
    rule: str
    message: str
    help: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.level}: {self.message} [{self.rule}]" + (
            f" {self.help}" if self.help else ""
        )


@dataclass(frozen=True)
class File:
    """A migration, parsed.

    Attributes:
        migration: the file as the runner has it.
        path: where it lies.
        statements: of each statement what it executes, itself first.
        not_read: lines of statements that the grammar does not have, and why.
    """

    migration: Migration
    path: str
    statements: tuple[tuple[Command, ...], ...]
    not_read: tuple[tuple[int, str], ...] = ()

    @property
    def transactional(self) -> bool:
        """Whether it runs in the transaction of the pending files."""
        return self.migration.transactional

    def text(self, line: int) -> str:
        """Gives the first statement that begins on a line."""
        return next(each.text for each in self.migration.statements if each.line == line)


@dataclass
class _State:
    """What the statements before have left."""

    new: list[Name] = field(default_factory=list)  # relations and types that nobody else sees or uses yet
    new_roles: set[str] = field(default_factory=set)
    locked: dict[tuple[Name, str], str] = field(
        default_factory=dict
    )  # a relation and whom its lock keeps off: the file
    added: dict[str, tuple[Name, str]] = field(default_factory=dict)  # a value of an enum: the type and the file
    without_slot: set[str] = field(default_factory=set)

    def is_new(self, name: Name) -> bool:
        return any(name.same(each) for each in self.new)


def parsed(migrations: Sequence[tuple[Migration, str]]) -> list[File]:
    """Parses files, in their order: a later one may call a routine that an earlier one has made.

    Args:
        migrations: each with its path.

    Raises:
        InvalidMigration: there is no pgparse.
    """
    routines: dict[str, Sequence[Command]] = {}
    found = []
    for migration, path in migrations:
        statements, not_read = [], []
        for each in migration.statements:
            try:
                commands = grammar.commands(each.text, each.line, routines)
            except grammar.Unknown as error:
                not_read.append((each.line, str(error)))
                continue
            if commands and (made := grammar.routine(commands[0], each.text)):
                routines[made[0]] = made[1]
            statements.append(tuple(commands))
        found.append(File(migration, path, tuple(statements), tuple(not_read)))
    return found


def read(files: Sequence[File], *, pending: bool) -> Iterator[LintFinding]:
    """Judges files as the runner will run them.

    Args:
        files: all that may be pending, in their order.
        pending: whether all of them are known to be: then a relation that one makes is new to the next ones too. Else
            any of them may be applied already.
    """
    found = list(_as_they_run(files, pending))
    yield from found
    for number, each in enumerate(files):
        if each.transactional or not each.statements or any(_has_a_reason(one) for one in each.statements):
            continue
        turned = replace(each, migration=replace(each.migration, transactional=True))
        other = _as_they_run([*files[:number], turned, *files[number + 1 :]], pending)
        if {(one.file, one.line, one.rule) for one in other} <= {(one.file, one.line, one.rule) for one in found}:
            yield LintFinding(
                each.path,
                1,
                "warning",
                "transactional-would-do",
                "The file is marked non-transactional, but every statement of it could be rolled back.",
                "Remove the marker: then a failure leaves nothing behind.",
            )


def _has_a_reason(statement: Sequence[Command]) -> bool:
    """Whether a statement has to be committed alone, or had better be."""
    return (
        any(_alone(each) or each.kind == "TransactionStmt" for each in statement)
        or statement[0].kind == "CallStmt"  # a procedure may commit between its steps
        or any(each["subtype"] == "AT_ValidateConstraint" for each in grammar.changes(statement[0]))
    )


def _as_they_run(files: Sequence[File], pending: bool) -> Iterator[LintFinding]:
    state = _State()
    for file in files:
        if not pending:
            state.new, state.new_roles = [], set()
        if not file.transactional:
            state.locked, state.added = {}, {}
        for number, statement in enumerate(file.statements):
            for command in statement:
                for rule in _RULES:
                    for each in rule(command, file, state):
                        yield replace(each, file=file.path, line=command.line)
                yield from _lifted(command, file, file.statements[number + 1 :], state)
                _note(command, file, state)
            if not file.transactional:
                state.locked, state.added = {}, {}


def _note(command: Command, file: File, state: _State) -> None:
    """Remembers what a statement has done."""
    body = command.body
    if command.kind == "TransactionStmt" and not file.transactional:
        state.locked, state.added = {}, {}
    for name, against in grammar.locks(command):
        if not state.is_new(name):
            state.locked.setdefault((name, against), file.migration.name)
    state.new += grammar.creates(command)
    if (renamed := grammar.renames(command)) and state.is_new(renamed[0]):
        state.new.append(renamed[1])
    if command.kind in ("CreateEnumStmt", "CompositeTypeStmt") and "typeName" in body:
        state.new.append(grammar.name_of(body["typeName"]))
    if command.kind == "CreateRoleStmt":
        state.new_roles.add(body["role"])
    if command.kind == "AlterEnumStmt" and "newVal" in body and "oldVal" not in body:
        name = grammar.name_of(body["typeName"])
        if not state.is_new(name):
            state.added[body["newVal"]] = name, file.migration.name
    if command.kind == "AlterSubscriptionStmt" and _word(body, "slot_name") == "none":
        state.without_slot.add(body["subname"])


def _finding(level: LintLevel, rule: str, message: str, instead: str) -> LintFinding:
    return LintFinding("", 0, level, rule, message, instead)


def _rows_under_lock(command: Command, file: File, state: _State) -> Iterator[LintFinding]:
    if not any(not state.is_new(each) for each in grammar.goes_through(command)):
        return
    held = {str(name): where for (name, against), where in state.locked.items() if against == "readers"}
    whom = "readers too" if held else "writers"
    held = held or {str(name): where for (name, _), where in state.locked.items()}
    if held:
        others = sorted(set(held.values()) - {file.migration.name})
        since = f" (since {', '.join(others)}, which may run in the same transaction)" if others else ""
        yield _finding(
            "warning",
            "rows-under-lock",
            f"It goes through rows while this transaction has {', '.join(sorted(held))} locked against {whom}{since}.",
            "Do it in a file of its own that starts with `-- migrate: non-transactional`, which ends the transaction "
            "before it; write rows in batches (a DO block with COMMIT).",
        )


def _new_enum_value_used(command: Command, file: File, state: _State) -> Iterator[LintFinding]:
    if command.kind in ("AlterEnumStmt", "PrepareStmt"):
        return
    given = {one for each in grammar.literals(command) for one in (each, *_elements(each))}
    for value in sorted(given & state.added.keys()):
        name, where = state.added[value]
        cast = any(
            kind == "TypeCast"
            and node["arg"].get("A_Const", {}).get("sval", {}).get("sval") == value
            and grammar.name_of(node["typeName"]["names"]).same(name)
            for kind, node in grammar.walk(command.body)
        )
        place = "" if where == file.migration.name else f" by {where}"
        yield _finding(
            "error" if cast else "warning",
            "new-enum-value-used",
            f"'{value}' is added to {name} in the same transaction{place}; PostgreSQL refuses to use it there (55P04).",
            "Use it in a later release, or add it in a file of its own that starts with `-- migrate: non-transactional`.",
        )


def _elements(text: str) -> list[str]:
    """The elements of an array that is written as a literal."""
    inside = text[1:-1] if text.startswith("{") and text.endswith("}") else ""
    return [each.strip().strip('"') for each in inside.split(",")]


def _not_in_a_transaction(command: Command, file: File, state: _State) -> Iterator[LintFinding]:
    if command.kind == "TransactionStmt" and command.nested and file.transactional:
        yield _finding(
            "error",
            "not-in-a-transaction",
            "PostgreSQL refuses COMMIT and ROLLBACK of a DO block or a procedure inside of a transaction (2D000).",
            _MARKED,
        )
    what = _alone(command)
    if not what or (command.kind == "DropSubscriptionStmt" and command.body["subname"] in state.without_slot):
        return
    if command.nested:
        yield _finding(
            "error", "not-in-a-transaction", f"PostgreSQL refuses {what} in a block or a routine (25001).", _MARKED
        )
    elif file.transactional:
        yield _finding(
            "error", "not-in-a-transaction", f"PostgreSQL refuses {what} inside of a transaction (25001).", _MARKED
        )


def _alone(command: Command) -> str:
    """What PostgreSQL refuses inside of a transaction (PreventInTransactionBlock in its source); empty for others."""
    body: Any = command.body
    match command.kind:
        case "VacuumStmt" if body.get("is_vacuumcmd"):
            return "VACUUM"
        case "IndexStmt" if body.get("concurrent"):
            return "CREATE INDEX CONCURRENTLY"
        case "DropStmt" if body.get("concurrent"):
            return "DROP INDEX CONCURRENTLY"
        case "ReindexStmt":
            scope = str(body["kind"]).removeprefix("REINDEX_OBJECT_")
            if grammar.option(body.get("params", ()), "concurrently"):
                return "REINDEX CONCURRENTLY"
            return f"REINDEX {scope}" if scope in ("SCHEMA", "DATABASE", "SYSTEM") else ""
        case "ClusterStmt" if "relation" not in body:
            return "CLUSTER of all tables"
        case "DiscardStmt" if body["target"] == "DISCARD_ALL":
            return "DISCARD ALL"
        case kind if kind in _ALWAYS_ALONE:
            return _ALWAYS_ALONE[command.kind]
        case "AlterDatabaseStmt" if _word(body, "tablespace"):
            return "ALTER DATABASE SET TABLESPACE"
        case "CreateSubscriptionStmt":
            given = body.get("options", ())
            makes_a_slot = grammar.option(given, "connect", default=True) and grammar.option(
                given, "create_slot", default=True
            )
            return "CREATE SUBSCRIPTION" if makes_a_slot else ""
        case "DropSubscriptionStmt":
            return "DROP SUBSCRIPTION"
        case "AlterSubscriptionStmt":
            changes = body["kind"].endswith("_PUBLICATION") and grammar.option(
                body.get("options", ()), "refresh", default=True
            )
            return "ALTER SUBSCRIPTION with REFRESH" if changes or body["kind"].endswith("_REFRESH") else ""
        case "AlterTableStmt":
            for each in grammar.changes(command):
                if each["subtype"] == "AT_DetachPartition" and each["def"]["PartitionCmd"].get("concurrent"):
                    return "DETACH PARTITION CONCURRENTLY"
    return ""


def _needs_a_transaction(command: Command, file: File, _state: _State) -> Iterator[LintFinding]:
    if file.transactional or command.nested:
        return
    body = command.body
    words = {"LockStmt": "LOCK TABLE", "DeclareCursorStmt": "DECLARE CURSOR", "TransactionStmt": "SAVEPOINT"}
    held = command.kind == "DeclareCursorStmt" and body["options"] & _CURSOR_WITH_HOLD
    if command.kind in words and not held:
        yield _finding(
            "error",
            "needs-a-transaction",
            f"Each statement of this file runs by itself, and PostgreSQL refuses {words[command.kind]} there (25P01).",
            "Remove it, or put what needs it into a file without the marker.",
        )
    local = command.kind == "VariableSetStmt" and (body.get("is_local") or body.get("name") == "TRANSACTION")
    if local or command.kind == "ConstraintsSetStmt":
        yield _finding(
            "warning",
            "needs-a-transaction",
            "Each statement of this file runs by itself, so this is over before the next one begins.",
            "SET without LOCAL lasts to the end of the file.",
        )


def _table_rewrite(command: Command, _file: File, state: _State) -> Iterator[LintFinding]:
    for what, name in _rewritten(command):
        if name is None or not state.is_new(name):
            yield _finding(
                "warning",
                "table-rewrite",
                f"{what} writes {name or 'tables'} anew, and nobody can read meanwhile.",
                "REFRESH MATERIALIZED VIEW CONCURRENTLY lets readers go on; it needs a unique index."
                if command.kind == "RefreshMatViewStmt"
                else "Add the column without, and fill it in batches."
                if what.startswith("ADD COLUMN")
                else "pg_repack does the like while others read and write; or copy into a new table in batches.",
            )


def _rewritten(command: Command) -> Iterator[tuple[str, Name | None]]:
    body = command.body
    match command.kind:
        case "VacuumStmt" if grammar.option(body.get("options", ()), "full"):
            for each in body.get("rels", ({},)):
                given = each.get("VacuumRelation", {}).get("relation")
                yield "VACUUM FULL", grammar.relation(given) if given else None
        case "ClusterStmt":
            yield "CLUSTER", grammar.relation(body["relation"]) if "relation" in body else None
        case "AlterTableMoveAllStmt":
            yield "SET TABLESPACE", None
        case "RefreshMatViewStmt" if not body.get("concurrent"):
            yield "REFRESH MATERIALIZED VIEW", grammar.relation(body["relation"])
        case "AlterTableStmt":
            for each in grammar.changes(command):
                if what := _REWRITES.get(each["subtype"]) or _numbered(each):
                    yield what, grammar.relation(body["relation"])


def _numbered(change: Node) -> str:
    """ADD COLUMN of one that gives each row that is there a number."""
    column = change.get("def", {}).get("ColumnDef", {}) if change["subtype"] == "AT_AddColumn" else {}
    if not column:
        return ""
    if str(grammar.name_of(column["typeName"]["names"]).name) in _SERIALS:
        return "ADD COLUMN with a serial type"
    made = (each["Constraint"]["contype"] for each in column.get("constraints", ()) if "Constraint" in each)
    return "ADD COLUMN ... AS IDENTITY" if "CONSTR_IDENTITY" in made else ""


def _type_without_equality(command: Command, _file: File, state: _State) -> Iterator[LintFinding]:
    for each in grammar.changes(command):
        column = each.get("def", {}).get("ColumnDef", {}) if each["subtype"] == "AT_AddColumn" else {}
        if not column or state.is_new(grammar.relation(command.body["relation"])):
            continue
        kind = grammar.name_of(column["typeName"]["names"])
        if kind.name in _WITHOUT_EQUALITY and kind.schema in ("", "pg_catalog"):
            yield _finding(
                "warning",
                "type-without-equality",
                f"{kind.name} has no equality: SELECT DISTINCT of all columns, GROUP BY and UNION of them fail (42883).",
                "Use jsonb." if kind.name == "json" else "Put it into a table of its own.",
            )


def _server_wide(command: Command, _file: File, state: _State) -> Iterator[LintFinding]:
    body = command.body
    wide = command.kind in _SERVER_WIDE or (command.kind == "GrantRoleStmt" and not body.get("is_grant"))
    kind = body.get("renameType", body.get("objtype", body.get("objectType", "")))
    if kind in _OF_THE_SERVER and not (command.kind == "GrantStmt" and body.get("is_grant")):
        wide = True
    if command.kind in ("DropOwnedStmt", "ReassignOwnedStmt"):
        roles = {str(each["RoleSpec"].get("rolename", "")) for each in body["roles"]}
        if roles - state.new_roles:
            yield _finding(
                "warning",
                "server-wide",
                "It reaches every database that the role owns or has a privilege on, the real one from a rehearsal too.",
                "Name what it is to be: DROP, REVOKE, ALTER ... OWNER TO.",
            )
    if name := _named_database(command, str(kind)):
        yield _finding(
            "warning",
            "server-wide",
            f"It acts on the database called {name}, wherever it runs: a rehearsal does it in earnest.",
            "In a DO block, EXECUTE format('...', current_database()) acts on the one that is being migrated.",
        )
        return
    if wide and str(body.get("role", {}).get("rolename", "")) not in state.new_roles:
        yield _finding(
            "warning",
            "server-wide",
            "It changes the server for every database of it; no rehearsal, no fingerprint and no rollback covers that.",
            "Let whoever runs the server do it.",
        )


def _named_database(command: Command, kind: str) -> str:
    """The database that a statement changes by name; empty for others, and where the name is put in as it runs."""
    body = command.body
    name = ""
    if command.kind in ("AlterDatabaseStmt", "AlterDatabaseSetStmt"):
        name = body["dbname"]
    elif command.kind == "AlterRoleSetStmt":
        name = body.get("database", "")
    elif command.kind == "RenameStmt" and kind == "OBJECT_DATABASE":
        name = body["subname"]
    elif command.kind == "GrantStmt" and kind == "OBJECT_DATABASE" and not body.get("is_grant"):
        name = body["objects"][0]["String"]["sval"]
    elif kind == "OBJECT_DATABASE" and "object" in body:
        name = body["object"]["String"]["sval"]
    return "" if name == grammar.PLACEHOLDER else str(name)


def _lifted(command: Command, file: File, rest: Sequence[Sequence[Command]], state: _State) -> Iterator[LintFinding]:
    """Timeouts that the runner has set, and a file takes away. With no lock to come that keeps others off, they may go."""
    for name in _longer(command):
        later = (lock for statement in rest for each in statement for lock in grammar.locks(each))
        if file.transactional or (name != "statement_timeout" and any(not state.is_new(each.name) for each in later)):
            yield LintFinding(
                file.path,
                command.line,
                "warning",
                "timeout-lifted",
                f"It takes away the runner's {name}: everybody queues behind a statement that waits for a lock.",
                "Leave it: the runner gives up soon, lets others through, and tries again (MIGRATE_LOCK_TIMEOUT).",
            )


def _longer(command: Command) -> Iterator[str]:
    """The timeouts that a statement makes longer than the runner's, or takes away."""
    body = command.body
    if command.kind == "DiscardStmt" and body["target"] == "DISCARD_ALL":
        yield "lock_timeout"
    if command.kind == "VariableSetStmt":
        if body["kind"] == "VAR_RESET_ALL":
            yield "lock_timeout"
        elif (name := str(body.get("name", "")).lower()) in _TIMEOUTS and _is_longer(name, body):
            yield name
    if command.kind == "CreateFunctionStmt":  # with a setting of its own, which holds while it runs
        for kind, node in grammar.walk(command.body.get("options", ())):
            if kind == "VariableSetStmt" and node.get("name") == "lock_timeout" and _is_longer("lock_timeout", node):
                yield "lock_timeout"
    if command.kind in ("CreateFunctionStmt", "PrepareStmt"):
        return
    for kind, node in grammar.walk(command.body):
        if kind == "FuncCall" and node["funcname"][-1]["String"]["sval"] == "set_config" and len(node["args"]) > 1:
            setting, value = (each.get("A_Const", {}) for each in node["args"][:2])
            name = str(setting.get("sval", {}).get("sval", "")).lower()
            if name in _TIMEOUTS and _is_longer(name, {"kind": "VAR_SET_VALUE", "args": [{"A_Const": value}]}):
                yield name


def _is_longer(name: str, given: Node) -> bool:
    if given["kind"] != "VAR_SET_VALUE":  # RESET, TO DEFAULT: the server's, which is none
        return given["kind"] in ("VAR_RESET", "VAR_SET_DEFAULT")
    constant = given["args"][0].get("A_Const", {})
    text = str(constant["sval"].get("sval", "")) if "sval" in constant else str(constant.get("ival", {}).get("ival", 0))
    match = _DURATION.fullmatch(text)
    if match is None:
        return True  # nobody knows
    seconds = float(match[1]) * _UNITS[match[2] or "ms"]
    return seconds <= 0 or seconds > _TIMEOUTS[name]


def _word(body: Node, name: str) -> str:
    """Gives an option's value as a word."""
    for each in body.get("options", ()):
        if each["DefElem"]["defname"] == name:
            return str(each["DefElem"].get("arg", {}).get("String", {}).get("sval", ""))
    return ""


_RULES: tuple[Callable[[Command, File, _State], Iterator[LintFinding]], ...] = (
    _not_in_a_transaction,
    _needs_a_transaction,
    _rows_under_lock,
    _new_enum_value_used,
    _table_rewrite,
    _type_without_equality,
    _server_wide,
)
