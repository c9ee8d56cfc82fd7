"""Each value of a program made unknown in turn: no bad program gets by with advice, and no good one is refused.

A value that decides whether a program is bad may be unknown, of course: those are the values that make it bad, what they are compared with,
and by what a Job is known for the migration of a Deployment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from policies.values import UNKNOWN, Program, Resource
from tests.unit.policies.corpus import Case, cases, programs, refused
from tests.unit.policies.good_program import changed
from tests.unit.policies.test_odd_forms import paths, put

Path = tuple[Any, ...]
CASES = {case.name: case for case in cases()}
BASE = {r.urn: r for r in changed().resources}
# An exemption is believed in plain sight only: where a program names a database, annotations that are not known exempt from nothing.
IN_PLAIN_SIGHT = {
    "a database that another program migrates": {("metadata",), ("metadata", "annotations")},
    "a worker that runs once": set[Path](),
}


def unknowns(program: Program) -> Iterator[tuple[Resource, Path, Program]]:
    for n, r in enumerate(program.resources):
        for at in paths(r.props):
            props = put(r.props, at, UNKNOWN)
            yield (
                r,
                at,
                Program(tuple(replace(x, props=props) if i == n else x for i, x in enumerate(program.resources))),
            )


@pytest.mark.slow
@pytest.mark.parametrize("name", programs.GOOD)
def test_no_good_program_is_refused_for_a_value_that_is_not_known(name: str) -> None:
    wrong = [
        (r.name, ".".join(map(str, at)), said)
        for r, at, program in unknowns(CASES[name].program())
        if at not in IN_PLAIN_SIGHT.get(name, ()) and (said := refused(program))
    ]
    assert wrong == []


def differences(one: Any, other: Any, at: Path = ()) -> Iterator[Path]:
    """Where two values differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in {**one, **other}:
            yield from differences(one.get(key), other.get(key), (*at, key))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for n, (a, b) in enumerate(zip(one, other, strict=True)):
            yield from differences(a, b, (*at, n))
    elif one != other:
        yield at


def decisive(case: Case) -> set[tuple[str, Path]]:
    """What differs from the good program; a resource that is not in that differs as a whole."""
    return {
        (r.urn, at)
        for r in case.program().resources
        for at in (differences(dict(BASE[r.urn].props), dict(r.props)) if r.urn in BASE else [()])
    }


# Programs whose badness no other value decides than those that make them bad ...
STRUCTURE = [
    "not behind its Job",
    "no Job",
    "behind a Job that reports",
    "behind another Job only",
    "the only migration after the Deployment",
    "a provider that renders YAML",
]
# ... and what is wrong with a Job, where it is known to be a migration.
OF_A_JOB = [
    "six retries",
    "no deadline",
    "a TTL",
    "skipAwait",
    "waitFor",
    "a suspended Job",
    "a Job without pods",
    "a failure policy",
    "OnFailure",
]
MIGRATES = [("spec", "template", "spec", "containers", 0, "args", 0)]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*STRUCTURE, *OF_A_JOB])
def test_no_bad_program_gets_by_with_advice(name: str) -> None:
    case = CASES[name]
    bad = decisive(case)
    if name in OF_A_JOB:
        bad |= {(r.urn, at) for r in case.program().resources if r.type.endswith(":Job") for at in MIGRATES}
    passed = [
        (r.name, ".".join(map(str, at)))
        for r, at, program in unknowns(case.program())
        if not any(r.urn == urn and (d[: len(at)] == at or at[: len(d)] == d) for urn, d in bad)
        and not refused(program)
    ]
    assert passed == []
