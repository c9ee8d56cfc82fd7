"""A provider in memory and a stack around it: the order and failure rules need timing that only a fake gives."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pulumi
from pulumi.automation._server import LanguageServer
from pulumi.runtime.proto import language_pb2_grpc

from offline.engine.model import Event, Project, Snapshot, UpdateOptions, UpdateRequest, UpdateResult
from offline.engine.provider import Call, CheckFailure, Diff, InitError, Made, PropertyDiff, ProviderError, Seen
from offline.engine.update import Update
from offline.engine.values import UNKNOWN, Properties, unwrap
from offline.language import Python


@dataclass
class World:
    """What the fake providers see and do; a test changes it between updates."""

    objects: dict[str, Properties] = field(default_factory=dict)
    fail: dict[str, Exception] = field(default_factory=dict)  # "create name" -> raised
    unready: set[str] = field(default_factory=set)  # names that are made, but never become ready
    slow: dict[str, float] = field(default_factory=dict)  # "create name" -> seconds
    then: dict[str, Callable[[], object]] = field(default_factory=dict)  # "create name" -> done as it begins
    calls: list[str] = field(default_factory=list)  # "begin create name", "end create name"
    delete_before_replace: bool = False
    replace_unready: bool = False
    name_replaced_keys: bool = True
    lock: threading.Lock = field(default_factory=threading.Lock)
    serial: int = 0

    def note(self, what: str) -> None:
        with self.lock:
            self.calls.append(what)

    def began(self) -> list[str]:
        return [c.removeprefix("begin ") for c in self.calls if c.startswith("begin ")]


class FakeProvider:
    """Package ``fake``: any type; the input ``kind`` cannot be changed in place."""

    def __init__(self, world: World) -> None:
        self.world = world

    def configure(self, inputs: Properties) -> None:
        self.inputs = inputs

    def check_config(self, olds: Properties, news: Properties) -> tuple[Properties, list[CheckFailure]]:
        return news, []

    def diff_config(self, olds: Properties, news: Properties) -> Diff:
        changed = sorted(k for k in {*olds, *news} if olds.get(k) != news.get(k))
        return Diff(changes=bool(changed), diffs=changed)

    def check(self, call: Call, type: str, olds: Properties, news: Properties) -> tuple[Properties, list[CheckFailure]]:
        if unwrap(news.get("size")) == -1:
            return news, [CheckFailure("size", "must not be negative")]
        return {"label": "auto", **{k: v for k, v in olds.items() if k == "label"}, **news}, []

    def diff(self, call: Call, type: str, old: Seen, news: Properties, ignore_changes: Sequence[str] = ()) -> Diff:
        changed = sorted(k for k in {*old.inputs, *news} if old.inputs.get(k) != news.get(k))
        replaces = ["kind"] if "kind" in changed else []
        name = call.urn.rsplit("::", 1)[1]
        if self.world.replace_unready and name in self.world.unready:
            return Diff(changes=True, replaces=["#unready"], delete_before_replace=True)
        detailed = {k: PropertyDiff("update-replace" if k in replaces else "update", input_diff=False) for k in changed}
        before = self.world.delete_before_replace and bool(replaces)
        return Diff(bool(changed), replaces if self.world.name_replaced_keys else [], changed, detailed, before)

    def _do(self, operation: str, call: Call) -> str:
        name = call.urn.rsplit("::", 1)[1]
        what = f"{operation} {name}"
        self.world.note(f"begin {what}")
        self.world.then.get(what, lambda: None)()
        end = time.monotonic() + self.world.slow.get(what, 0)
        while time.monotonic() < end:
            if call.cancel.wait(0.01):
                raise ProviderError(f"{what} was cancelled")
        if what in self.world.fail:
            raise self.world.fail[what]
        self.world.note(f"end {what}")
        return name

    def create(self, call: Call, type: str, inputs: Properties) -> Made:
        if call.preview:
            return Made("", {**inputs, "result": UNKNOWN})
        name = self._do("create", call)
        with self.world.lock:
            self.world.serial += 1
            id = f"{name}-{self.world.serial}"
            self.world.objects[id] = inputs
        made = Made(id, {**inputs, "result": f"made {name}"})
        if name in self.world.unready:
            raise InitError(made, [f"{name} did not become ready"])
        return made

    def read(self, call: Call, type: str, old: Seen) -> Made | None:
        self._do("read", call)
        if old.id not in self.world.objects:
            return None
        now = self.world.objects[old.id]
        return Made(old.id, {**old.outputs, **now}, dict(now))

    def update(self, call: Call, type: str, old: Seen, news: Properties, ignore_changes: Sequence[str] = ()) -> Made:
        if call.preview:
            return Made(old.id, {**news, "result": UNKNOWN})
        name = self._do("update", call)
        self.world.objects[old.id] = news
        made = Made(old.id, {**news, "result": f"updated {name}"})
        if name in self.world.unready:
            raise InitError(made, [f"{name} did not become ready"])
        return made

    def delete(self, call: Call, type: str, old: Seen) -> None:
        self._do("delete", call)
        self.world.objects.pop(old.id, None)

    def close(self) -> None: ...


class Thing(pulumi.CustomResource):
    result: pulumi.Output[str]

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None, **props: Any) -> None:
        opts = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(version="1.0.0"))
        super().__init__("fake:index:Thing", name, {"result": None, **props}, opts)


class Group(pulumi.ComponentResource):
    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("fake:index:Group", name, None, opts)


Program = Callable[[], object]


@dataclass
class Outcome:
    result: UpdateResult
    events: list[Event]

    @property
    def ok(self) -> bool:
        return self.result.ok

    def steps(self, kind: str = "resourcePreEvent") -> list[str]:
        """``op name`` of every step in order, without providers and the stack."""
        out = []
        for e in self.events:
            if kind in e:
                m = e[kind]["metadata"]
                if not m["type"].startswith("pulumi:"):
                    out.append(f"{m['op']} {m['urn'].rsplit('::', 1)[1]}")
        return out

    def diagnostics(self, severity: str = "error") -> list[str]:
        found = [e["diagnosticEvent"] for e in self.events if "diagnosticEvent" in e]
        return [d["message"] for d in found if d["severity"] == severity and not d.get("ephemeral")]

    def of(self, kind: str) -> list[Event]:
        return [e[kind] for e in self.events if kind in e]


class StackUnderTest:
    """A stack named ``dev`` of the project ``test``: its state, and updates of it by inline or local programs."""

    def __init__(self, root: Path, world: World | None = None) -> None:
        self.root, self.world = root, world or World()
        self.snapshot = Snapshot()
        self.saves: list[Snapshot] = []
        self.keep_saves = True  # all of them, as they were when written
        self.cancel = threading.Event()
        self.on_event: Callable[[Event], None] = lambda event: None

    def run(
        self,
        program: Program | str | None,
        kind: str = "update",
        *,
        config: Mapping[str, str] | None = None,
        secret_keys: Sequence[str] = (),
        dry_run: bool = False,
        **options: Any,
    ) -> Outcome:
        events: list[Event] = []
        self.saves.clear()

        def emit(event: Event) -> None:
            events.append(event)
            self.on_event(event)

        def save(snapshot: Snapshot) -> None:
            self.saves[:] = [*self.saves, copy.deepcopy(snapshot)] if self.keep_saves else [snapshot]

        server = None
        if callable(program):
            server = grpc.server(ThreadPoolExecutor(4))
            language_pb2_grpc.add_LanguageRuntimeServicer_to_server(LanguageServer(program), server)  # type: ignore[arg-type]
            options["client"] = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
            server.start()
        elif program is not None:
            (self.root / "__main__.py").write_text(program)
        options.setdefault("run_program", program is not None)
        request = UpdateRequest(
            kind=kind,  # type: ignore[arg-type]
            dry_run=dry_run or kind == "preview",
            project=Project("test", self.root),
            stack="dev",
            organization="organization",
            config=config or {},
            secret_keys=frozenset(secret_keys),
            snapshot=self.snapshot,
            options=UpdateOptions(**options),
        )
        try:
            result = Update(
                request,
                emit=emit,
                save=save,
                cancel=self.cancel,
                providers={"fake": lambda: FakeProvider(self.world)},
                language=Python(),
            ).run()
        finally:
            if server is not None:
                server.stop(0).wait()
        if self.saves and not request.dry_run:
            self.snapshot = self.saves[-1]
        return Outcome(result, events)

    def up(self, program: Program | str, **more: Any) -> Outcome:
        return self.run(program, **more)

    def preview(self, program: Program | str, **more: Any) -> Outcome:
        return self.run(program, "preview", **more)

    def names(self) -> list[str]:
        """The resources in the state, in order, without providers and the stack; ``!`` marks what awaits deletion."""
        return [s.name + ("!" if s.delete else "") for s in self.snapshot.resources if not s.type.startswith("pulumi:")]

    def state(self, name: str) -> Any:
        return next(s for s in self.snapshot.resources if s.name == name and not s.delete)
