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
