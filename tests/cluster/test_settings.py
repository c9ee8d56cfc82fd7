"""Settings that decide whether and how a module runs, on a real cluster: freeze, disabled, workers, credentials."""

from __future__ import annotations

import json
import os
import socket
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from lightkube.models import autoscaling_v1
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.autoscaling_v2 import HorizontalPodAutoscaler
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import Namespace, Pod, Secret
from lightkube.types import PatchType

from devkit import paths
from devkit.workspace import postgres_uri
from settings import PostgresServer
from tests.cluster.stacks import LEDGER, Stack, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]

# Any kind with a worker will do; this one runs the sample in versions of its own numbering.
PLANE: dict[str, Any] = {
    "kind": "transactionplane",
    **LEDGER,
    "progressDeadlineSeconds": 60,
}


@pytest.mark.long
def test_a_disabled_module_keeps_its_database_and_is_not_migrated_again_when_enabled(stack: Stack) -> None:
    stack.deployed("1.1.0")
    jobs, schema = stack.job_uids(), stack.schema()
    stack.configure(disabled=True)
    assert stack.up()[0] == 0
    assert stack.deployments() == {}
    assert (stack.job_uids(), stack.schema()) == (jobs, schema)
    stack.configure(disabled=False)
    assert stack.up()[0] == 0
    assert stack.serving() == "1.1.0"
    assert stack.job_uids() == jobs, "no migration ran"


@pytest.mark.long
def test_a_disabled_module_is_not_enabled_in_an_older_version_than_it_was_migrated_to(stack: Stack) -> None:
    stack.deployed("1.1.0")
    stack.configure(disabled=True)
    assert stack.up()[0] == 0
    # Now neither a Service nor, once its Job has been removed, a Job tells of 1.1.0.
    stack.api.deletecollection(Job, namespace=stack.name)
    stack.configure(disabled=False)
    code, verdict = stack.up("1.0.0")
    assert (code, verdict["outcome"]) == (2, "refused")
    assert "1.0.0 is older than 1.1.0, which its database was migrated to" in verdict["error"]
    assert stack.deployments() == {}
    code, verdict = stack.up("1.0.0", "--allow-downgrade")
    assert code == 0, verdict
    assert stack.serving() == "1.0.0"


def worker_pods(stack: Stack) -> list[Any]:
    """The worker's pods that are ready."""
    pods = stack.api.list(Pod, namespace=stack.name, labels={"app.kubernetes.io/name": "plane-worker"})
    ready = [p for p in pods if any(c.type == "Ready" and c.status == "True" for c in p.status.conditions or [])]
    return [p for p in ready if not p.metadata.deletionTimestamp]


def workers(stack: Stack) -> list[str]:
    """Their version labels."""
    return [p.metadata.labels["app.kubernetes.io/version"] for p in worker_pods(stack)]


def plane(stack: Stack, **settings: Any) -> tuple[int, dict[str, Any]]:
    """`rollout up` of the module with a worker."""
    stack.modules = {"plane": {**PLANE, **settings}}
    stack.workspace.configure({"modules": stack.modules})
    return stack.workspace.rollout("up")


@pytest.mark.long
@pytest.mark.timeout(600)  # three updates, one of which waits for a worker's whole progress deadline
def test_a_worker_that_does_not_come_up_is_put_back_and_the_next_version_takes_its_place(stack: Stack) -> None:
    stack.workspace.configure({"broker": {"uri": "nats://nats:4222"}})
    assert plane(stack)[0] == 0
    assert workers(stack) == ["1.0.0"]
    code, verdict = plane(stack, version="1.1.0", worker={"env": {"BIND": "nowhere"}})
    assert (code, verdict["outcome"]) == (4, "rollout_failed")
    assert any("1.1.0 did not come up; 1.0.0 was put back and runs" in n for n in verdict["notices"]), verdict[
        "notices"
    ]
    assert workers(stack) == ["1.0.0"]
    assert stack.serving("plane") == "1.0.0"
    code, verdict = plane(stack, version="1.1.0")
    assert code == 0, verdict
    assert workers(stack) == ["1.1.0"]
    assert stack.serving("plane") == "1.1.0"


@contextmanager
def broker(port: int) -> Iterator[None]:
    """Greets as a NATS server does, which is all that the sample asks of one when it starts."""
    with socket.create_server((paths.postgres().host, port)) as server:

        def greet() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"INFO {}\r\n")

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        yield
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.long
@pytest.mark.skipif("KUBE_CONTEXT" in os.environ, reason="pods of another cluster do not reach this machine")
@pytest.mark.timeout(600)  # two updates wait for a worker's whole progress deadline
def test_a_worker_that_fails_with_new_settings_is_put_back_and_comes_up_once_the_cause_is_gone(stack: Stack) -> None:
    with socket.create_server((paths.postgres().host, 0)) as free:
        port = free.getsockname()[1]
    stack.workspace.configure({"broker": {"uri": f"nats://{paths.postgres().host}:{port}"}})
    assert plane(stack)[0] == 0
    api, jobs = set(stack.pods("1.0.0", "plane")), stack.job_uids()
    # The same version; with this its worker needs the broker, and there is none.
    new = {"worker": {"env": {"STRICT": "transactionplane,broker", "TOPICS": "any"}}}
    for _ in range(2):
        code, verdict = plane(stack, **new)
        assert (code, verdict["outcome"]) == (4, "rollout_failed"), verdict
        [module] = verdict["modules"]
        assert (module["outcome"], module["serving"]["version"]) == ("rollout_failed", "1.0.0")
        assert any("does not answer" in line for pod in module["pods"] for line in pod["logs"]), json.dumps(module)
        assert any(n.endswith("1.0.0 with those before was put back and runs") for n in verdict["notices"]), verdict
        assert strict(stack) == [""]
    with broker(port):
        code, verdict = plane(stack, **new)
        assert code == 0, verdict
        assert strict(stack) == ["transactionplane,broker"]
        assert plane(stack, **new)[1]["outcome"] == "unchanged"
    assert (set(stack.pods("1.0.0", "plane")), stack.job_uids()) == (api, jobs), (
        "nothing of it was the API's, or a migration's"
    )


def strict(stack: Stack) -> list[str]:
    """What the worker's pods that are ready were told of it."""
    return [next((v.value for v in p.spec.containers[0].env if v.name == "STRICT"), "") for p in worker_pods(stack)]


@pytest.mark.long
def test_replicas_of_an_autoscaled_module_are_not_the_updates_to_set(stack: Stack) -> None:
    """There are no metrics here, so the autoscaler itself never scales: a person does it by hand in its place."""

    def scale(replicas: int) -> None:
        wanted = Deployment.Scale(
            metadata=ObjectMeta(name="ledger-1-0-0"), spec=autoscaling_v1.ScaleSpec(replicas=replicas)
        )
        stack.api.replace(wanted, "ledger-1-0-0", namespace=stack.name)
        wait_for("the pods", lambda: stack.deployments() == {"ledger-1-0-0": replicas})

    stack.configure(autoscaling={"minReplicas": 1, "maxReplicas": 5, "cpuPercent": 70})
    stack.deployed("1.0.0")
    [scaler] = stack.objects(HorizontalPodAutoscaler)
    assert (scaler.spec.scaleTargetRef.name, scaler.spec.maxReplicas) == ("ledger-1-0-0", 5)
    assert stack.deployments() == {"ledger-1-0-0": 1}
    scale(3)
    assert stack.up()[1]["outcome"] == "unchanged"
    stack.configure(env={"A": "1"})
    assert stack.up()[1]["outcome"] == "deployed", "the same Deployment, in place"
    wait_for("the pods", lambda: stack.deployments() == {"ledger-1-0-0": 3})
    stack.deployed("1.1.0")
    assert stack.deployments() == {"ledger-1-1-0": 3}, "as many as served"
    [scaler] = stack.objects(HorizontalPodAutoscaler)
    assert scaler.spec.scaleTargetRef.name == "ledger-1-1-0"


@pytest.mark.long
def test_the_pods_roll_when_the_secret_they_refer_to_changes_and_no_job_runs(stack: Stack) -> None:
    postgres = PostgresServer.parse(postgres_uri())
    credentials = {"username": postgres.username or "", "password": postgres.password or ""}
    stack.api.create(Namespace(metadata=ObjectMeta(name=stack.name)))
    stack.api.create(Secret(metadata=ObjectMeta(name="postgres", namespace=stack.name), stringData=credentials))
    server = f"postgresql://{postgres.host}:{postgres.port}?secret=postgres&{postgres.query}"
    stack.workspace.configure({"namespace": {"create": False}, "postgres": {"uri": server}})
    stack.deployed("1.0.0")
    jobs, pods = stack.job_uids(), set(stack.pods("1.0.0"))
    # The same credentials with one more key: others changed the Secret, and it goes on to work.
    more = {"data": {"rotated": b64encode(b"yes").decode()}}
    stack.api.patch(Secret, "postgres", more, namespace=stack.name, patch_type=PatchType.MERGE)
    assert stack.up()[1]["outcome"] == "deployed"
    wait_for("the old pods to go", lambda: not pods & set(stack.pods("1.0.0")))
    assert stack.job_uids() == jobs
    assert stack.up()[1]["outcome"] == "unchanged"
    assert [d.metadata.name for d in stack.objects(Deployment)] == ["ledger-1-0-0"]
