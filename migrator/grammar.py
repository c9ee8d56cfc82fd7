"""What a statement of SQL does, by PostgreSQL's own grammar.

libpg_query, the server's parser as a library, does the reading, through pgparse: what a rule asks about a statement holds
for every way of writing it, with comments, quoted and qualified names, options that are off, WITH in front. Statements in
the bodies of DO blocks and of routines are read likewise, and what EXECUTE is given as far as it is written out.

The library is loaded when the first statement is parsed: the migrator's image, which runs files and lints none, has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from migrator.errors import InvalidMigration

Node = Mapping[str, Any]
_SERVER_S = ("pg_catalog", "information_schema")
_SHARE_LOCK = 5  # in the numbering of the server's lockdefs.h: conflicts with writers from here on
_ACCESS_EXCLUSIVE_LOCK = 8
# Forms of ALTER TABLE that let others read and write (AlterTableGetLockLevel in the server's tablecmds.c).
_LETS_WRITE = {
    "AT_AttachPartition",
    "AT_ClusterOn",
    "AT_DetachPartitionFinalize",
    "AT_DropCluster",
    "AT_ResetOptions",
    "AT_ResetRelOptions",
    "AT_SetOptions",
    "AT_SetRelOptions",
    "AT_SetStatistics",
    "AT_ValidateConstraint",
}
_LETS_READ = re.compile(r"AT_(?:Enable|Disable)(?:Always|Replica)?Trig(?:All|User)?")
_OF_A_TABLE = ("OBJECT_TRIGGER", "OBJECT_POLICY", "OBJECT_RULE")
_RELATIONS = ("OBJECT_TABLE", "OBJECT_FOREIGN_TABLE", "OBJECT_VIEW", "OBJECT_MATVIEW", "OBJECT_INDEX")
PLACEHOLDER = "something"
_DEEP = 8


class Unknown(Exception):
    """The grammar does not have it: it is wrong, or newer than the library."""


class Name(NamedTuple):
    """A name in its parts, as the server compares it: what was not quoted is in lower case."""

    schema: str
    name: str

    def same(self, other: Name) -> bool:
        """Whether both may name one thing; where one has no schema, the search path decides, which nobody knows here."""
        return self.name == other.name and (not self.schema or not other.schema or self.schema == other.schema)

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name


class Lock(NamedTuple):
    """A lock on a relation that a statement leaves until its transaction ends."""

    name: Name
    against: Literal["readers", "writers"]


@dataclass(frozen=True)
class Command:
    """One statement, or one that another executes.

    Attributes:
        kind: name of the server's node, such as `AlterTableStmt`.
        body: the node.
        line: of the file, counted from 1.
        nested: whether it stands in the body of a DO block or a routine.
    """

    kind: str
    body: Node
    line: int
    nested: bool = False


def commands(text: str, line: int, routines: Mapping[str, Sequence[Command]]) -> list[Command]:
    """Reads one statement, and what is executed with it.

    Args:
        text: the statement.
        line: of the file, where it begins.
        routines: what the bodies of routines execute, by their names; see `routine`.

    Returns:
        The statement first; after it those in the body of a DO block and of the routines that any of them calls.

    Raises:
        Unknown: the grammar does not have it.
        InvalidMigration: there is no pgparse.
    """
    found = _parsed(text, line)
    if found and found[0].kind == "DoStmt":
        found += _body(text, found[0].body.get("args", ()), line)
    return [*found, *_called(found, routines)]


def routine(command: Command, text: str) -> tuple[str, list[Command]] | None:
    """Gives the name of the routine, or of the prepared statement, that a statement makes, and what is executed by it; or None."""
    if command.kind == "PrepareStmt":
        return f"EXECUTE {command.body['name']}", [
            Command(kind, body, command.line, nested=True) for kind, body in command.body["query"].items()
        ]
    if command.kind != "CreateFunctionStmt":
        return None
    name = command.body["funcname"][-1]["String"]["sval"]
    if body := command.body.get("sql_body"):
        return name, [Command(kind, node, command.line, nested=True) for kind, node in _statements(body)]
    return name, _body(text, command.body.get("options", ()), command.line)


def walk(node: Any) -> Iterator[tuple[str, Node]]:
    """Gives every node below one, with the name of its kind, itself left out."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key[:1].isupper() and isinstance(value, Mapping):
                yield key, value
            yield from walk(value)
    elif isinstance(node, list):
        for each in node:
            yield from walk(each)


def literals(command: Command) -> set[str]:
    """Gives the string literals of a statement."""
    return {node["sval"].get("sval", "") for kind, node in walk(command.body) if kind == "A_Const" and "sval" in node}


def option(given: Sequence[Node], name: str, *, default: bool = False) -> bool:
    """Whether an option of a statement is on: `VACUUM (FULL)` has it, and so has `(FULL true)`; `(FULL off)` has not."""
    for each in given:
        if each["DefElem"]["defname"] == name:
            return _is_on(each["DefElem"].get("arg"))
    return default


def _is_on(argument: Node | None) -> bool:
    if argument is None:
        return True
    ((kind, value),) = argument.items()
    if kind in ("Integer", "Boolean"):
        return bool(value.get("ival", value.get("boolval", False)))
    if kind == "TypeName":  # `off` is a keyword that true and false are not
        value = value["names"][-1]["String"]
    return str(value.get("sval", "")).lower() not in ("false", "off", "0", "no")


def changes(command: Command) -> list[Node]:
    """Gives the commands of an ALTER TABLE; of another statement none."""
    return [each["AlterTableCmd"] for each in command.body.get("cmds", ())] if command.kind == "AlterTableStmt" else []


def relation(given: Node | None) -> Name:
    """Gives a relation's name as it is written."""
    return Name(str((given or {}).get("schemaname", "")), str((given or {}).get("relname", "")))


def name_of(parts: Sequence[Node]) -> Name:
    """Gives a name that is written as a list."""
    words = [str(each["String"]["sval"]) for each in parts]
    return Name(words[-2] if len(words) > 1 else "", words[-1])


def creates(command: Command) -> list[Name]:
    """Gives the relations that a statement makes, under the names that it leaves them with."""
    body = command.body
    found = [relation(node["relation"]) for kind, node in with_itself(command) if kind == "CreateStmt"]
    if command.kind == "CreateForeignTableStmt":
        found.append(relation(body["base"]["relation"]))
    if command.kind == "CreateSchemaStmt":
        found = [each._replace(schema=each.schema or body.get("schemaname", "")) for each in found]
    if command.kind in ("CreateTableAsStmt", "SelectStmt") and (into := body.get("into") or body.get("intoClause")):
        found.append(relation(into["rel"]))
    if command.kind == "ViewStmt" and not body.get("replace"):
        found.append(relation(body["view"]))
    if command.kind == "IndexStmt" and "idxname" in body:
        found.append(Name(relation(body["relation"]).schema, body["idxname"]))
    return found


def renames(command: Command) -> tuple[Name, Name] | None:
    """Gives the old and the new name of a relation that a statement renames or moves to another schema."""
    body = command.body
    if command.kind == "RenameStmt" and body["renameType"] in _RELATIONS:
        old = relation(body["relation"])
        return old, Name(old.schema, body["newname"])
    if command.kind == "AlterObjectSchemaStmt" and "relation" in body:
        old = relation(body["relation"])
        return old, Name(body["newschema"], old.name)
    return None


def locks(command: Command) -> list[Lock]:
    """Gives the locks that keep readers or writers off, by the manual's 13.3 and the server's source.

    A table that is dropped is left out: what others want of it fails anyhow.
    """
    body = command.body
    match command.kind:
        case "AlterTableStmt":
            return _altered(command)
        case "RenameStmt" | "AlterObjectSchemaStmt" if "relation" in body and body.get("renameType") != "OBJECT_INDEX":
            return [Lock(relation(body["relation"]), "readers")]
        case "LockStmt":
            mode = body.get("mode", _ACCESS_EXCLUSIVE_LOCK)
            against: Literal["readers", "writers"] = "readers" if mode >= _ACCESS_EXCLUSIVE_LOCK else "writers"
            return [Lock(relation(each["RangeVar"]), against) for each in body["relations"] if mode >= _SHARE_LOCK]
        case "TruncateStmt":
            return [Lock(relation(each["RangeVar"]), "readers") for each in body["relations"]]
        case "ClusterStmt" | "RuleStmt" if "relation" in body:
            return [Lock(relation(body["relation"]), "readers")]
        case "RefreshMatViewStmt":
            return [Lock(relation(body["relation"]), "writers" if body.get("concurrent") else "readers")]
        case "CreatePolicyStmt" | "AlterPolicyStmt":
            return [Lock(relation(body["table"]), "readers")]
        case "ViewStmt" if body.get("replace"):
            return [Lock(relation(body["view"]), "readers")]
        case "CreateTrigStmt":
            return [Lock(relation(body["relation"]), "writers")]
        case "IndexStmt" if not body.get("concurrent"):
            return [Lock(relation(body["relation"]), "writers")]
        case "ReindexStmt" if "relation" in body and not option(body.get("params", ()), "concurrently"):
            return [Lock(relation(body["relation"]), "writers")]
        case "AlterSeqStmt":
            return [Lock(relation(body["sequence"]), "writers")]
        case "DropStmt" if body["removeType"] in _OF_A_TABLE:
            return [Lock(name_of(each["List"]["items"][:-1]), "readers") for each in body["objects"]]
        case "DropStmt" if body["removeType"] == "OBJECT_INDEX" and not body.get("concurrent"):
            return [Lock(name_of(each["List"]["items"]), "readers") for each in body["objects"]]
        case "CreateStmt" | "CreateForeignTableStmt" | "CreateSchemaStmt":
            return _of_a_new_table(command)
    return []


def _altered(command: Command) -> list[Lock]:
    name = relation(command.body["relation"])
    found: list[Lock] = []
    for each in changes(command):
        kind, definition = each["subtype"], each.get("def", {})
        referred = _referred(each)
        found += referred
        if kind == "AT_AttachPartition":
            found.append(Lock(relation(definition["PartitionCmd"]["name"]), "readers"))
        elif kind == "AT_DetachPartition":
            part = definition["PartitionCmd"]
            if not part.get("concurrent"):
                found += [Lock(name, "readers"), Lock(relation(part["name"]), "readers")]
        elif _LETS_READ.fullmatch(kind) or (kind == "AT_AddConstraint" and referred):
            found.append(Lock(name, "writers"))
        elif kind not in _LETS_WRITE:
            found.append(Lock(name, "readers"))
    return found


def _referred(node: Node) -> list[Lock]:
    """The tables that foreign keys refer to."""
    return [
        Lock(relation(one.get("pktable")), "writers")
        for kind, one in walk(node)
        if kind == "Constraint" and one["contype"] == "CONSTR_FOREIGN"
    ]


def _of_a_new_table(command: Command) -> list[Lock]:
    found = _referred(command.body)
    for kind, node in with_itself(command):
        if kind == "CreateStmt" and "partbound" in node:
            found += [Lock(relation(each["RangeVar"]), "readers") for each in node["inhRelations"]]
    return found


def goes_through(command: Command) -> list[Name]:
    """Gives the tables whose rows a statement goes through to write some, or to check them; in the order of the text.

    A row of VALUES takes no time worth a word, nor does a SELECT without a table, with a condition, or of the least or the
    greatest value: those have an index as a rule.
    """
    body = command.body
    if command.kind in ("CreateFunctionStmt", "PrepareStmt", "DoStmt", "RuleStmt", "ViewStmt"):
        return []  # it is not run by this
    if command.kind == "ExplainStmt" and not option(body.get("options", ()), "analyze"):
        return []
    if any(each["subtype"] == "AT_ValidateConstraint" for each in changes(command)):
        return [relation(body["relation"])]
    found: list[Name] = []
    for kind, node in with_itself(command):
        match kind:
            case "UpdateStmt" | "DeleteStmt" | "MergeStmt":
                found += [relation(node["relation"]), *_read(node)]
            case "InsertStmt" if _from_somewhere(node.get("selectStmt", {}).get("SelectStmt", {}), node):
                found += [relation(node["relation"]), *_read(node)]
            case "CreateTableAsStmt" if not node["into"].get("skipData"):
                found += _read(node["query"])
            case "SelectStmt" if "intoClause" in node:
                found += _read({key: value for key, value in node.items() if key != "intoClause"})
            case "SelectStmt" if node is body and _reads_all(node):
                found += _read(node)
            case "RefreshMatViewStmt" if not node.get("skipData"):
                found.append(relation(node["relation"]))
            case "CopyStmt" if node.get("is_from"):
                found.append(relation(node["relation"]))
            case "CopyStmt":
                found += [relation(node["relation"])] if "relation" in node else _read(node["query"])
    return list(dict.fromkeys(found))


def _from_somewhere(select: Node, insert: Node) -> bool:
    """Whether rows come out of tables or functions, and not of VALUES alone."""
    if "op" in select and select["op"] != "SETOP_NONE":
        return any(_from_somewhere(select[side], insert) for side in ("larg", "rarg"))
    sources = list(select.get("fromClause", ()))
    return bool(sources) and (
        bool(_read({"fromClause": sources, "with": [insert.get("withClause"), select.get("withClause")]}))
        or any(kind == "RangeFunction" for kind, _ in walk(sources))
    )


def _reads_all(select: Node) -> bool:
    names = {
        node["funcname"][-1]["String"]["sval"]
        for kind, node in walk(select.get("targetList", ()))
        if kind == "FuncCall" and node.get("funcname")
    }
    limited = {"whereClause", "limitCount"} & select.keys()
    return bool(select.get("fromClause")) and not limited and not names & {"max", "min"}


def _read(node: Any) -> list[Name]:
    """The relations that a statement names anywhere; those that it has made itself in a WITH left out."""
    own = {one["ctename"] for kind, one in walk(node) if kind == "CommonTableExpr"}
    tables = [relation(one) for kind, one in walk(node) if kind == "RangeVar"]
    return [
        each
        for each in tables
        if (each.schema or each.name not in own) and each.schema not in _SERVER_S and not each.name.startswith("pg_")
    ]


def with_itself(command: Command) -> Iterator[tuple[str, Node]]:
    """Gives a statement's own node, and every one below it."""
    yield command.kind, command.body
    yield from walk(command.body)


def _statements(node: Any) -> Iterator[tuple[str, Node]]:
    return ((kind, each) for kind, each in walk(node) if kind.endswith("Stmt"))


def _library() -> Any:
    try:
        import pgparse  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError:
        raise InvalidMigration("there is no pgparse here", hint="pip install pgparse") from None
    return pgparse


def _parsed(text: str, line: int, *, nested: bool = False) -> list[Command]:
    library = _library()
    try:
        trees = library.parse(text)
    except library.PGQueryError as error:
        raise Unknown(str(error)) from None
    return [Command(kind, body, line, nested) for tree in trees for kind, body in tree["stmt"].items()]


def _body(text: str, options: Sequence[Node], line: int) -> list[Command]:
    """What is executed by a body that is written as a string."""
    given = {each["DefElem"]["defname"]: each["DefElem"]["arg"] for each in options if "arg" in each["DefElem"]}
    body, language = given.get("as", {}), given.get("language", {}).get("String", {}).get("sval", "plpgsql")
    source = next((node["sval"] for kind, node in walk({"body": body}) if kind == "String"), "")
    begin = line + text.count("\n", 0, max(text.find(source), 0))
    try:
        if language == "sql":
            return _parsed(source, begin, nested=True)
        if language == "plpgsql":
            library = _library()
            try:
                return [found for tree in library.parse_pgsql(text) for found in _procedural(tree, begin)]
            except library.PGQueryError:
                return []
    except Unknown:
        return []
    return []


def _procedural(node: Any, begin: int) -> Iterator[Command]:
    """Statements of a PL/pgSQL body; a COMMIT of its own is `TransactionStmt`, as in SQL."""
    if isinstance(node, list):
        for each in node:
            yield from _procedural(each, begin)
    if not isinstance(node, Mapping):
        return
    for key, value in node.items():
        line = begin + value.get("lineno", 1) - 1 if isinstance(value, Mapping) else begin
        if key in ("PLpgSQL_stmt_commit", "PLpgSQL_stmt_rollback"):
            yield Command("TransactionStmt", {}, line, nested=True)
        elif key == "PLpgSQL_stmt_dynexecute":
            yield from _dynamic(value.get("query", {}).get("PLpgSQL_expr", {}).get("query", ""), line)
        elif key.startswith("PLpgSQL_stmt_") and isinstance(value, Mapping):
            for part in value.values():
                expression = part.get("PLpgSQL_expr") if isinstance(part, Mapping) else None
                if expression:
                    yield from _expression(expression["query"], line)
        yield from _procedural(value, begin)


def _expression(query: str, line: int) -> Iterator[Command]:
    for text in (query, f"SELECT {query}"):  # PERFORM, IF, := hold expressions
        try:
            yield from _parsed(text, line, nested=True)
        except Unknown:
            continue
        return


def _dynamic(query: str, line: int) -> Iterator[Command]:
    """What EXECUTE is given as a string, by format() or by ||; names that are put in stay unknown."""
    try:
        (select,) = _parsed(f"SELECT {query}", line)
    except (Unknown, ValueError):
        return
    text = _written(select.body["targetList"][0]["ResTarget"]["val"])
    for each in text.split(";"):
        try:
            yield from _parsed(each, line, nested=True)
        except Unknown:
            continue


def _written(node: Node) -> str:
    ((kind, value),) = node.items()
    if kind == "A_Const" and "sval" in value:
        return str(value["sval"].get("sval", ""))
    if kind == "TypeCast":
        return _written(value["arg"])
    if kind == "A_Expr" and value["name"][0]["String"]["sval"] == "||":
        return _written(value["lexpr"]) + _written(value["rexpr"])
    if kind == "FuncCall" and value["funcname"][-1]["String"]["sval"] == "format" and value.get("args"):
        text = re.sub(r"%(?:\d+\$)?-?\d*L", f"'{PLACEHOLDER}'", _written(value["args"][0]))
        return re.sub(r"%(?:\d+\$)?-?\d*[Is]", PLACEHOLDER, text).replace("%%", "%")
    return PLACEHOLDER


def _called(given: Sequence[Command], routines: Mapping[str, Sequence[Command]], depth: int = 0) -> list[Command]:
    """What routines execute that these call; they are told where they are called."""
    found: list[Command] = []
    for command in given:
        if command.kind in ("CreateFunctionStmt", "CreateTrigStmt") or depth > _DEEP:
            continue
        for kind, node in with_itself(command):
            if kind == "ExecuteStmt":
                found += [replace(each, line=command.line) for each in routines.get(f"EXECUTE {node['name']}", ())]
            call = node if kind == "FuncCall" else node.get("funccall", {}) if kind == "CallStmt" else {}
            if call.get("funcname"):
                name = call["funcname"][-1]["String"]["sval"]
                inside = [replace(each, line=command.line) for each in routines.get(name, ())]
                found += [*inside, *_called(inside, routines, depth + 1)]
    return found
