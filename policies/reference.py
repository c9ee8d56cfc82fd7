"""The rules as the part of docs/policies.md that a test compares: ``python -m policies.reference``."""

from __future__ import annotations

import json

from .rule import ResourceRule, StackRule
from .rules import RULES


def section() -> str:
    """Every rule with its reason, its options and its two examples."""
    return "\n".join(_rule(rule) for rule in RULES)


def _rule(rule: ResourceRule | StackRule) -> str:
    if isinstance(rule, StackRule):
        when = "the whole stack"
    else:
        when = "each resource, before it is touched" if rule.checks else "each resource, which it completes"
    parts = [
        f"### {rule.name}",
        "",
        rule.description,
        "",
        rule.reason,
        "",
        f"Not seen: {rule.unseen}.",
        "",
        f"Judges {when}. Severity: {rule.severity}.",
        "",
    ]
    if rule.options:
        parts += ["| option | default | |", "|---|---|---|"]
        parts += [
            f"| `{name}` | {_default(rule, schema['default'])} | {schema['description']} |"
            for name, schema in rule.options.items()
        ]
        parts.append("")
    parts += ["Passes:", "", "```yaml", rule.examples.passes.strip(), "```", "", "Fails:", "", *_difference(rule), ""]
    return "\n".join(parts)


def _default(rule: ResourceRule | StackRule, value: object) -> str:
    """A regular expression has bars, which would end the cell."""
    text = json.dumps(value)
    return f"see `policies/rules/{rule.name.replace('-', '_')}.py`" if "|" in text else f"`{text}`"


def _difference(rule: ResourceRule | StackRule) -> list[str]:
    """The failing example by the lines that differ, as a diff: the examples are as alike as can be."""
    passes, fails = rule.examples.passes.strip().splitlines(), rule.examples.fails.strip().splitlines()
    lines = [f"-{line}" for line in passes if line not in fails] + [f"+{line}" for line in fails if line not in passes]
    return ["```diff", *lines, "```"]


if __name__ == "__main__":
    print(section())
