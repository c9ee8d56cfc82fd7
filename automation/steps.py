"""What the engine did, as values: steps, diagnostics, policy findings. Made from its events by `pulumi_adapter`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

Phase = Literal["started", "done", "failed"]
CHANGING = frozenset({"create", "update", "delete", "replace", "create-replacement", "delete-replaced", "import"})
_DELETING = frozenset({"delete", "delete-replaced"})
# The components of components/ that are named after their module.
_OF_A_MODULE = frozenset(
    {
        "rollout:index:Module",
        "rollout:index:Database",
        "rollout:index:Migration",
        "rollout:index:Worker",
        "rollout:index:Release",
    }
)


@dataclass(frozen=True)
class Step:
    """One step of the engine on one resource, at one of its ends.

    Args:
        urn: of the resource.
        kind: the last part of its type: Job, Deployment, Service.
        name: its logical name.
        module: it belongs to, empty for what belongs to the whole stack.
        part: "database", "migration", "worker", "release" or empty.
        op: the engine's word: same, create, update, delete, replace, create-replacement, delete-replaced.
        phase: started, done or failed.
        object_name: the Kubernetes object's name.
        version: its version label.
        at: seconds since the run began.
        had_init_errors: an earlier update made it but it never became ready.
        old: its inputs before, as the engine shows them: secrets are masked.
        new: its inputs after.
        differing: paths of the properties that the provider found to differ.
    """

    urn: str
    kind: str
    name: str
    module: str
    part: str
    op: str
    phase: Phase
    object_name: str = ""
    version: str = ""
    at: float = 0.0
    had_init_errors: bool = False
    old: Mapping[str, Any] = field(default_factory=dict, repr=False)
    new: Mapping[str, Any] = field(default_factory=dict, repr=False)
    differing: tuple[str, ...] = ()

    @property
    def changes(self) -> bool:
        return self.op in CHANGING

    @property
    def deletes(self) -> bool:
        return self.op in _DELETING

    @property
    def is_workload(self) -> bool:
        """Something in the cluster, not a component or a provider."""
        return not self.urn.split("::")[2].rsplit("$", 1)[-1].startswith(("rollout:index:", "pulumi:"))


def belongs_to(urn: str, parent: str) -> tuple[str, str]:
    """The module a resource belongs to and the part of it, from the URN of its parent.

    Returns:
        ("", "") for resources of the stack itself.
    """
    for each in (urn, parent):
        fields = each.split("::", 3)
        if len(fields) == 4:
            last = fields[2].rsplit("$", 1)[-1]
            if last in _OF_A_MODULE:
                return fields[3], last.rpartition(":")[2].lower()
    return "", ""


@dataclass(frozen=True)
class Diagnostic:
    """A message of the engine or the program about a resource, or about the run when `urn` is empty."""

    severity: str
    message: str
    urn: str = ""


@dataclass(frozen=True)
class Finding:
    """A policy that a resource, or the stack, does not keep."""

    policy: str
    pack: str
    message: str
    urn: str
    mandatory: bool

    @property
    def resource(self) -> str:
        """Type and name, as people speak of it."""
        fields = self.urn.split("::", 3)
        return f"{fields[2].rsplit('$', 1)[-1].rpartition(':')[2]} {fields[3]}" if len(fields) == 4 else "the stack"


FailureKind = Literal["locked", "passphrase", "backend", "no-stack", "killed", "program", "failed"]


@dataclass(frozen=True)
class LockHolder:
    """Who holds the stack's lock.

    Args:
        user: name.
        host: name.
        pid: process there, 0 if unknown.
        since: RFC 3339 time.
        path: where the lock is.
    """

    user: str
    host: str
    pid: int
    since: str
    path: str = ""

    def __str__(self) -> str:
        process = f" (pid {self.pid})" if self.pid else ""
        return f"{self.user}@{self.host}{process}, since {self.since}"


@dataclass(frozen=True)
class Failure:
    """Why a call of the engine did not succeed."""

    kind: FailureKind
    text: str
    locks: tuple[LockHolder, ...] = ()


@dataclass(frozen=True)
class Run:
    """One preview, update or destroy of the engine.

    Args:
        ok: it ended well.
        steps: in the order of events.
        diagnostics: warnings and errors.
        findings: of policies.
        changes: operation -> count, as the engine sums up.
        failure: why it is not ok.
    """

    ok: bool
    steps: tuple[Step, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    findings: tuple[Finding, ...] = ()
    changes: Mapping[str, int] | None = None
    failure: Failure | None = None

    @property
    def violations(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.mandatory)

    @property
    def is_empty(self) -> bool:
        """Nothing to change, and nothing left half made by an earlier update."""
        return self.ok and not any(s.changes or s.had_init_errors for s in self.steps)

    @cached_property
    def migrating(self) -> frozenset[str]:
        """The modules whose migration a new Job runs."""
        return frozenset(
            s.module
            for s in self.objects
            if s.part == "migration" and s.kind == "Job" and s.op in ("create", "replace")
        )

    @property
    def removed(self) -> frozenset[str]:
        """The modules of which everything goes."""
        left = {step.module for step in self.objects if step.op != "delete"}
        return frozenset(step.module for step in self.objects if step.module) - left

    @cached_property
    def objects(self) -> tuple[Step, ...]:
        """What was done to each object in the cluster: of the steps of a replacement the one that stands for all."""
        return tuple(
            {
                step.urn: step
                for step in self.steps
                if step.phase == "done"
                and step.is_workload
                and step.op not in ("create-replacement", "delete-replaced")
            }.values()
        )

    def of(self, module: str) -> Iterable[Step]:
        return (s for s in self.steps if s.module == module)

    def errors(self, urn: str | None = None) -> tuple[str, ...]:
        """The texts of errors, of one resource or of all; the engine's own summary line is left out."""
        return tuple(
            d.message.strip()
            for d in self.diagnostics
            if d.severity == "error"
            and (urn is None or d.urn == urn)
            and d.message.strip() not in ("update failed", "preview failed")
        )
