"""A stack's outputs hold no credentials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..credentials import looks_like
from ..rule import Examples, Finding, Options, StackRule
from ..values import UNKNOWN, Program, Resource

PASSES = """
kind: Outputs
namespace: dev
secretName: ledger-postgres
"""
FAILS = """
kind: Outputs
uri: postgresql://ledger:hunter2@db:5432/ledger
"""


def _outputs(resource: Resource, program: Program, options: Options) -> Iterator[Finding]:
    if resource.type != "pulumi:pulumi:Stack":
        return
    for path, value in _leaves(resource.props):
        what = None if path.partition(".")[0] in options["allowed"] else looks_like(path.rpartition(".")[2], value)
        if what:
            yield Finding(f"its output {path!r} is {what}", "Export the name of the Kubernetes Secret that holds it")


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for n, inner in enumerate(value):
            yield from _leaves(inner, f"{path}.{n}")
    elif value is not UNKNOWN:
        yield path, value


RULE = StackRule(
    name="no-credentials-in-outputs",
    description="No output of the stack is a credential, not even as a Pulumi secret.",
    reason="Outputs are there to be read: by other stacks, by `pulumi stack output --show-secrets` in pipelines, and by the Automation API, "
    "whose up() returns secrets in plain text unless told otherwise.",
    severity="critical",
    options={
        "allowed": {
            "type": "array",
            "items": {"type": "string"},
            "default": [],
            "description": "outputs that may hold one",
        }
    },
    examples=Examples(PASSES, FAILS),
    checks=(_outputs,),
)
