"""The rules as docs/compatibility.md: `python -m migrator.compatibility.reference > docs/compatibility.md`."""

from __future__ import annotations

from migrator.compatibility import LEVELS, RULES, Rule

_HEAD = """# What a change of the schema means

`python -m migrator compare BEFORE AFTER` judges every difference of two fingerprints by one question: does the version
that serves now go on working on the new schema? [migrations.md](migrations.md) tells what to do instead, in steps.

| level | meaning | what happens |
|---|---|---|
| breaks | some statement of the previous version fails, or loses rows | refused |
| risky | it depends on what the previous version does | told; the rehearsal answers it |
| safe | nothing the previous version does is touched | told |

Of each change the first rule that applies tells. "Allowed with contract": once it is declared that no version runs any more
that used what goes, or does not satisfy what is demanded, the change is safe. A change that no rule knows is risky.

## What it does not see

A fingerprint knows the schema, not the previous version's statements, its role, or its rows. These are told as safe and may yet
break a statement; the rehearsal, which runs the previous version, finds them.

- A new column has the name of another table's: `SELECT note FROM a JOIN b ...` is ambiguous once both have a `note` (42702), and
  NATURAL JOIN joins by it. Nearly every new column has a name that some other table has (`id`, `created_at`), so a finding for
  each would say nothing. Qualify columns in statements that read several tables.
- A new table, view, type or function hides one of its name in a schema that comes later in the search path, as one in a schema
  called like the role does (`"$user"`). As whom a version connects, and with which search path, no fingerprint holds. Qualify names,
  or set the search path to one schema.
- TRUNCATE without CASCADE fails (0A000) on a table that a new one refers to, whatever its foreign key says.
- A column, table or sequence that is dropped and created again as it was, last in its table, looks as if nothing was done; its values
  are gone. Lint, which reads the files, warns (`ban-drop-column`, `ban-drop-table`).
- Rows that a migration deletes or changes (TRUNCATE, DELETE, UPDATE), and sequences that it sets (RESTART, setval), are data: neither a
  fingerprint nor lint judges them. The witness tells what a migration did to the schema alone.
- Not in a fingerprint at all: settings of roles (ALTER ROLE ... SET), memberships, what sequences have reached, comments, and the
  values of a user mapping's options, since a password may be among them.

## How it decides

- Constraints, partial indexes and defaults are compared by what they demand, as far as that can be shown from what the server prints: a
  cast that follows a column's new type, another name, a longer list, a looser bound, a part of a conjunction are seen. What cannot be
  shown is taken for another demand.
- What a constraint of a new column says of rows that do not know the column is worked out: NULL, or a literal default. Where it cannot be, it
  is `risky`.
- In two fingerprints of one database (as the rehearsal, the witness and the example in migrations.md take them) OIDs tell a renaming from
  a column that is dropped and another that is added; elsewhere two that are alike are taken for one that was renamed. With contract
  the former stays refused, since the version that serves uses the old name, and the latter is allowed.
- A constraint that is added NOT VALID is `risky` and one that is validated at once `breaks`, though both refuse the same new row: NOT VALID
  is the first of the steps of migrations.md, whoever writes it has the previous version's rows in mind, and it takes no scan under a lock.
  The rehearsal answers whether such a row is written.
- A default where there was none is `safe` unless a constraint holds the column: the previous version, which leaves the column out, has not
  relied on a value there. One that replaces another is `risky`: it has.
- Every new column and every changed type is `risky` at least, as `cached-plan`: what a connection has prepared is in no catalogue. The
  rehearsal asks the version that ran through the migration, and plans the statements in use again: those whose result changes are named.

"""


def text() -> str:
    """Gives the whole file."""
    return _HEAD + "\n".join(_section(level, [each for each in RULES if each.level == level]) for level in LEVELS[::-1])


def _section(level: str, rules: list[Rule]) -> str:
    rows = "\n".join(_row(each) for each in rules)
    heads = ("rule", "change", "what the previous version meets", "instead", "allowed with contract", "source")
    return f"## {level.capitalize()}\n\n| {' | '.join(heads)} |\n{'|---' * len(heads)}|\n{rows}\n"


def _row(rule: Rule) -> str:
    contract = "yes" if rule.contraction else ""
    return f"| `{rule.id}` | {rule.title} | {rule.why} | {rule.instead} | {contract} | {rule.source} |"


if __name__ == "__main__":
    print(text(), end="")
