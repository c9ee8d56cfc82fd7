"""The program as it is run in this process: the stack's own, with what the command line lays over its configuration."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.redact import Redactor, secret_values

if TYPE_CHECKING:
    from components.backing_up import Backups
    from components.program import Listener
    from components.rehearsing import Rehearsals
    from settings import StackSettings

_MODULES = "rollout:modules"


@dataclass(frozen=True)
class Overlay:
    """Settings for one run, written nowhere.

    Args:
        versions: module -> version.
        allow_downgrade: for every module.
    """

    versions: Mapping[str, str] = field(default_factory=dict)
    allow_downgrade: bool = False

    def onto(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration with the overlay; it is returned as it was where its modules are no map."""
        merged = dict(config)
        if not self.versions and not self.allow_downgrade:
            return merged
        try:
            modules = json.loads(merged.get(_MODULES, "{}"))
        except (TypeError, json.JSONDecodeError):
            return merged
        if isinstance(modules, dict):
            for name, version in self.versions.items():
                if isinstance(modules.get(name), dict):
                    modules[name]["version"] = version
            if self.allow_downgrade:
                for module in modules.values():
                    if isinstance(module, dict):
                        module["allowDowngrade"] = True
            merged[_MODULES] = json.dumps(modules)
        return merged


_loading = threading.Lock()
# What the components make, and what those are made of: one of each part that the SDK loads on first use.
_KINDS = (
    "meta.v1.ObjectMetaArgs",
    "core.v1.Service",
    "apps.v1.Deployment",
    "batch.v1.Job",
    "policy.v1.PodDisruptionBudget",
    "networking.v1.NetworkPolicy",
    "autoscaling.v2.HorizontalPodAutoscaler",
)


def load() -> None:
    """Loads what the program needs, so that it can run in several threads.

    The SDK loads its parts on first use (`pulumi._utils.lazy_import`), and a thread that comes second sees them half loaded. Its
    program then fails with an AttributeError, and what comes after a failure that early is worse: the SDK stops a gRPC server that
    is still starting, which is a null pointer in grpcio (1.85, `ListenerState::Start`).
    """
    with _loading:
        import pulumi_kubernetes as k8s

        import components.program  # noqa: F401
        from components.cluster import prepare_types

        for kind in _KINDS:
            attrgetter(kind)(k8s)
        prepare_types()


class _Undebugged:
    """The engine as the SDK calls it, without what is said for debugging: five messages for every resource, each waited for, and
    none ever shown. For a hundred modules they take seconds."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def Log(self, request: Any) -> Any:
        from pulumi.runtime.proto import engine_pb2

        return None if request.severity == engine_pb2.DEBUG else self._engine.Log(request)


async def _settled() -> None:
    """Returns when every output of the program is known, or one has failed, which is then the SDK's to tell.

    The SDK waits for them too, but looks at all that are outstanding whenever one of them is known: with a hundred modules that
    takes half of the time of a run without changes.
    """
    from pulumi.runtime.settings import SETTINGS

    while True:
        with SETTINGS.lock:
            outstanding = list(SETTINGS.outputs)
        if not outstanding:
            return
        known, _ = await asyncio.wait(outstanding, return_when=asyncio.FIRST_EXCEPTION)
        if any(output.cancelled() or output.exception() for output in known):
            return


class InlineProgram:
    """Runs the stack's program with the configuration the engine decrypted, and tells what it learnt.

    Args:
        root: folder of Pulumi.yaml.
        overlay: laid over the configuration.
        redactor: learns the stack's secrets before anything is shown.
        listener: told what rehearsals and backups do.
        drop_databases: with the stack; for a destroy.
        stopped: asked whether they are to end.

    Attributes:
        settings: of the stack, once the program has begun and they are valid.
        owner: the value of the label that tells this stack's objects from others'.
        refusal: why the program refused to run, or empty.
        rehearsals: that come before the migrations, once the program has run.
        backups: likewise.
    """

    def __init__(
        self,
        root: Path,
        overlay: Overlay,
        redactor: Redactor,
        listener: Listener | None = None,
        stopped: Callable[[], bool] = lambda: False,
        *,
        drop_databases: bool = False,
    ) -> None:
        self._root = root
        self._stopped = stopped
        self._overlay = overlay
        self._redactor = redactor
        self.settings: StackSettings | None = None
        self.owner = ""
        self.refusal = ""
        self._listener = listener
        self._drop_databases = drop_databases
        self.rehearsals: Rehearsals | None = None
        self.backups: Backups | None = None
        self.begun = threading.Event()

    def settle(self) -> None:
        """Waits until no rehearsal or backup is at work any more; to be called once they are to end."""
        for each in (self.rehearsals, self.backups):
            if each is not None:
                each.settle()

    @property
    def __name__(self) -> str:  # the SDK names the program in its messages
        return "rollout"

    def __call__(self) -> Awaitable[None]:
        try:
            self._run()
        finally:
            self.begun.set()
        return _settled()

    def _run(self) -> None:
        load()
        import pulumi
        from pulumi.runtime import config as runtime
        from pulumi.runtime.settings import SETTINGS

        import settings
        from components.names import Owner
        from components.program import program

        SETTINGS.engine = _Undebugged(SETTINGS.engine)
        secret_keys = set(runtime._SECRET_KEYS.get())
        config = self._overlay.onto(runtime.CONFIG.get())
        self._redactor.learn(secret_values(config, secret_keys))
        runtime.set_all_config(config, sorted(secret_keys))
        try:
            self.settings = settings.load(config, stack=pulumi.get_stack(), root=self._root, secret_keys=secret_keys)
            self.owner = Owner(pulumi.get_organization(), pulumi.get_project(), pulumi.get_stack()).label
            self.begun.set()
            self.rehearsals, self.backups = program(self._root, self._listener, self._drop_databases)
            self.rehearsals.stopped = self.backups.stopped = self._stopped
        except (settings.SettingsError, pulumi.RunError) as error:
            self.refusal = str(error)
            raise pulumi.RunError(self.refusal) from None
