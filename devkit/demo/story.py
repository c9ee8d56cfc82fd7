"""The steps of the demo. Each says what it does, does it by ``rollout``, and looks at what it must have left."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from devkit.demo.clients import Clients, Count
from devkit.demo.report import Step
from devkit.demo.stage import SETTINGS, Stage
from devkit.sample import ranges, verify

GREEN, RED, BOLD, PLAIN = ("\033[32m", "\033[31m", "\033[1m", "\033[0m") if "NO_COLOR" not in os.environ else ("",) * 4


class Stopped(Exception):
    """A step went so wrong that the next ones would show nothing."""


class Story:
    """Runs the steps one after the other and keeps what each showed."""

    def __init__(self, stage: Stage, say: Callable[[str], None] = print) -> None:
        self.stage = stage
        self.steps: list[Step] = []
        self._say = say
        self._clients: Clients | None = None
        self.pulumi = stage.workspace.pulumi("version").stdout.strip()

    def tell(self) -> dict[str, Any]:
        """Tells the whole story and returns what the ledger's books say at the end."""
        self.upgrade("1.0.0", "install 1.0.0", "deployed", database="created, migrated")
        if self.steps[-1].problems:
            raise Stopped("the first version could not be installed")
        self._clients = Clients(self.stage.api, self.stage.name, "http://ledger:8080", f"{SETTINGS['image']}:1.0.0")
        self._say(
            "\nFrom here on, clients in a pod send 100 requests a second through the Service, a quarter of them writes."
        )
        self._clients.start()
        self.upgrade("1.1.0", "upgrade 1.0.0 to 1.1.0, rehearsed", "deployed", database="migrated")
        self.halted("1.5.0", "1.5.0, which drops a column that 1.1.0 reads", "refused", schema_stays=True)
        # The rehearsal would catch what comes next too; shown is what stands behind it.
        self.stage.rehearse("off")
        self.halted("1.2.0", "1.2.0, whose migration fails (not rehearsed)", "migration_failed", schema_stays=True)
        self.revert("1.1.0")
        self.halted("1.4.0", "1.4.0, which never becomes healthy", "rollout_failed", schema_stays=False)
        self.killed("1.5.1")
        self.upgrade("1.6.0", "upgrade to 1.6.0", "deployed", database="migrated")
        return self.books()

    def upgrade(self, version: str, title: str, outcome: str, database: str) -> None:
        """An upgrade that must go well."""
        self._step(title, lambda: self._rollout("up", "--set", f"ledger={version}"), outcome, version, lambda: database)

    def halted(self, version: str, title: str, outcome: str, *, schema_stays: bool) -> None:
        """An upgrade that must be stopped, with 1.1.0 untouched."""
        pods, schema = self.stage.pods("1.1.0"), self.stage.schema()

        def look() -> str:
            if self.stage.pods("1.1.0") != pods:
                raise AssertionError("the pods that serve were touched")
            same = self.stage.schema() == schema
            if schema_stays and not same:
                raise AssertionError("the failed migration has changed the database")
            return "unchanged" if same else "migrated"

        self._step(title, lambda: self._rollout("up", "--set", f"ledger={version}"), outcome, "1.1.0", look)

    def revert(self, version: str) -> None:
        """Back to the version that serves: no Job, no restart, and what the failed one left is removed."""
        pods, jobs = self.stage.pods(version), self.stage.jobs()

        def look() -> str:
            if self.stage.pods(version) != pods:
                raise AssertionError("the pods that serve were touched")
            if not self.stage.jobs() <= jobs:
                raise AssertionError("a Job has run")
            return "no Job, no restart"

        self._step(
            f"back to {version}",
            lambda: self._rollout("up", "--set", f"ledger={version}"),
            "deployed|unchanged",
            version,
            look,
        )

    def killed(self, version: str) -> None:
        """kill -9 of everything on this machine that performs the update, in the middle of the migration; then one plain ``rollout up``."""

        def run() -> str:
            process = self.stage.workspace.start("up", "--set", f"ledger={version}")
            while not self.stage.migration_is_running():
                if process.poll() is not None:
                    raise AssertionError(f"ended before its migration ran: {process.communicate()}")
                time.sleep(0.1)
            time.sleep(2)
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            self._say(
                f"  {RED}kill -9{PLAIN} of rollout and the engine, 2 s into the migration; the Job goes on by itself"
            )
            return self._rollout("up")

        self._step(
            f"kill -9 in the migration to {version}, then `rollout up`",
            run,
            "deployed",
            version,
            lambda: "migrated once",
        )

    def books(self) -> dict[str, Any]:
        """Ends the traffic and compares what the clients were told with what the database holds."""
        assert self._clients is not None
        final = self._clients.stop()
        checked = verify.check(
            self.stage.database,
            final["run"],
            set(ranges.load(final["accepted"]["numbers"])),
            set(ranges.load(final["uncertain"])),
        )
        return {**asdict(checked), "requests": final["requests"], "lost": final["lost"], "p99_ms": final["p99_ms"]}

    def _step(self, title: str, run: Callable[[], str], outcome: str, version: str, look: Callable[[], str]) -> None:
        self._say(f"\n{BOLD}{title}{PLAIN}")
        before = self._count()
        started = time.monotonic()
        problems, told, database = [], "", ""
        try:
            told = run()
            if told not in outcome.split("|"):
                problems.append(f"expected {outcome}, was {told}")
            database = look()
        except AssertionError as error:
            problems.append(str(error))
        seconds = time.monotonic() - started
        served = self._count().since(before)
        serving = self.stage.serving()
        if not serving.startswith(f"{version} "):
            problems.append(f"{version} should serve, and {serving} does")
        self.steps.append(
            Step(title, told, round(seconds, 1), served.requests, served.lost, serving, database, problems)
        )
        mark = f"{RED}NOT AS IT SHOULD BE: {'; '.join(problems)}" if problems else f"{GREEN}as it should be"
        self._say(f"  {mark}{PLAIN}: {told}, {serving} serving, {served.requests:,} requests, {served.lost} lost")

    def _count(self) -> Count:
        return self._clients.count() if self._clients else Count(0, 0)

    def _rollout(self, *args: str) -> str:
        """Runs ``rollout`` as a person would, shows what it shows, and returns the outcome its last line names."""
        workspace = self.stage.workspace
        self._say(f"  $ rollout {' '.join(args)} --stack {workspace.stack}")
        process = subprocess.Popen(
            workspace.command(args, json_output=False),
            cwd=workspace.root,
            env=workspace.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        last = ""
        for line in process.stdout:
            last = line.strip() or last
            self._say(f"  | {line.rstrip()}")
        process.wait()
        return last.partition(" ")[0].rstrip(":")
