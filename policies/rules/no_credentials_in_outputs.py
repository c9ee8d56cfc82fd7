"""A stack's outputs hold no credentials."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..credentials import is_named_for_one, looks_like
from ..rule import Examples, Finding, Options, StackRule, texts
from ..values import UNKNOWN, NotKnown, Program, Resource

PASSES = """
kind: Outputs
namespace: dev
secretName: ledger-postgres
"""
FAILS = """
kind: Outputs
uri: postgresql://ledger:hunter2@db:5432/ledger
"""


_INSTEAD = "Export the name of the Kubernetes Secret that holds it"
# What says where a credential is, under whatever name: {"password": {"secretName": "ledger-postgres"}}.
_WHERE = re.compile(r"(^|[a-z_.-])(Name|Ref|File|Path|Arn|Length|Version)$|^(name|ref|file|path|arn|length|version)$")


def _outputs(resource: Resource, program: Program, options: Options) -> Iterator[Finding]:
    if resource.type != "pulumi:pulumi:Stack":
        return
    unknown = None
    for name, output in resource.props.items():
        if name in options["allowed"]:
            continue
        if name in resource.secrets:
            yield Finding(
                f"its output {name!r} is or holds a Pulumi secret",
                f"{_INSTEAD}; where it is a secret only for what it was made of, export pulumi.Output.unsecret of it",
            )
            continue
        for path, value in _leaves(output, (name,)):
            what = _is_credential(path, value)
            if what:
                yield Finding(f"its output {'.'.join(path)!r} is {what}", _INSTEAD)
            elif value is UNKNOWN:
                unknown = unknown or ".".join(path)
    if unknown:
        raise NotKnown(unknown)


def _is_credential(path: Sequence[str], value: Any) -> str | None:
    """Judged by every name on the way to it; the innermost that says something decides."""
    for name in reversed(path):
        if _WHERE.search(name):
            break
        what = looks_like(name, value)
        if what or (value is UNKNOWN and is_named_for_one(name)):
            return what or "a credential"
    return looks_like("", value)


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for n, inner in enumerate(value):
            yield from _leaves(inner, (*path, str(n)))
    else:
        yield path, value


RULE = StackRule(
    name="no-credentials-in-outputs",
    description="No output of the stack is a credential, not even as a Pulumi secret.",
    reason="Outputs are there to be read: by other stacks, by `pulumi stack output --show-secrets` in pipelines, and by the Automation API, "
    "whose up() returns secrets in plain text unless told otherwise. What is marked as a Pulumi secret is one, whatever its name: the mark hides it "
    "from the state and the screen, not from who reads it.",
    unseen="a credential of an unknown form under a name that says nothing, and what is not known yet under such a name",
    severity="critical",
    options={"allowed": texts("outputs that may hold one")},
    examples=Examples(PASSES, FAILS),
    checks=(_outputs,),
)
