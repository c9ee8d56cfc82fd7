"""A stack of our components as the policies see it, declared without an engine; and ways to break it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from policies.values import Program, Resource
from tests.unit.components.declared import Declared, declare, ledger

Change = Callable[[dict[str, Resource]], None]


def stack(*modules: str, **settings: Any) -> Program:
    """Modules like the sample ledger, with everything that the components make of them."""
    names = modules or ("ledger",)
    settings = {"backup": "pvc", **settings}
    settings_of = {name: ledger(image=f"ghcr.io/formancehq/{name}", **settings) for name in names}
    # Credentials in a Kubernetes Secret: to make one per module takes seconds, for a hundred of them.
    postgres = {"uri": "postgresql://postgres.databases.svc:5432?secret=postgres"}
    migrator = "ghcr.io/formancehq/rollout-migrator:1"
    return _program(declare(settings_of, migratorImage=migrator, postgres=postgres))


def _program(declared: dict[str, Declared]) -> Program:
    return Program(tuple(_resource(d) for d in declared.values()))


def _resource(d: Declared) -> Resource:
    return Resource(
        d.type,
        d.name,
        f"{d.type}::{d.name}",
        d.inputs,
        parent=d.parent,
        component=d.component,
        dependencies=tuple(sorted(d.depends_on)),
    )


def many(count: int) -> Program:
    """A stack of modules that differ in their names only; to declare so many takes seconds."""
    one = stack()
    shared = [r for r in one.resources if "ledger" not in json.dumps([r.name, r.props])]
    copies = [_renamed(r, f"module-{n}") for n in range(count) for r in one.resources if r not in shared]
    return Program((*shared, *copies))


def _renamed(r: Resource, module: str) -> Resource:
    def new(value: Any) -> Any:
        return json.loads(json.dumps(value).replace("ledger", module))

    return replace(
        r,
        name=new(r.name),
        urn=new(r.urn),
        props=new(r.props),
        parent=new(r.parent),
        dependencies=tuple(new(r.dependencies)),
    )


def broken(program: Program, change: Change) -> Program:
    """The program with some resources changed; a change sees them by "Kind/name"."""
    resources = {
        f"{r.type.rpartition(':')[2]}/{r.name}": replace(r, props=copy.deepcopy(r.props)) for r in program.resources
    }
    change(resources)
    return Program(tuple(resources.values()))


def depends(resources: dict[str, Resource], key: str, *without: str) -> None:
    """Takes what is named (by a part of the URN) out of a resource's dependencies."""
    r = resources[key]
    kept = tuple(d for d in r.dependencies if not any(w in d for w in without))
    assert kept != r.dependencies, f"{key} does not depend on {without}"
    resources[key] = replace(r, dependencies=kept)


def rename(resources: dict[str, Resource], key: str, name: str) -> None:
    """Gives a resource another logical name, everywhere it is waited for."""
    old = resources[key]
    urn = f"{old.type}::{name}"
    for k, r in resources.items():
        resources[k] = replace(r, dependencies=tuple(urn if d == old.urn else d for d in r.dependencies))
    resources[key] = replace(old, name=name, urn=urn)
