"""What earlier files tell of a schema, so that a rule that reads one statement alone need not warn of it.

squawk warns of every change of a type and of every SET NOT NULL, since it reads a statement without the table. Where the
files show the type before, or a valid CHECK that proves NOT NULL, PostgreSQL writes no row anew and looks at none. What
they do not show stays a warning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from migrator import grammar
from migrator.compatibility import types
from migrator.grammar import Command, Name, Node
from migrator.lint_rules import File

_PRINTED = {
    "bit": "bit",
    "bool": "boolean",
    "bpchar": "character",
    "float4": "real",
    "float8": "double precision",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "interval": "interval",
    "numeric": "numeric",
    "text": "text",
    "time": "time without time zone",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
    "timetz": "time with time zone",
    "varbit": "bit varying",
    "varchar": "character varying",
}


@dataclass
class _Known:
    types: dict[tuple[str, str], str] = field(default_factory=dict)  # by table and column
    checks: dict[tuple[str, str], tuple[frozenset[str], bool]] = field(
        default_factory=dict
    )  # columns, and whether valid
    schemas: dict[str, set[str]] = field(default_factory=dict)

    def forget(self, table: str) -> None:
        for known in (self.types, self.checks):
            for key in [each for each in known if each[0] == table]:
                del known[key]

    def one(self, name: Name) -> bool:
        """Whether only one table of that name is known."""
        self.schemas.setdefault(name.name, set()).update({name.schema} - {""})
        return len(self.schemas[name.name]) < 2


def harmless(files: Iterable[File]) -> Iterator[tuple[str, range, str]]:
    """Gives the findings of squawk's that files show to be none.

    Args:
        files: all there are in their order, those that are applied too.

    Returns:
        Of each the file's path, the lines of the statement, and the rule.
    """
    known = _Known()
    for file in files:
        for statement in file.statements:
            text = file.text(statement[0].line)
            lines = range(statement[0].line, statement[0].line + text.count("\n") + 1)
            for rule in _shown(statement[0], known):
                yield file.path, lines, rule
            for command in statement:
                _learn(command, known)


def _shown(command: Command, known: _Known) -> Iterator[str]:
    changes = grammar.changes(command)
    table = grammar.relation(command.body["relation"]) if changes else Name("", "")
    if not changes or not known.one(table):
        return
    altered = [each for each in changes if each["subtype"] == "AT_AlterColumnType"]
    if altered and all(_widens(table.name, each, known) for each in altered):
        yield "changing-column-type"
    demanded = [each["name"] for each in changes if each["subtype"] == "AT_SetNotNull"]
    proven = {
        one for (name, _), (columns, valid) in known.checks.items() if valid and name == table.name for one in columns
    }
    if demanded and set(demanded) <= proven:
        yield "adding-not-nullable-field"


def _widens(table: str, change: Node, known: _Known) -> bool:
    column = change["def"]["ColumnDef"]
    old, new = known.types.get((table, change["name"])), _printed(column["typeName"])
    plain = "raw_default" not in column and "collClause" not in column  # USING is kept as a default
    return plain and old is not None and new is not None and types.compare(old, new) == "widened"


def _learn(command: Command, known: _Known) -> None:
    if command.kind == "CreateStmt":
        name = grammar.relation(command.body["relation"])
        known.one(name)
        known.forget(name.name)
        for each in command.body.get("tableElts", ()):
            _learn_column(name.name, each.get("ColumnDef", {}), known)
            _learn_check(name.name, each.get("Constraint", {}), known)
    elif command.kind in ("RenameStmt", "AlterObjectSchemaStmt") and "relation" in command.body:
        known.forget(grammar.relation(command.body["relation"]).name)
    elif command.kind == "DropStmt" and command.body["removeType"] == "OBJECT_TABLE":
        for each in command.body["objects"]:
            known.forget(grammar.name_of(each["List"]["items"]).name)
    for change in grammar.changes(command):
        table, name = grammar.relation(command.body["relation"]).name, change.get("name", "")
        definition = change.get("def", {})
        match change["subtype"]:
            case "AT_AddColumn":
                _learn_column(table, definition["ColumnDef"], known)
            case "AT_AlterColumnType":
                known.types.pop((table, name), None)
                _learn_column(table, {**definition["ColumnDef"], "colname": name}, known)
            case "AT_DropColumn":
                known.types.pop((table, name), None)
            case "AT_AddConstraint":
                _learn_check(table, definition["Constraint"], known)
            case "AT_ValidateConstraint" if (table, name) in known.checks:
                known.checks[table, name] = known.checks[table, name][0], True
            case "AT_DropConstraint":
                known.checks.pop((table, name), None)


def _learn_column(table: str, column: Node, known: _Known) -> None:
    if column and (printed := _printed(column["typeName"])):
        known.types[table, column["colname"]] = printed


def _learn_check(table: str, constraint: Node, known: _Known) -> None:
    if constraint.get("contype") == "CONSTR_CHECK" and "conname" in constraint and "is_no_inherit" not in constraint:
        columns = frozenset(_not_null(constraint["raw_expr"]))
        known.checks[table, constraint["conname"]] = columns, "skip_validation" not in constraint


def _not_null(expression: Node) -> Iterator[str]:
    """The columns of which a condition demands that they are not null."""
    if (joined := expression.get("BoolExpr")) and joined["boolop"] == "AND_EXPR":
        for each in joined["args"]:
            yield from _not_null(each)
    test = expression.get("NullTest")
    if test and test["nulltesttype"] == "IS_NOT_NULL" and "ColumnRef" in test["arg"]:
        yield grammar.name_of(test["arg"]["ColumnRef"]["fields"]).name


def _printed(given: Node) -> str | None:
    """A type as format_type prints it; None for one that is not known here."""
    name = grammar.name_of(given["names"])
    numbers = [each.get("A_Const", {}).get("ival", {}).get("ival") for each in given.get("typmods", ())]
    if name.name not in _PRINTED or name.schema not in ("", "pg_catalog") or None in numbers or "interval" in name.name:
        return None
    word, _, rest = _PRINTED[name.name].partition(" ")
    limit = f"({','.join(map(str, numbers))})" if numbers else ""
    # The limit of a timestamp stands before "with time zone", that of a varchar after "varying".
    inside = f"{word}{limit} {rest}" if rest.endswith("zone") else f"{word} {rest}".strip() + limit
    return inside + "[]" * len(given.get("arrayBounds", ()))
