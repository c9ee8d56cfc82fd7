"""A running stack of the operator's is taken over, there and back and for good, by the commands of docs/operator.md and under traffic."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
import yaml
from lightkube import ApiError, Client
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import ConfigMap, Namespace
from lightkube.resources.networking_v1 import Ingress

from devkit import paths
from devkit.demo.clients import Clients
from devkit.images import catalogue
from devkit.workspace import REPOSITORY
from migrator import marks
from tests.cluster.loaded import LoadedWorkspace
from tests.cluster.operator_stack import DATABASES, HOST, VERSIONS, OperatorStack
from tests.cluster.stacks import Stack, wait_for

# The definitions are of the whole cluster, a machine that has too much to do loses requests by itself, and the tests are one story, told in
# order on one stack.
pytestmark = [pytest.mark.cluster, pytest.mark.long, pytest.mark.measures, pytest.mark.timeout(600)]

_run = itertools.count(1)
NEXT = "2.41.0"
RATE = 10  # requests a second, of each kind of client
# What people do by hand, and what needs a registry.
BY_HAND = ("publish the migrator", "allow the registries", "check the result")


def steps() -> dict[str, str]:
    """The commands of each step of the page, by its number."""
    [_, section] = (REPOSITORY / "docs/operator.md").read_text().split("\n## Taking over a running stack\n")
    parts = re.split(r"\n### (\d)\. .*\n", section.split("\n## ")[0])[1:]
    found = dict(zip(parts[::2], parts[1::2], strict=True))
    return {
        n: "\n".join(line[4:] for line in text.splitlines() if line.startswith("    ")) for n, text in found.items()
    }


class Takeover(Stack):
    """Ours, in the namespace that the import gives it, beside the operator's."""

    theirs: OperatorStack

    @property
    def name(self) -> str:
        return f"{self.workspace.stack}-rollout"

    def step(self, number: int, **variables: str) -> str:
        """Does what the page says; what is named by a person is named here."""
        named = [f"STACK={self.workspace.stack}", *steps()["1"].splitlines()[1:]]
        commands = steps()[str(number)]
        for name, value in variables.items():
            commands, found = re.subn(rf"^{name}=.*$", f"{name}={value}", commands, flags=re.MULTILINE)
            assert found == 1, name
        return self.bash("\n".join([*named, commands]))

    def bash(self, commands: str) -> str:
        env = {**self.workspace.env}
        env["PATH"] = f"{paths.tool('kubectl').parent}{os.pathsep}{env['PATH']}"
        script = ["bash", "-euo", "pipefail", "-c", commands]
        done = subprocess.run(script, cwd=self.workspace.root, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
        self.theirs.check()
        return done.stdout

    def prepare(self, *more: str) -> dict[str, Any]:
        """Imports, and does what the import says is to be done."""
        self.bash(
            "\n".join(
                [
                    f"STACK={self.workspace.stack}",
                    steps()["2"].replace("import-operator", f"import-operator --json {' '.join(more)}")
                    + " > import.json",
                ]
            )
        )
        said: dict[str, Any] = json.loads((self.workspace.root / "import.json").read_text())
        todo = [s for s in said["todo"] if not s["what"].startswith(BY_HAND)]
        # The devkit has no metrics to look at, and a second import finds the stack.
        left_out = (" top pod ", *(["pulumi stack init"] if more else []))
        commands = [c for step in todo for c in step["commands"] if not any(each in c for each in left_out)]
        self.bash("\n".join(commands))
        # Shorter ends than the sample needs in earnest.
        defaults = {"drainSeconds": 1, "terminationGracePeriodSeconds": 12, "progressDeadlineSeconds": 90}
        self.workspace.configure(
            {
                "migratorImage": catalogue.MIGRATOR,
                "defaults": defaults,
                "gateway": {**self.setting("gateway"), "shutdownSeconds": 3, "plugins": []},
            }
        )
        return said

    def setting(self, name: str) -> Any:
        return yaml.safe_load(self.workspace.file.read_text())["config"].get(f"rollout:{name}", {})

    def migration_jobs(self) -> list[str]:
        jobs = self.api.list(Job, namespace=self.name, labels={"rollout.formance.com/job": "migrate"})
        return [j.metadata.name for j in jobs]

    def records(self) -> dict[str, str]:
        found = self.api.list(ConfigMap, namespace=self.name, labels={"rollout.formance.com/record": "migrated"})
        return {
            m.metadata.labels["rollout.formance.com/module"]: m.metadata.labels["rollout.formance.com/version"]
            for m in found
        }

    def is_gone(self) -> bool:
        try:
            self.api.get(Namespace, self.name)
        except ApiError as error:
            return bool(error.status.code == 404)
        return False

    def remove(self) -> None:
        self.theirs.remove()
        super().remove()

    def databases(self) -> set[str]:
        with psycopg.connect(paths.postgres().uri()) as connection:
            names = [f"{self.theirs.name}-{module}" for module in DATABASES]
            return {f.name for name in names for f in marks.databases(connection, name)}

    @contextmanager
    def traffic(self, where: str) -> Iterator[dict[str, Any]]:
        """Clients that keep their connections and clients that do not, at the address of a gateway; none loses a request."""
        url, image = f"http://gateway.{where}:8080/api/ledger", f"{catalogue.MODULE}:{VERSIONS['webhooks']}"
        also = [f"http://gateway.{where}:8080/api/webhooks/_info"]
        number = next(_run)
        both = [
            Clients(self.api, self.theirs.outside, url, image, RATE, also, 20, f"kept{number}"),
            Clients(
                self.api,
                self.theirs.outside,
                url,
                image,
                20,
                also,
                20,
                f"new{number}",
                connections=0,
                name="new-clients",
            ),
        ]
        summaries: dict[str, Any] = {}
        for clients in both:
            clients.start()
        try:
            yield summaries
            # On a fast machine it is over before many have asked.
            wait_for("a hundred requests of each", lambda: all(c.count().requests > 100 for c in both), 60)
        finally:
            found = [clients.stop() for clients in both]
            wait_for("the clients' end", lambda: not self._clients())
        summaries |= dict(zip(("kept", "new"), found, strict=True))
        assert [s["lost"] for s in found] == [0, 0], json.dumps(found, indent=1)
        assert all(s["requests"] > 100 for s in found)

    def _clients(self) -> list[str]:
        from lightkube.resources.core_v1 import Pod

        pods = self.api.list(Pod, namespace=self.theirs.outside)
        return [p.metadata.name for p in pods if p.metadata.name.endswith("clients")]


@pytest.fixture(scope="module")
def ours(api: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Takeover]:
    name = f"takeover{os.getpid() % 10_000}"
    root = tmp_path_factory.mktemp(name)
    # A project like a person's: with the command beside it, and the stack yet to be made.
    LoadedWorkspace.create(root, "another", {})
    (root / "bin").symlink_to(REPOSITORY / "bin")
    stack = Takeover(LoadedWorkspace(root, name), api, {})
    stack.theirs = OperatorStack(api, name)
    try:
        stack.theirs.install()
        yield stack
    finally:
        stack.remove()


def test_the_import_takes_over_what_the_operator_has_migrated(ours: Takeover) -> None:
    said = ours.prepare()
    modules = ours.setting("modules")
    assert {name: modules[name]["adopted"] for name in DATABASES} == {name: VERSIONS[name] for name in DATABASES}
    assert not said["problem"]
    assert f"forward-{ours.theirs.name}.yaml" in " ".join(said["files"])
    code, verdict = ours.workspace.rollout("preview")
    assert (code, verdict["outcome"]) == (0, "previewed"), json.dumps(verdict, indent=1)


def test_ours_comes_up_beside_the_operators_and_migrates_nothing(ours: Takeover) -> None:
    theirs = ours.theirs
    before = {module: theirs.migrations(module) for module in DATABASES}
    stream = theirs.stream()
    with ours.traffic(theirs.name):
        ours.step(3)
        ours.step(4)
        assert theirs.ready()["ledger-worker"] == 0
        answer = ours.step(5)
    assert json.loads(answer[answer.rindex("{", 0, answer.index('"region"')) :])["versions"]
    assert ours.objects(Ingress) == []
    assert ours.migration_jobs() == []
    assert {module: theirs.migrations(module) for module in DATABASES} == before
    assert ours.records() == {name: VERSIONS[name] for name in DATABASES}
    assert ours.deployments()["ledger-worker"] == 1
    assert theirs.ready()["ledger-worker"] == 0, "the operator has not started it again"
    assert theirs.stream() == stream, "nothing of the streams has changed, and what waited in them waits"
    assert stream["messages"] == 3
    with psycopg.connect(paths.postgres().uri()) as connection:
        found = [marks.databases(connection, f"{theirs.name}-{module}")[0].mark for module in DATABASES]
    assert [(m.module, m.purpose) for m in found if m] == [(module, "live") for module in DATABASES]
    code, verdict = ours.workspace.rollout("up")
    assert (code, verdict["outcome"]) == (0, "unchanged")


def test_the_traffic_moves_and_comes_back_without_a_lost_request(ours: Takeover) -> None:
    theirs = ours.theirs
    with ours.traffic(theirs.name):
        assert theirs.requests("gateway", ours.name) == 0
        ours.step(6)
        wait_for("requests at ours", lambda: theirs.requests("gateway", ours.name) > 50)
        assert theirs.selected() == "gateway-forward", "the operator has not put it back"
    with ours.traffic(theirs.name):
        code, verdict = ours.workspace.rollout("status")
        assert (code, {m["deployed"] for m in verdict["modules"]}) == (0, set(VERSIONS.values()))
        before = theirs.requests("gateway")
        ours.step(7)
        wait_for("requests at theirs", lambda: theirs.requests("gateway") > before + 50)
    wait_for("the operator to start its workers", lambda: theirs.ready()["ledger-worker"] == 1)
    assert theirs.selected() == "gateway"
    assert ours.is_gone()
    assert len(ours.databases()) == len(DATABASES)


def test_a_second_time_it_is_as_the_first(ours: Takeover) -> None:
    theirs = ours.theirs
    before = {module: theirs.migrations(module) for module in DATABASES}
    with ours.traffic(theirs.name):
        ours.prepare("--overwrite")
        for number in (3, 4, 5, 6):
            ours.step(number)
        wait_for("requests at ours", lambda: theirs.requests("gateway", ours.name) > 50)
    assert ours.migration_jobs() == []
    assert {module: theirs.migrations(module) for module in DATABASES} == before


def test_the_next_version_is_migrated_to_as_usual(ours: Takeover) -> None:
    theirs = ours.theirs
    before = {module: theirs.migrations(module) for module in DATABASES}
    with ours.traffic(theirs.name) as summaries:
        code, verdict = ours.workspace.rollout("up", "--set", f"ledger={NEXT}")
        assert code == 0, json.dumps(verdict, indent=1)
    assert set(summaries["new"]["versions"]) == {"1.0.0", "1.1.0"}
    assert [name.startswith("ledger-2-41-0-migrate-") for name in ours.migration_jobs()] == [True]
    assert theirs.migrations("webhooks") == before["webhooks"]
    assert theirs.migrations("ledger")[: len(before["ledger"])] == before["ledger"]
    assert len(theirs.migrations("ledger")) > len(before["ledger"])
    assert ours.records() == {"ledger": NEXT, "webhooks": VERSIONS["webhooks"]}


def test_the_operators_stack_ends_and_takes_nothing_of_ours_along(ours: Takeover) -> None:
    theirs = ours.theirs
    stream = theirs.stream()
    with ours.traffic(ours.name):
        ours.step(8)
        assert [each.spec.rules[0].host for each in ours.objects(Ingress)] == [HOST]
        ours.step(9, OPERATOR_NAMESPACE=theirs.outside)
        wait_for("the operator's namespace to go", lambda: _is_gone(ours.api, theirs.name), 120)
    assert theirs.left() == []
    assert theirs.stream() == stream
    assert len(ours.databases()) == len(DATABASES), "although clear-database is true"
    assert theirs.ready(theirs.outside)["regions-operator"] == 1
    code, verdict = ours.workspace.rollout("up")
    assert (code, verdict["outcome"]) == (0, "unchanged"), json.dumps(verdict, indent=1)


def _is_gone(api: Client, namespace: str) -> bool:
    try:
        api.get(Namespace, namespace)
    except ApiError as error:
        return bool(error.status.code == 404)
    return False
