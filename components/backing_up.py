"""Makes a backup at the moment a migration Job is about to be created."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

import pulumi

from .backup import KIND, Backup, Place, claim, making, of_module
from .errors import BackupFailed
from .following import JobCluster, run_job
from .guards import aside
from .names import Owner

AT_ONCE = 4  # each reads a whole database


class BackupCluster(JobCluster, Protocol):
    """What a backup needs of the cluster."""

    def exists(self, job: str) -> bool: ...
    def serving_version(self, module: str) -> str:
        """The version that the module's Service selects; empty where there is none."""

    def namespace_uid(self) -> str:
        """Of the stack's namespace."""

    def ensure_claim(self, claim: Mapping[str, Any]) -> None:
        """Makes a claim unless it is there."""


@dataclass(frozen=True)
class BackedUp:
    """How a backup came out.

    Args:
        module: name.
        version: that is to be migrated to.
        job: the backup's Job.
        ok: the migration may begin.
        words: the last words of its container, as JSON or as the end of its log.
        logs: the end of its log, where it failed.
        seconds: it took.
        stopped: it was ended because nobody waits for it; what it had made is removed.
    """

    module: str
    version: str
    job: str
    ok: bool
    words: str = ""
    logs: tuple[str, ...] = ()
    seconds: float = 0.0
    stopped: bool = False


class Listener(Protocol):
    """Told what backups do, from several threads."""

    def backing_up(self, module: str, text: str) -> None: ...
    def backed_up(self, result: BackedUp) -> None: ...


@dataclass
class Backups:
    """The backups of one run of the program.

    Args:
        cluster: where they are made.
        namespace: of the stack.
        owner: whose label they carry.
        listener: told what they do.
        now: the clock, in seconds.

    Attributes:
        planned: by module, the backups that an update would make.
        stopped: asked whether somebody wants an end, or nobody waits any more: an engine that ends does not end what its hooks began.
    """

    cluster: BackupCluster
    namespace: str
    owner: Owner
    listener: Listener | None = None
    now: Callable[[], float] = time.monotonic
    planned: dict[str, Backup] = field(default_factory=dict)
    stopped: Callable[[], bool] = lambda: False
    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(AT_ONCE, thread_name_prefix="backup")
    )

    def settle(self) -> None:
        """Waits until nothing of it is at work; to be called once `stopped` says yes."""
        self._threads.shutdown(cancel_futures=True)

    def hooks(self, backup: Backup | None) -> list[pulumi.ResourceHook]:
        """What comes before the creation of a module's migration Job; nothing where it is not backed up."""
        if backup is None:
            return []
        self.planned[backup.module] = backup

        def back_up(args: pulumi.ResourceHookArgs) -> None:
            self.gate(backup, dict(args.new_inputs or {})["metadata"]["name"])

        return [pulumi.ResourceHook(f"back-up-{backup.module}", aside(back_up, self._threads))]

    def gate(self, backup: Backup, job: str) -> None:
        """Makes a backup unless the migration runs already: it was killed, had its backup, and is taken over as it is.

        Args:
            backup: to make.
            job: name of the migration Job that is about to be created.

        Raises:
            BackupFailed: the migration must not run.
        """
        if self.cluster.exists(job):
            return
        result = self.run(backup)
        if not result.ok:
            raise BackupFailed(backup.module, result.version, result.job, result.words)

    @property
    def place(self) -> Place:
        """Where the Jobs run; the namespace must be there."""
        return Place(self.namespace, self.owner, self.cluster.namespace_uid())

    def run(self, backup: Backup) -> BackedUp:
        """Makes a backup."""
        wanted = claim(backup, self.namespace, self.owner)
        if wanted is not None:
            self.cluster.ensure_claim(wanted)
        job = making(backup, self.cluster.serving_version(backup.module), self.place)
        name = job["metadata"]["name"]
        self._tell(backup.module, f"backup of {backup.database}: Job {name}")
        ended = run_job(
            self.cluster,
            job,
            of_module(backup.module, KIND),
            now=self.now,
            stopped=self.stopped,
            tell=lambda line: self._tell(backup.module, line),
        )
        result = BackedUp(
            backup.module,
            backup.version.label,
            name,
            ended.ok,
            ended.words,
            () if ended.ok else ended.logs,
            ended.seconds,
            ended.stopped,
        )
        if self.listener:
            self.listener.backed_up(result)
        return result

    def _tell(self, module: str, text: str) -> None:
        if self.listener:
            self.listener.backing_up(module, text)
