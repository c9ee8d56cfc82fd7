"""Resource providers that run in the engine's process, behind its interface (``offline.engine.provider``)."""

from __future__ import annotations

from offline.engine.provider import Factory, Provider


def factories() -> dict[str, Factory]:
    """The packages covered here, by name. Imported late: a stack without Kubernetes objects does not pay for the client."""

    def kubernetes() -> Provider:
        from .kubernetes import KubernetesProvider

        return KubernetesProvider()

    def command() -> Provider:
        from .command import CommandProvider

        return CommandProvider()

    return {"kubernetes": kubernetes, "command": command}
