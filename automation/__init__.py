"""Rollouts through Pulumi's Automation API: the ``rollout`` command and the library under it.

    cli             the command                        rollout          the order of things: preview, up, destroy
    verdict         outcomes, pure                     wording          a verdict for people
    stack_status    where a stack stands               progress         live progress
    pulumi_adapter  the only place that calls Pulumi   engine           which engine
    cluster         the only place that calls          watch            pods while the engine works
                    Kubernetes                         pods            what a pod's state means, pure
    locks           a file backend's locks             restore          backups: listed, restored
    backup          of a module, as it is told

Example:
    verdict = automation.up("dev", cwd="infra", versions={"ledger": "1.1.0"}, on_progress=print)
    if verdict.exit_code:
        print(automation.report(verdict))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .interrupt import Interrupt
    from .progress import Progress
    from .stack_status import Status
    from .verdict import Verdict

__all__ = ["destroy", "preview", "report", "status", "up"]

# Everything is imported when it is called: the command line answers a wrong argument without loading Pulumi.


def preview(
    stack: str,
    *,
    cwd: str | Path = ".",
    versions: Mapping[str, str] | None = None,
    allow_downgrade: bool = False,
    policy_packs: Sequence[str] = (),
    on_event: Callable[[Any], None] | None = None,
    environment: Mapping[str, str] | None = None,
    interrupt: Interrupt | None = None,
) -> Verdict:
    """What an update would do; nothing is changed.

    Args:
        stack: name of the stack.
        cwd: folder of Pulumi.yaml.
        versions: module -> version, for this preview.
        allow_downgrade: accept versions older than those that serve.
        policy_packs: folders of policy packs.
        on_event: given the engine's events, from another thread.
        environment: variables to add for the engine, such as its backend and passphrase. KUBECONFIG is this process's: the program
            runs in it.
        interrupt: may stop it.

    Returns:
        A verdict whose outcome is previewed, unchanged or refused.

    Raises:
        automation.errors.AutomationError: it cannot be started.
        settings.SettingsError: a version cannot be one, or its module is unknown.
    """
    from .rollout import Request, Rollout

    request = Request(stack, Path(cwd), versions or {}, False, allow_downgrade, policy_packs, environment or {})
    return Rollout(request, None, on_event, interrupt).preview()


def up(
    stack: str,
    *,
    cwd: str | Path = ".",
    versions: Mapping[str, str] | None = None,
    continue_on_error: bool = False,
    allow_downgrade: bool = False,
    policy_packs: Sequence[str] = (),
    on_progress: Callable[[Progress], None] | None = None,
    on_event: Callable[[Any], None] | None = None,
    environment: Mapping[str, str] | None = None,
    interrupt: Interrupt | None = None,
) -> Verdict:
    """Previews and, where that allows it and there is something to do, updates the stack.

    Several stacks can be updated at once, each by a thread of its own.

    Args:
        stack: name of the stack.
        cwd: folder of Pulumi.yaml.
        versions: module -> version; written to the stack's configuration once the preview is accepted.
        continue_on_error: one module's failure does not keep the others from finishing.
        allow_downgrade: accept versions older than those that serve.
        policy_packs: folders of policy packs.
        on_progress: told of each change of state, from other threads, one call at a time.
        on_event: given the engine's events, from another thread.
        environment: variables to add for the engine, such as its backend and passphrase. KUBECONFIG is this process's: the program
            runs in it.
        interrupt: may stop it.

    Returns:
        The verdict. A rollout that failed is a verdict, not an exception.

    Raises:
        automation.errors.AutomationError: it cannot be started.
        settings.SettingsError: a version cannot be one, or its module is unknown.
    """
    from .rollout import Request, Rollout

    request = Request(
        stack, Path(cwd), versions or {}, continue_on_error, allow_downgrade, policy_packs, environment or {}
    )
    return Rollout(request, on_progress, on_event, interrupt).up()


def destroy(
    stack: str,
    *,
    cwd: str | Path = ".",
    drop_databases: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    on_event: Callable[[Any], None] | None = None,
    environment: Mapping[str, str] | None = None,
    interrupt: Interrupt | None = None,
) -> Verdict:
    """Deletes what the stack made in the cluster. Other arguments and errors as of `up`.

    Args:
        stack: name of the stack.
        cwd: folder of Pulumi.yaml.
        drop_databases: those that the stack has made too, with all their data; otherwise they are kept.
    """
    from .rollout import Request, Rollout

    request = Request(stack, Path(cwd), environment=environment or {})
    return Rollout(request, on_progress, on_event, interrupt).destroy(drop_databases=drop_databases)


def status(stack: str, *, cwd: str | Path = ".", environment: Mapping[str, str] | None = None) -> Status:
    """Wanted, deployed and migrated version of each module, and what an interrupted update left.

    Raises:
        automation.errors.AutomationError: the engine or the cluster cannot be asked.
        settings.SettingsError: the configuration is not valid.
    """
    from .stack_status import status as ask

    return ask(stack, Path(cwd), environment)


def report(verdict: Verdict) -> str:
    """The verdict as text for people."""
    from .wording import text

    return text(verdict)
