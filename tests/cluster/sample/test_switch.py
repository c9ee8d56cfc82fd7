"""The sample alone, without the program: applied by hand, as the design's graph would, under traffic."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from lightkube.resources.core_v1 import Pod

from devkit import paths
from devkit.demo.stage import connect
from devkit.sample import ranges, verify
from migrator import Settings, database
from migrator.database import Target

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]

RATE = float(os.environ.get("SWITCH_RATE", "100"))
ROUNDS = int(os.environ.get("SWITCH_ROUNDS", "1"))


def kubectl(*arguments: str, data: str | None = None) -> str:
    command = [str(paths.tool("kubectl")), "--kubeconfig", str(paths.kubeconfig()), *arguments]
    done = subprocess.run(command, input=data, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(arguments)}: {done.stderr}"
    return done.stdout


@dataclass
class Hand:
    """A namespace in which objects are applied by hand."""

    name: str
    uri: str = field(repr=False)

    def apply(self, *objects: dict[str, Any]) -> None:
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        kubectl("apply", "--server-side", "-n", self.name, "-f", "-", data=json.dumps(listed))

    def container(self, version: str, *arguments: str) -> dict[str, Any]:
        return {
            "name": "ledger",
            "image": f"localhost/rollout/ledger:{version}",
            "imagePullPolicy": "IfNotPresent",
            "args": list(arguments),
            "env": [{"name": "POSTGRES_URI", "value": self.uri}, {"name": "BIND", "value": ":8080"}],
            # Without a request a pod gets next to nothing of a busy machine, and is slow for reasons not looked at here.
            "resources": {"requests": {"cpu": "250m"}},
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
        }

    def pod(self, container: dict[str, Any], **more: Any) -> dict[str, Any]:
        security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
        return {
            "containers": [container],
            "securityContext": security,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            **more,
        }

    def migrate(self, version: str, deadline: int = 60) -> dict[str, Any]:
        """Runs the Job; gives its pod's last words and exit code."""
        name = f"ledger-{version.replace('.', '-')}-migrate"
        template = {"spec": self.pod(self.container(version, "migrate"), restartPolicy="Never")}
        spec = {"backoffLimit": 0, "activeDeadlineSeconds": deadline, "template": template}
        job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}
        self.apply(job)
        # A watch, because a pod that its Job's deadline ends is gone as soon as it has said its last words.
        with connect() as api:
            for _, pod in api.watch(Pod, namespace=self.name, labels={"job-name": name}, server_timeout=deadline + 60):
                for status in (pod.status and pod.status.containerStatuses) or []:
                    if ended := status.state.terminated:
                        return {**json.loads(ended.message or "{}"), "exit": ended.exitCode}
        raise AssertionError(f"{name} has not ended")

    def deploy(self, version: str, replicas: int = 2) -> None:
        """Applies the versioned Deployment and waits until it is ready."""
        name = f"ledger-{version.replace('.', '-')}"
        labels = {"app.kubernetes.io/name": "ledger", "app.kubernetes.io/version": version}
        get = {"path": "/_healthcheck", "port": 8080}
        container = self.container(version, "serve") | {
            "readinessProbe": {"httpGet": get, "periodSeconds": 1, "timeoutSeconds": 2},
            "ports": [{"containerPort": 8080}],
        }
        pod = self.pod(container, terminationGracePeriodSeconds=20)
        spec = {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        }
        self.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec})
        kubectl("rollout", "status", "-n", self.name, f"deployment/{name}", "--timeout=60s")

    def serve(self, version: str) -> None:
        """Points the Service to a version."""
        selector = {"app.kubernetes.io/name": "ledger", "app.kubernetes.io/version": version}
        spec = {"selector": selector, "ports": [{"port": 8080, "targetPort": 8080}]}
        self.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "ledger"}, "spec": spec})

    def remove(self, version: str) -> None:
        """Deletes a version's Deployment, as the engine does: in the foreground."""
        kubectl("delete", "deployment", "-n", self.name, f"ledger-{version.replace('.', '-')}", "--cascade=foreground")

    def start_traffic(self, name: str) -> None:
        arguments = ["traffic", "--url", "http://ledger:8080", "--rate", str(RATE), "--json"]
        pod = self.pod(self.container("1.0.0", *arguments), restartPolicy="Never")
        self.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod})
        end = time.monotonic() + 30
        while '"answered"' not in self._logs(name):
            assert time.monotonic() < end, "no traffic"
            time.sleep(0.2)

    def stop_traffic(self, name: str) -> dict[str, Any]:
        """Ends the traffic; gives its final summary."""
        follow = [
            str(paths.tool("kubectl")),
            "--kubeconfig",
            str(paths.kubeconfig()),
            "logs",
            "-f",
            "-n",
            self.name,
            name,
        ]
        with subprocess.Popen(follow, stdout=subprocess.PIPE, text=True) as logs:
            time.sleep(0.5)
            kubectl("delete", "pod", "-n", self.name, name)
            assert logs.stdout is not None
            last = [line for line in logs.stdout if line.startswith("{")][-1]
        summary: dict[str, Any] = json.loads(last)
        assert summary.get("final"), last
        return summary

    def _logs(self, name: str) -> str:
        done = subprocess.run(
            [str(paths.tool("kubectl")), "--kubeconfig", str(paths.kubeconfig()), "logs", "-n", self.name, name],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout


@pytest.fixture
def hand() -> Iterator[Hand]:
    server = paths.postgres()
    name = f"switch-{secrets.token_hex(3)}"
    wanted = Target(name, server.uri())
    database.create(wanted, Settings(), print)
    # Pods have no copy of the authority's certificate.
    inside = re.sub(r"sslmode=.*", "sslmode=require", server.uri(name))
    kubectl("create", "namespace", name)
    kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    yield Hand(name, inside)
    kubectl("delete", "namespace", name, "--wait=false")
    kubectl("delete", "pods", "--all", "-n", name, "--grace-period=1")
    database.drop(wanted, Settings(), print)


@pytest.mark.long
@pytest.mark.measures  # a machine that has too much to do loses requests by itself
def test_no_request_is_lost_when_the_service_switches_and_the_old_pods_are_deleted(hand: Hand) -> None:
    assert hand.migrate("1.0.0")["exit"] == 0
    hand.deploy("1.0.0")
    hand.serve("1.0.0")
    time.sleep(1)
    for number in range(ROUNDS):
        hand.start_traffic(f"traffic-{number}")
        time.sleep(2)
        if number == 0:
            assert hand.migrate("1.1.0")["outcome"] == "migrated"
        old, new = ("1.0.0", "1.1.0") if number % 2 == 0 else ("1.1.0", "1.0.0")
        hand.deploy(new)
        hand.serve(new)
        hand.remove(old)
        time.sleep(1)
        summary = hand.stop_traffic(f"traffic-{number}")
        shown = {name: value for name, value in summary.items() if name not in ("accepted", "first_seen", "last_seen")}
        print(json.dumps(shown))
        assert summary["lost"] == 0, shown
        assert set(summary["versions"]) == {old, new}
        verdict = verify.check(
            paths.postgres().uri(hand.name),
            summary["run"],
            ranges.load(summary["accepted"]["numbers"]),
            ranges.load(summary["uncertain"]),
        )
        assert verdict.ok, verdict


def test_a_failing_migration_s_pod_leaves_its_last_words(hand: Hand) -> None:
    assert hand.migrate("1.1.0")["after"] == 110
    words = hand.migrate("1.2.0")
    assert words["exit"] == 1
    expected = {"outcome": "failed", "file": "0120_settlements.sql", "line": 9, "sqlstate": "22012"}
    assert expected.items() <= words.items()
    assert words["module_version"] == "1.2.0"
    assert words["statement"].startswith("INSERT INTO settlements")


def test_a_hanging_migration_ends_by_its_job_s_deadline_and_says_that_it_was_rolled_back(hand: Hand) -> None:
    hand.migrate("1.1.0")
    words = hand.migrate("1.3.0", deadline=5)
    assert words["outcome"] == "terminated"
    assert verify.check(paths.postgres().uri(hand.name)).ok
