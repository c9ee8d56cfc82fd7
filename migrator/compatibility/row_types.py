"""Who makes or takes the rows of a table as values, and so depends on its columns without naming them."""

from __future__ import annotations

import re

from migrator.compatibility.questions import list_of, old_columns
from migrator.compatibility.rule import Case
from migrator.fingerprint import Object


def row_type_function(case: Case) -> Object | None:
    """Gives a function whose calls fail with a further column of the table.

    It lists the columns of the rows that it returns; or it returns `SELECT *` of the table as something else.
    """
    columns = len(old_columns(case))
    return next(
        (
            each
            for each in case.before.objects
            if "text" in each.facts
            and (new := case.after.by_key.get((each.kind, each.name))) is not None
            and new.attributes == each.attributes
            and (
                any(_lists(query, columns) for query in _queries(each))
                if each.facts.get("rows of") == case.parent
                else any(_has_all_of(query, case.parent) for query in _queries(each))
            )
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


def _queries(function: Object) -> list[str]:
    """The queries whose rows a function returns."""
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
    return queries


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


def _has_all_of(query: str, table: str) -> bool:
    """Whether a query gives `*` of a table."""
    schema, name = (re.escape(each) for each in table.rpartition(".")[::2])
    source = re.search(
        rf"\b(?:FROM|JOIN)\s+(?:ONLY\s+)?(?:{schema}\.)?{name}\b(?:\s+(?:AS\s+)?(?!WHERE|JOIN|ORDER|LIMIT|ON\b)(\w+))?",
        query,
        re.IGNORECASE,
    )
    alias = source and (source[1] or table.rpartition(".")[2])
    return alias is not None and any(
        each.strip() == "*" or each.strip().lower() in (f"{alias.lower()}.*", f"{table.rpartition('.')[2]}.*")
        for each in _last_select(query).split(",")
    )


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
