"""Runs a scenario on an engine: a project, a backend and a namespace of its own, and a look at everything after each step."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import yaml

from automation import engine as engines
from automation.errors import EngineNotFound
from offline import paths
from tests.parity import recordings
from tests.parity.calls import Stack
from tests.parity.recordings import PASSPHRASE, Json, Recording, Row, trimmed
from tests.parity.scenarios import UPDATES, Meanwhile, Scenario, Step
from tests.parity.states import objects

HERE: Final = Path(__file__).parent
KINDS: Final = "deployments,jobs,services,configmaps,secrets,statefulsets,persistentvolumeclaims"
LONGEST: Final = 240  # seconds a command may take
# A stack's salt, so that no scenario spends a third of a second on making one.
SALT: Final = "v1:x4VkdLCPNsM=:v1:O40KZx8ue5I6PtD/:Yiayy17YEQRv6q02YAtAg5cZKUDfgg=="

# Where a scenario is not about them, time limits are wider than recorded, so that a busy machine meets none: the
# program's variable, the recorded value, the value here (unlike any other number).
PATIENCE: Final = (("PARITY_TIMEOUT", 30, 571), ("PARITY_DEADLINE", 60, 593))

_number = itertools.count(1)


@dataclass(frozen=True)
class Engine:
    """An engine on this machine.

    Attributes:
        name: ``offline`` or ``pulumi``.
        version: as it says itself.
        executable: its ``pulumi``.
    """

    name: str
    version: str
    executable: Path

    def described(self) -> dict[str, str]:
        """Its version and those of its providers and the SDK."""
        versions = {p: metadata.version(f"pulumi-{p}") for p in ("kubernetes", "command")}
        return {"name": self.name, "version": self.version, **versions, "sdk": metadata.version("pulumi")}


class Run:
    """One scenario on one engine, in a folder and a namespace that are gone afterwards.

    Args:
        after: so many steps were the CLI's: the state and the objects are put there as they were recorded, and the
            engine takes over from there. In the state are names of the recorded namespace, so one such run waits for another.
        hands_over: another engine that goes on from the step of this number, and so forth.

    Raises:
        subprocess.TimeoutExpired: a command took longer than it may.
        subprocess.CalledProcessError: the cluster did not do what a step asked of it.
    """

    def __init__(
        self, scenario: Scenario, engine: Engine, *, after: int = 0, hands_over: Mapping[int, Engine] | None = None
    ) -> None:
        self._scenario, self._engine, self._after = scenario, engine, after
        self._hands_over = hands_over or {}
        self._namespace = "rec" if after else f"parity-{os.getpid()}-{next(_number)}"
        self._kubectl_binary = paths.tool("kubectl")

    def __call__(self) -> Recording:
        with contextlib.ExitStack() as held:
            if self._after:
                lock = held.enter_context((Path(tempfile.gettempdir()) / "parity-rec.lock").open("w"))
                fcntl.flock(lock, fcntl.LOCK_EX)
            folder = Path(tempfile.mkdtemp(prefix="parity-"))
            held.callback(shutil.rmtree, folder, ignore_errors=True)
            held.callback(self._remove)
            self._project, self._state = folder / "project", folder / "state"
            self._prepare()
            if self._after:
                return self._taken_over(recordings.load(self._scenario.name))
            rows, history = self._steps(self._scenario.steps)
        return Recording(self._scenario.name, self._engine.described(), rows, history)

    def _remove(self) -> None:
        spaces = (self._namespace, f"{self._namespace}-extra")
        # Others do not wait for it: their names are new each time.
        wait = "--wait" if self._after else "--wait=false"
        self._kubectl("delete", "namespace", *spaces, wait, "--ignore-not-found", check=False)

    def _taken_over(self, recording: Recording) -> Recording:
        """The CLI's steps as recorded, then the engine's own on the state and the objects that they left."""
        theirs = recording.steps[: self._after]
        for step in self._scenario.steps[: self._after]:
            self._changed(replace(step, kubectl=""))
        file = self._state / ".pulumi/stacks/rec/dev.json"
        # The path of the kubeconfig was masked: it is part of a provider's inputs, and another one would be a change.
        state = json.dumps(theirs[-1]["checkpoint"]).replace('"<path>"', json.dumps(self._environment["KUBECONFIG"]))
        file.write_text(state, encoding="utf-8")
        salt = theirs[-1]["checkpoint"]["checkpoint"]["latest"]["secrets_providers"]["state"]["salt"]
        settings = self._project / "Pulumi.dev.yaml"
        content: Row = yaml.safe_load(settings.read_text(encoding="utf-8"))
        settings.write_text(yaml.safe_dump({**content, "encryptionsalt": salt}), encoding="utf-8")
        for manager, o in objects(theirs[-1]):
            server_side = manager != "pulumi-kubernetes"
            how = ["apply", "--server-side"] if server_side else ["create"]
            self._kubectl(*how, f"--field-manager={manager}", "-f", "-", given=json.dumps(o))
        for kind, condition in (("job", "complete"), ("deployment", "available")):
            self._kubectl("wait", kind, "--all", f"--for=condition={condition}", "--timeout=60s", check=False)
        rows, _ = self._steps(self._scenario.steps[self._after :])
        return Recording(recording.scenario, self._engine.described(), [*theirs, *rows], [])

    def _prepare(self) -> None:
        shutil.copytree(HERE / "program", self._project)
        shutil.copytree(HERE / "policies", self._project / "policies")
        self._state.mkdir()
        self._environment = self._variables()
        self._kubectl("create", "namespace", self._namespace)
        for made in ("serviceaccount/default", "configmap/kube-root-ca.crt"):  # pods need both
            self._kubectl("wait", "--for=create", made, "--timeout=60s")
        self._configure(None)
        if self._scenario.via == "command":
            self._pulumi("stack", "init", "dev")

    def _variables(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PULUMI_")}
        places = [self._engine.executable.parent, Path(sys.executable).parent, self._kubectl_binary.parent]
        home = {} if self._engine.name == "pulumi" else {"PULUMI_HOME": str(self._state.parent / "home")}
        return {
            **kept,
            **home,
            "PATH": os.pathsep.join([*map(str, places), os.environ["PATH"]]),
            "KUBECONFIG": os.environ.get("KUBECONFIG") or str(paths.kubeconfig()),
            "PARITY_NAMESPACE": self._namespace,
            # A state of the CLI holds its limits, and another one would be a change.
            **({} if self._after else {name: str(wide) for name, _, wide in PATIENCE}),
            "PULUMI_BACKEND_URL": f"file://{self._state}",
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "PULUMI_SKIP_UPDATE_CHECK": "1",
            "PULUMI_DEBUG_COMMANDS": "true",
            "ROLLOUT_PYTHON": sys.executable,
            "NO_COLOR": "1",
        }

    def _steps(self, steps: Sequence[Step]) -> tuple[list[Row], list[Row]]:
        if self._scenario.via == "command":
            return [self._played(number, step) for number, step in enumerate(steps)], []
        stack = Stack(self._project, self._environment, inline=self._scenario.via == "inline")
        rows = []
        for step in map(self._changed, steps):
            row = stack.call(step.run[0])
            rows.append(trimmed(json.loads(self._masked(json.dumps(row)))))
        return rows, json.loads(self._masked(json.dumps(stack.history())))

    def _played(self, number: int, step: Step) -> Row:
        if number in self._hands_over:
            self._engine = self._hands_over[number]
            self._environment = {**self._variables(), "PULUMI_STACK": "dev"}  # the selection is each engine's own
        return self._record(step, self._command(self._changed(step)))

    # --- what a step changes beforehand -----------------------------------------------------------------------------

    def _changed(self, step: Step) -> Step:
        if step.kubectl:
            self._kubectl(*shlex.split(step.kubectl))
        for name, text in step.write.items():
            (self._project / name).write_text(text, encoding="utf-8")
        if step.spec is not None:
            self._configure(step.spec)
        return step

    def _configure(self, spec: Mapping[str, Any] | None) -> None:
        """Writes the stack's file, which is what ``config set`` does, without starting an engine for it."""
        file = self._project / "Pulumi.dev.yaml"
        content: Row = yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else {"encryptionsalt": SALT}
        if spec is not None:
            text = json.dumps(spec).replace('"rec-', f'"{self._namespace}-')
            content.setdefault("config", {})["rec:spec"] = text
        file.write_text(yaml.safe_dump(content), encoding="utf-8")

    # --- commands ---------------------------------------------------------------------------------------------------

    def _kubectl(self, *args: str, check: bool = True, given: str | None = None) -> str:
        command = [str(self._kubectl_binary), "--namespace", self._namespace, *args]
        environment = {**os.environ, "KUBECONFIG": os.environ.get("KUBECONFIG") or str(paths.kubeconfig())}
        done = subprocess.run(
            command, env=environment, input=given, capture_output=True, text=True, check=False, timeout=120
        )
        if check and done.returncode:
            raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
        return done.stdout

    def _pulumi(self, *args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self._engine.executable), *args, "--non-interactive"],
            cwd=self._project,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST,
        )

    def _command(self, step: Step) -> Row:
        log = self._project.parent / "events"
        log.unlink(missing_ok=True)
        events = ["--event-log", str(log)] if step.run[0] in UPDATES else []
        process = subprocess.Popen(
            [str(self._engine.executable), *step.run, "--non-interactive", *events],
            cwd=self._project,
            env={**self._environment, **step.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            meanwhile = self._meanwhile(step.meanwhile, process) if step.meanwhile else {}
            stdout, stderr = process.communicate(timeout=LONGEST)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        return {
            "run": list(step.run), "exit": process.returncode, "stdout": stdout, "stderr": stderr,
            "events": [json.loads(line) for line in lines], **meanwhile,
        }  # fmt: skip

    def _meanwhile(self, what: Meanwhile, process: subprocess.Popen[str]) -> Row:
        deadline = time.monotonic() + LONGEST
        while what.shows not in self._kubectl("get", *what.get.split(), check=False):
            if process.poll() is not None or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        time.sleep(what.after)  # into the middle of it: the scenario says how far
        if what.signal:
            os.killpg(process.pid, signal.Signals[what.signal])
        if what.signal == "SIGKILL":
            process.wait()
            self._as_if_elsewhere()
        if not what.run:
            return {}
        second = self._pulumi(*what.run)
        return {"meanwhile": {"run": list(what.run), "exit": second.returncode, "stderr": second.stderr}}

    def _as_if_elsewhere(self) -> None:
        """The machine is gone with the engine: from here nobody can tell that the lock's holder is dead.

        On one machine the offline engine can, and goes on by itself; the CLI never does (docs/parity.md).
        """
        for lock in (self._state / ".pulumi/locks").rglob("*.json"):
            holder = json.loads(lock.read_text(encoding="utf-8"))
            lock.write_text(json.dumps({**holder, "hostname": "elsewhere"}), encoding="utf-8")

    # --- what there is afterwards -----------------------------------------------------------------------------------

    def _record(self, step: Step, row: Row) -> Row:
        checkpoint = self._state / ".pulumi/stacks/rec/dev.json"
        locks = self._state / ".pulumi/locks"
        row["checkpoint"] = json.loads(checkpoint.read_text(encoding="utf-8")) if checkpoint.exists() else None
        row["locks"] = len(list(locks.rglob("*.json")))
        row["objects"] = self._objects()
        return trimmed(json.loads(self._masked(json.dumps(row))))

    def _objects(self) -> list[Json]:
        listed = json.loads(self._kubectl("get", KINDS, "--show-managed-fields", "-o", "json"))["items"]
        return [_described(o) for o in listed if o["metadata"]["name"] != "kube-root-ca.crt"]

    def _masked(self, text: str) -> str:
        folder = str(self._project.parent)
        for name, word in ((self._namespace, "rec"), (folder, "<work>"), (sys.prefix, "<venv>")):
            text = text.replace(name, word)
        for _, recorded, wide in PATIENCE:
            text = re.sub(rf"(?<=Seconds)(\W+){wide}\b", rf"\g<1>{recorded}", text)
        return re.sub(r"created by [^ \"]+@[^ \"]+ \(pid \d+\)", "created by <user>@<host> (pid <pid>)", text)


def _described(o: Row) -> Row:
    meta, spec, status = o["metadata"], o.get("spec", {}), o.get("status", {})
    managers = sorted({f["manager"] for f in meta.get("managedFields", [])})
    row: Row = {"kind": o["kind"], "name": meta["name"], "generation": meta.get("generation"), "managers": managers}
    match o["kind"]:
        case "Deployment":
            ready, selector = status.get("readyReplicas", 0), spec["selector"]["matchLabels"]
            row |= {"replicas": spec["replicas"], "ready": ready, "selector": selector}
        case "Service":
            row |= {"selector": spec.get("selector")}
        case "Job":
            row |= {"succeeded": status.get("succeeded", 0), "failed": status.get("failed", 0)}
    return row


def found_engines() -> list[Engine]:
    """The offline engine, and the Pulumi CLI where there is one."""
    names = {"offline": {**os.environ, "ENGINE": "offline"}, "pulumi": {**os.environ, "ENGINE": "pulumi"}}
    found = []
    for environment in names.values():
        try:
            e = engines.choose(environment)
        except EngineNotFound:
            continue
        found.append(Engine(e.name, e.version, e.executable))
    return found


def play(scenario: Scenario, engine: Engine) -> tuple[Recording | str, float]:
    """Runs a scenario; gives what happened, or why it could not be run, and the seconds."""
    began = time.monotonic()
    try:
        return Run(scenario, engine)(), time.monotonic() - began
    except Exception as error:
        return f"{type(error).__name__}: {error}\n{traceback.format_exc(limit=4)}", time.monotonic() - began
