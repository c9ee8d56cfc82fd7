"""Hooks that refuse or delay the steps Pulumi's own rules would get wrong.

- Nothing that serves is deleted, nor what it stands on. With ``--continue-on-error`` the engine goes on to delete the old
  Deployment, its disruption budget and its credentials of a module whose new version failed
  (https://www.pulumi.com/docs/iac/cli/commands/pulumi_up/).
- A running migration is never deleted. ``pulumi.com/replaceUnready`` makes a failed Job run again, but would also delete
  one that merely still runs after an interrupted update.
- A module's database is migrated by one Job at a time, also after an update was killed and another version is wanted.
- An API starts, or is changed, once its worker is up: a worker is stopped before it starts anew, and Pulumi does not wait for that.
- A version whose replicas are an autoscaler's begins with one pod; its Service switches when it has as many as serve.
- An update killed between the API server's answer and Pulumi's checkpoint leaves an object Pulumi does not know. The
  provider takes existing objects over (a server-side apply), so that the next update converges; the guard sees to
  it that this is only ever done to objects of this very stack.

Hooks are known to the engine by name only while the program runs, so every run registers them; ``destroy`` needs
``--run-program``, which ``rollout destroy`` passes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

import pulumi

from .cluster import Cluster
from .errors import ForeignObject, MigrationRunning, StillServing, StillUsed, TooFew, WorkerNotOurs, WorkerNotUp
from .names import JOB, MODULE, NAME, VERSION, WORKER, Owner

# A Job past its deadline is ended by the Job controller within a pod's termination; its end must also reach us.
SLACK_SECONDS = 60.0
POLL_SECONDS = 0.5
_THREADS = 64  # guards at work at once: four times what an engine does side by side unless told otherwise
# For the pods that an autoscaled version lacks: each is a copy of one that was ready within its progress deadline.
SCALE_SECONDS = 180.0

Args = pulumi.ResourceHookArgs


@dataclass(frozen=True)
class Guards:
    """The hooks of one stack, to be bound to its resources.

    Attributes:
        declared: names of the versioned Deployments that this run declares; whoever declares one adds it.
    """

    declared: set[str]
    ours_or_new: pulumi.ResourceHook
    one_migration_at_a_time: pulumi.ResourceHook
    keep_serving: pulumi.ResourceHook
    keep_used: pulumi.ResourceHook
    let_finish: pulumi.ResourceHook
    as_many_as_before: pulumi.ResourceHook
    worker_is_up: pulumi.ResourceHook

    @classmethod
    def register(
        cls, cluster: Cluster, owner: Owner, last_of_job: Callable[[dict[str, Any]], None] | None = None
    ) -> Guards:
        declared: set[str] = set()
        rules = Rules(cluster, owner, last_of_job=last_of_job, declared=declared)

        threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="guard")

        def hook(name: str, rule: Callable[[Args], None]) -> pulumi.ResourceHook:
            return pulumi.ResourceHook(name, aside(rule, threads))

        return cls(
            declared,
            hook("ours-or-new", rules.ours_or_new),
            hook("one-migration-at-a-time", rules.one_migration_at_a_time),
            hook("keep-serving", rules.keep_serving),
            hook("keep-used", rules.keep_used),
            hook("let-finish", rules.let_finish),
            hook("as-many-as-before", rules.as_many_as_before),
            hook("worker-is-up", rules.worker_is_up),
        )

    @property
    def plain(self) -> pulumi.ResourceHookBinding:
        return pulumi.ResourceHookBinding(before_create=[self.ours_or_new])

    def job(self, before: Sequence[pulumi.ResourceHook] = ()) -> pulumi.ResourceHookBinding:
        """Of a Job, with what else comes before its creation."""
        return pulumi.ResourceHookBinding(
            before_create=[self.ours_or_new, self.one_migration_at_a_time, *before], before_delete=[self.let_finish]
        )

    @property
    def mounted(self) -> pulumi.ResourceHookBinding:
        return pulumi.ResourceHookBinding(before_create=[self.ours_or_new], before_delete=[self.keep_used])

    @property
    def switching(self) -> pulumi.ResourceHookBinding:
        return pulumi.ResourceHookBinding(
            before_create=[self.ours_or_new, self.as_many_as_before], before_update=[self.as_many_as_before]
        )

    @property
    def serving_with_worker(self) -> pulumi.ResourceHookBinding:
        return pulumi.ResourceHookBinding(
            before_create=[self.ours_or_new, self.worker_is_up],
            before_update=[self.worker_is_up],
            before_delete=[self.keep_serving],
        )

    @property
    def serving(self) -> pulumi.ResourceHookBinding:
        return pulumi.ResourceHookBinding(before_create=[self.ours_or_new], before_delete=[self.keep_serving])


def aside(rule: Callable[[Args], None], threads: Executor) -> Callable[[Args], Coroutine[Any, Any, None]]:
    """Runs a rule in threads that are the guards' own.

    The SDK calls hooks on the program's event loop, where what waits holds up every other resource. That loop's own threads may
    all be waiting for registrations of resources whose hooks these are: the first install of a hundred modules never ended.
    """

    async def run(args: Args) -> None:
        await asyncio.get_running_loop().run_in_executor(threads, copy_context().run, rule, args)

    return run


@dataclass(frozen=True)
class Rules:
    """What the hooks check, apart from Pulumi so that it can be tested by calling it."""

    cluster: Cluster
    owner: Owner
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    last_of_job: Callable[[dict[str, Any]], None] | None = None
    declared: Collection[str] = ()

    def ours_or_new(self, args: Args) -> None:
        """Refuses to take over an object that another stack or person made."""
        inputs = _plain(args.new_inputs)
        metadata = inputs["metadata"]
        exists, owner = self.cluster.owner(inputs["kind"], metadata["name"], metadata.get("namespace"))
        if exists and owner != self.owner.label:
            raise ForeignObject(inputs["kind"], metadata["name"], metadata.get("namespace"), owner)

    def one_migration_at_a_time(self, args: Args) -> None:
        """Waits for the module's other migration Jobs, each within its own deadline; and for a restore whose command was killed."""
        metadata = _plain(args.new_inputs)["metadata"]
        labels = metadata["labels"]
        kinds = [labels[JOB], "restore"]
        for job in (job for kind in kinds for job in self.cluster.running_jobs(labels[MODULE], kind)):
            if job.name != metadata["name"]:
                self._wait(job.name, job.deadline)

    def keep_serving(self, args: Args) -> None:
        """Refuses to delete the Deployment, its disruption budget or autoscaler, whose pods the module's Service selects.

        A disruption budget or an autoscaler, which have their Deployment's name, go where this run declares that Deployment: the
        version stays, and the settings ask for it without them.
        """
        inputs = _plain(args.old_inputs)
        if inputs["kind"] != "Deployment" and inputs["metadata"]["name"] in self.declared:
            return
        labels = inputs["metadata"]["labels"]
        selector = self.cluster.selected(labels[NAME])
        if selector and selector.items() <= labels.items():
            raise StillServing(inputs["kind"], inputs["metadata"]["name"], labels[NAME], labels[VERSION])

    def keep_used(self, args: Args) -> None:
        """Refuses to delete a Secret or ConfigMap that a Deployment's next pod would look for."""
        inputs = _plain(args.old_inputs)
        kind, name = inputs["kind"], inputs["metadata"]["name"]
        if users := self.cluster.users(kind, name):
            raise StillUsed(kind, name, users)

    def as_many_as_before(self, args: Args) -> None:
        """Gives an autoscaled version as many pods as serve, and waits for them, before its Service switches to it.

        The Deployment says nothing of replicas, which are the autoscaler's, and so begins with one.
        """
        inputs = _plain(args.new_inputs)
        wanted = inputs["spec"]["selector"]
        serving = self.cluster.selected(inputs["metadata"]["name"])
        new = self.cluster.size(wanted)
        if serving == wanted or new is None:
            return
        old = self.cluster.size(serving) if serving else None
        pods = max(new.least, new.replicas, old.replicas if old else 1)
        if new.replicas < pods:
            self.cluster.scale(new.name, pods)
        end = self.now() + SCALE_SECONDS
        while new and new.ready < pods:
            if self.now() > end:
                raise TooFew(new.name, new.ready, pods)
            self.sleep(POLL_SECONDS)
            new = self.cluster.size(wanted)

    def worker_is_up(self, args: Args) -> None:
        """Waits for the module's worker before the API of the same version starts, or is told that the worker has changed.

        Pulumi's own wait ends too early for a Deployment that is stopped before it starts anew: while the old pods end, its
        revision is still the one before and its condition still Available.
        """
        inputs = _plain(args.new_inputs)
        metadata = inputs["metadata"]
        pods = metadata["annotations"][WORKER]
        before = _plain(args.old_inputs).get("metadata", {}).get("annotations", {})
        if before.get(WORKER) == pods:
            return  # it was up with these, and whatever it does now is not of this update
        worker, seconds = f"{metadata['labels'][NAME]}-worker", float(inputs["spec"]["progressDeadlineSeconds"])
        end = self.now() + seconds
        while not ((found := self.cluster.worker(worker)) and found.up):
            if self.now() > end:
                raise WorkerNotUp(worker, seconds)
            self.sleep(POLL_SECONDS)
        if found.pods != pods:
            raise WorkerNotOurs(worker)

    def let_finish(self, args: Args) -> None:
        """Waits for a running Job to end before it is deleted, and does what else the run is to do before that (`dropping`)."""
        inputs = _plain(args.old_inputs)
        self._wait(inputs["metadata"]["name"], float(inputs["spec"]["activeDeadlineSeconds"]))
        if self.last_of_job is not None:
            self.last_of_job(inputs)

    def _wait(self, job: str, deadline: float) -> None:
        end = self.now() + deadline + SLACK_SECONDS
        while self.cluster.is_active(job):
            if self.now() > end:
                raise MigrationRunning(job, deadline + SLACK_SECONDS)
            self.sleep(POLL_SECONDS)


def _plain(inputs: Any) -> dict[str, Any]:
    return dict(inputs or {})
