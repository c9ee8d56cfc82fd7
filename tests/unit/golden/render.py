"""The manifests of each kind of module, as the components declare them for the full stack, for people to review.

``python -m tests.unit.golden.render`` writes them anew; beside each environment variable stands where its value comes from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from automation.declared import declared
from automation.steps import belongs_to
from policies.values import Resource
from settings import StackSettings, Variable
from settings.catalog import KINDS
from tests.unit.full_stack import AWS, STACK, load

HERE = Path(__file__).parent
_ORDER = (
    "ServiceAccount",
    "Secret",
    "ConfigMap",
    "Job",
    "Deployment",
    "PodDisruptionBudget",
    "Service",
    "Ingress",
)
_FIRST = ("apiVersion", "kind", "metadata", "name", "namespace")
_NAME = re.compile(r"^\s+- name: ([A-Z][A-Z0-9_]*)$")


def manifests() -> dict[str, str]:
    """Name of a file -> its manifests as YAML: one of each kind, and a ledger in a stack that logs in by AWS IAM."""
    settings, aws = load(STACK), load(AWS)
    resources = declared(settings).resources
    modules = {kind: settings.one_of(kind) or "shop" for kind in KINDS}
    found = {
        kind: _head(f"A module of kind {kind} in the stack") + _documents(resources, settings, module)
        for kind, module in modules.items()
    }
    with_aws = "A ledger that logs in to PostgreSQL and Kafka by its AWS identity, in the stack AWS"
    found["aws"] = _head(with_aws) + _documents(declared(aws).resources, aws, "ledger")
    return found


def _documents(resources: Iterable[Resource], settings: StackSettings, module: str) -> str:
    own = [r for r in resources if _is_object(r) and belongs_to(r.urn, r.parent)[0] == module]
    own.sort(key=lambda r: (_ORDER.index(r.type.rpartition(":")[2]), _step(r)))
    return "".join(_document(r, settings, module) for r in own)


def _is_object(resource: Resource) -> bool:
    return resource.type.startswith("kubernetes:")


def _step(resource: Resource) -> tuple[int, str]:
    """In the order of the gate: the database before the migration, the worker before the API."""
    steps = ("-database", "-migrate", "-validate", "-worker")
    return next((n for n, s in enumerate(steps) if resource.name.endswith(s)), len(steps)), resource.name


def _head(what: str) -> str:
    return (
        f"# {what} of tests/unit/full_stack.py.\n"
        "# Made by `python -m tests.unit.golden.render`; a test compares. After `after:` is what each waits for.\n"
    )


def _document(resource: Resource, settings: StackSettings, module: str) -> str:
    sources = {v.name: v.source for v in _variables(resource, settings, module)}
    text = yaml.safe_dump(_plain(dict(resource.props)), sort_keys=False, width=1000)
    lines = [_with_source(line, sources) for line in text.splitlines()]
    after = sorted(
        f"{kind.rpartition(':')[2]} {name}"
        for kind, name in (d.split("::")[2:4] for d in resource.dependencies)
        if "kubernetes:" in kind and not kind.endswith(":Namespace")
    )
    return "\n".join(["---", f"# after: {', '.join(after) or 'nothing'}", *lines, ""])


def _with_source(line: str, sources: Mapping[str, str]) -> str:
    found = _NAME.match(line)
    return f"{line}  # {sources[found[1]]}" if found and found[1] in sources else line


def _variables(resource: Resource, settings: StackSettings, module: str) -> tuple[Variable, ...]:
    plan = settings.plan(module)
    if resource.name.endswith("-database"):
        return plan.database
    if resource.name.endswith("-migrate"):
        return plan.migration
    if resource.name.endswith("-worker"):
        return plan.worker.env if plan.worker else ()
    return plan.api.env


def _plain(value: Any, key: str = "") -> Any:
    """Whole numbers as such, and nothing of what is secret."""
    if key == "stringData" and isinstance(value, dict):
        return dict.fromkeys(sorted(value.get("value", value)), "(secret)")
    if isinstance(value, dict):
        return {k: _plain(value[k], k) for k in sorted(value, key=_place)}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _place(key: str) -> tuple[int, str]:
    return (_FIRST.index(key) if key in _FIRST else len(_FIRST), key)


if __name__ == "__main__":
    for kind, text in manifests().items():
        (HERE / f"{kind}.yaml").write_text(text)
