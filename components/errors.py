"""What the program refuses to do.

ProgramError
├── ClusterUnreachable   the Kubernetes API does not answer
├── Downgrade            an older version than the one that serves, or that was migrated to, was asked for
├── Moved                the stack is at work in another namespace
├── ForeignObject        an object of the wanted name exists and is not this stack's
├── NotDropped           a database was to be dropped with its stack, and is still there
├── BackupFailed         the database could not be backed up before its migration
├── JobsLeft             an earlier rehearsal's or backup's pod does not go away
├── RehearsalFailed      a migration, tried on a scratch database, must not run on the real one
├── StatementsTooLong    the list of statements that a rehearsal is to look at does not fit into its pod
├── StillServing         a Deployment that its Service selects was about to be deleted
├── TooFew               an autoscaled version did not get as many pods as the one that serves
├── WorkerNotUp          a module's worker did not come up, so its API does not start
├── Frozen               the stack's settings refuse every change
├── WorkerNotOurs        a module's worker runs with other pods than Pulumi gave it
└── MigrationRunning     a migration that would be disturbed did not end in its time
"""

from __future__ import annotations

from collections.abc import Sequence

from .foreign_text import one_line
from .redact import Redactor
from .termination_message import parse

_SENTENCE = 500  # characters of what somebody else says


class ProgramError(Exception):
    """The program stops before it changes anything, or a hook refuses one step."""


class ClusterUnreachable(ProgramError):
    """The Kubernetes API cannot be used."""

    def __init__(self, context: str | None, cause: str) -> None:
        super().__init__(
            f"cannot reach the Kubernetes cluster (context {context or 'current'}): {cause}. "
            "Check KUBECONFIG and `kubectl get namespaces`; rollout:context chooses another context"
        )


class Downgrade(ProgramError):
    """The wanted version is older than the one that serves, or that the database was migrated to."""

    def __init__(self, module: str, newer: str, wanted: str, *, serves: bool) -> None:
        known = "which serves" if serves else "which its database was migrated to"
        super().__init__(
            f"module {module}: {wanted} is older than {newer}, {known}. The database has {newer}'s schema, and going back does not "
            f"undo its migration. If {wanted} is known to work on it: rollout up --allow-downgrade, or set "
            f"rollout:modules.{module}.allowDowngrade to true"
        )


class Moved(ProgramError):
    """The stack runs in another namespace than its settings say."""

    def __init__(self, wanted: str, found: Sequence[tuple[str, str, str]]) -> None:
        kind, name, namespace = found[0]
        others = f" and {len(found) - 1} more" if len(found) > 1 else ""
        super().__init__(
            f"the stack is at work in namespace {namespace} ({kind} {name}{others}), and its settings say {wanted}. What serves there "
            f"cannot be guarded from here: set rollout:namespace.name to {namespace} again, or destroy the stack before it moves"
        )


class ForeignObject(ProgramError):
    """An object of the wanted name exists and was not made by this stack."""

    def __init__(self, kind: str, name: str, namespace: str | None, owner: str | None) -> None:
        place = f" in namespace {namespace}" if namespace else ""
        maker = f"belongs to {owner}" if owner else "was not made by this stack"
        super().__init__(
            f"{kind} {name}{place} exists and {maker}; delete or rename it, or give the stack another namespace (rollout:namespace)"
        )


class StillServing(ProgramError):
    """A Deployment, or what belongs to it, must not be deleted while the Service still sends it traffic."""

    def __init__(self, kind: str, name: str, service: str, version: str) -> None:
        super().__init__(
            f"{kind} {name} still serves: Service {service} selects version {version}. It stays until another version has taken over"
        )


class StillUsed(ProgramError):
    """A Secret or ConfigMap must not be deleted while the pods of a Deployment are started with it."""

    def __init__(self, kind: str, name: str, deployments: Sequence[str]) -> None:
        super().__init__(
            f"{kind} {name} is used by Deployment {', '.join(deployments)}; it stays until that one is gone or changed"
        )


class MigrationRunning(ProgramError):
    """A migration Job is still active after its deadline and the time to tell of it."""

    def __init__(self, job: str, seconds: float) -> None:
        super().__init__(
            f"migration Job {job} is still running after {seconds:.0f} s; it is not deleted. Look at it with: kubectl logs job/{job}"
        )


class TooFew(ProgramError):
    """The Service does not switch to a version with fewer pods than the one that serves."""

    def __init__(self, deployment: str, ready: int, wanted: int) -> None:
        super().__init__(
            f"Deployment {deployment} has {ready} of the {wanted} pods that its Service needs; it still selects the version before"
        )


class Frozen(ProgramError):
    """Somebody has frozen the stack."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the stack is frozen: {reason}. Nothing was changed; remove rollout:freeze to allow changes")


class RehearsalFailed(ProgramError):
    """The migration was tried on a scratch database, and must not run on the real one."""

    def __init__(self, module: str, version: str, job: str, outcome: str, words: str) -> None:
        why = {
            "refused": "its rehearsal refuses it",
            "migration_failed": "the migration failed in its rehearsal",
            "impossible": "it could not be rehearsed",
        }[outcome]
        super().__init__(
            f"module {module}: {version} is not migrated to: {why} (Job {job}); the real database was not touched. {_told(words)}. "
            f"rollout:modules.{module}.rehearse: off migrates without a rehearsal"
        )


class StatementsTooLong(ProgramError):
    """A file of statements does not fit into a pod's environment."""

    def __init__(self, module: str, path: str, length: int, most: int) -> None:
        super().__init__(
            f"module {module}: rehearsal.statements: {path} has {length:,} bytes when compressed, more than the {most:,} that a "
            "rehearsal's pod can be given; leave out statements that differ in their constants alone"
        )


class BackupFailed(ProgramError):
    """There is no backup, so the migration must not run."""

    def __init__(self, module: str, version: str, job: str, words: str) -> None:
        super().__init__(
            f"module {module}: {version} is not migrated to: its database could not be backed up (Job {job}), and was not touched. "
            f"{_told(words)}. rollout:modules.{module}.backup: off migrates without a backup"
        )


class NotDropped(ProgramError):
    """A database was to be dropped and is still there."""

    def __init__(self, module: str, database: str, job: str, words: str) -> None:
        super().__init__(
            f"module {module}: database {database} was not dropped (Job {job}): {_told(words)}. The same command tries it again; "
            "without --drop-databases it is kept"
        )


class JobsLeft(ProgramError):
    """What is left of an earlier rehearsal or backup does not go away, and would get in the way of the next one."""

    def __init__(self, module: str, kind: str, objects: Sequence[str], seconds: float) -> None:
        what = {"rehearse": "rehearsal"}.get(kind, kind)
        super().__init__(
            f"module {module}: what is left of its last {what} ({', '.join(objects)}) is still being deleted after {seconds:.0f} s; "
            "see why with: kubectl describe pod"
        )


def _told(words: str) -> str:
    """What a container's termination message says, in one sentence."""
    said = parse(words).cleaned(Redactor())
    parts = [said.message, f"Instead: {said.hint}" if said.hint else ""]
    return ". ".join(one_line(p)[:_SENTENCE].rstrip(".") for p in parts if p)


class WorkerNotUp(ProgramError):
    """The API of a version does not start without the version's worker."""

    def __init__(self, worker: str, seconds: float) -> None:
        super().__init__(
            f"Deployment {worker} is not up after {seconds:.0f} s, and the API of its version does not start without it. "
            f"Look at it with: kubectl describe deployment/{worker}"
        )


class WorkerNotOurs(ProgramError):
    """A worker was put back to what it was before, or changed by hand, and Pulumi's state does not know."""

    def __init__(self, worker: str) -> None:
        super().__init__(
            f"Deployment {worker} runs, but with other pods than Pulumi's state says: they were put back, or changed by hand. "
            "Let Pulumi look, and update again: pulumi refresh"
        )
