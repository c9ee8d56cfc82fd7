"""What can keep a rollout from being started. What goes wrong once it has begun is no exception but a verdict.

AutomationError
├── UsageError            the command or call itself cannot be meant: exit code 64
├── NotNow                what is at work, or not to be had, does not allow it at the moment
├── ProjectNotFound       no Pulumi.yaml where one is expected
├── StackNotConfigured    no Pulumi.<stack>.yaml
├── BackendMissing        nothing says where the state is kept
├── PassphraseMissing     the stack's secrets cannot be read
├── EngineFailed          the engine could not answer
├── PulumiNotFound        no Pulumi CLI on the PATH
├── UnsupportedPulumi     one that is too old or too new
└── ClusterUnreachable    the Kubernetes API does not answer
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class AutomationError(Exception):
    """A rollout could not be started; nothing was changed."""


class UsageError(AutomationError):
    """Arguments that contradict each other or leave something open."""


class NotNow(AutomationError):
    """The command means something, and cannot be carried out as things are."""


class ProjectNotFound(AutomationError):
    """No Pulumi project in the folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"no Pulumi.yaml in {folder}. Run this in the project's folder, or name it with --cwd")


class StackNotConfigured(AutomationError):
    """The stack has no configuration; more likely its name has a slip."""

    def __init__(self, stack: str, folder: Path, known: Sequence[str]) -> None:
        stacks = f"configured there: {', '.join(known)}" if known else "none is configured there"
        super().__init__(f"stack {stack!r} has no Pulumi.{stack}.yaml in {folder}; {stacks}")


class NothingConfigured(AutomationError):
    """No stack has a configuration."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"there is no Pulumi.<stack>.yaml in {folder}, so there is nothing to check")


class BackendMissing(AutomationError):
    """Nothing says where Pulumi keeps its state."""

    def __init__(self) -> None:
        super().__init__(
            "nothing says where the state is kept. Set PULUMI_BACKEND_URL (for example file:///var/lib/my-state or s3://bucket), "
            "or run `pulumi login`"
        )


class PassphraseMissing(AutomationError):
    """The stack's secrets are encrypted with a passphrase that was not given."""

    def __init__(self, stack: str) -> None:
        super().__init__(
            f"the secrets of stack {stack} are encrypted with a passphrase: set PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE"
        )


class EngineFailed(AutomationError):
    """The engine could not say what it was asked for."""


class PulumiNotFound(AutomationError):
    """No Pulumi CLI on the PATH, or one that does not run."""


class UnsupportedPulumi(AutomationError):
    """The Pulumi CLI on the PATH is too old or too new.

    Args:
        executable: its path.
        version: its version.
        oldest: the oldest that is supported.
        untried: the first that is not supported any more.
    """

    def __init__(self, executable: str, version: str, oldest: str, untried: str) -> None:
        super().__init__(
            f"{executable} is version {version}, and this program needs {oldest} or newer, below {untried}: "
            "https://www.pulumi.com/docs/install/"
        )


class ClusterUnreachable(AutomationError):
    """The Kubernetes API does not answer, or not to us.

    Args:
        context: of the kubeconfig.
        server: its URL.
        cause: in the API's or the network's words.
        forbidden: it has answered, and refused.
    """

    def __init__(self, context: str, server: str, cause: str, *, forbidden: bool = False) -> None:
        what = (
            "the Kubernetes cluster does not let this user in" if forbidden else "cannot reach the Kubernetes cluster"
        )
        check = "the user's roles (`kubectl auth can-i --list`)" if forbidden else "`kubectl get namespaces`"
        super().__init__(
            f"{what}: context {context}, server {server}: {cause}. "
            f"Check KUBECONFIG and {check}; rollout:context chooses another context"
        )
