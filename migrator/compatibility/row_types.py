"""Who makes or takes the rows of a table as values, and so depends on its columns without naming them."""

from __future__ import annotations

import re

from migrator.compatibility.questions import list_of, old_columns
from migrator.compatibility.rule import Case
from migrator.fingerprint import Object


def row_type_function(case: Case) -> Object | None:
    """Gives a function that lists the columns of the rows it returns, so that a further column makes its calls fail."""
    table = case.relation()
    return next(
        (
            each
            for each in case.before.objects
            if each.facts.get("rows of") == case.parent
            and table is not None
            and case.after.by_key.get((each.kind, each.name), each).attributes == each.attributes
            and (each.kind, each.name) in case.after.by_key
            and _lists_columns(each, len(old_columns(case)))
        ),
        None,
    )


def row_type_is_used(case: Case) -> bool:
    """Whether values of a table's row type are made or taken elsewhere in the schema."""
    kinds = (case.parent, f"{case.parent}[]")
    return any(
        (each.kind == "column" and each.attributes["type"] in kinds)
        or each.facts.get("rows of") == case.parent
        or case.parent in list_of(each.facts.get("row arguments"))
        or (each.kind == "domain" and each.attributes.get("type") in kinds)
        or (
            each.kind == "composite type"
            and any(one.endswith(kinds) for one in list_of(each.attributes.get("columns")))
        )
        for each in case.before.objects
    )


def _lists_columns(function: Object, columns: int) -> bool:
    text = re.sub(r"--[^\n]*|/\*.*?\*/", " ", str(function.facts.get("text") or ""), flags=re.DOTALL)
    text = re.sub(r"^\s*BEGIN\s+ATOMIC\b(.*)\bEND\s*$", r"\1", text, flags=re.DOTALL | re.IGNORECASE)
    if function.attributes.get("language") == "plpgsql":
        queries = [
            *re.findall(r"\bRETURN\s+QUERY\s+(?!EXECUTE\b)(.*?);", text, re.DOTALL | re.IGNORECASE),
            *(
                f"SELECT {row}"
                for row in re.findall(r"\bRETURN\s+(?:ROW\s*)?\((.*?)\)\s*;", text, re.DOTALL | re.IGNORECASE)
            ),
        ]
    else:
        queries = [each for each in text.split(";") if each.strip()][-1:]
    return any(_lists(each, columns) for each in queries)


def _lists(query: str, columns: int) -> bool:
    """Whether a query lists the columns of a row one by one."""
    returned = re.search(r"\bRETURNING\b(.*)$", query, re.DOTALL | re.IGNORECASE)
    if returned is None and re.search(r"\bSELECT\b", query, re.IGNORECASE) is None:
        return False
    given = returned[1] if returned else _last_select(query)
    if re.search(r"\bROW\s*\(.*\)\s*::", given, re.DOTALL | re.IGNORECASE):
        return True
    items = _commas(given) + 1
    return "*" not in re.sub(r"\bcount\s*\(\s*\*\s*\)", "", given, flags=re.IGNORECASE) and (items > 1 or columns == 1)


def _last_select(query: str) -> str:
    """The list of the outermost SELECT."""
    depth, begin = 0, 0
    for match in re.finditer(r"'(?:[^']|'')*'|\"[^\"]*\"|\(|\)|\bSELECT\b|\bFROM\b", query, re.IGNORECASE):
        word = match.group().upper()
        depth += (word == "(") - (word == ")")
        if depth == 0 and word == "SELECT":
            begin = match.end()
        elif depth == 0 and word == "FROM" and begin:
            return query[begin : match.start()]
    return query[begin:]


def _commas(text: str) -> int:
    depth = found = 0
    for match in re.finditer(r"'(?:[^']|'')*'|\"[^\"]*\"|[()\[\],]", text):
        word = match.group()
        depth += (word in "([") - (word in ")]")
        found += word == "," and depth == 0
    return found
