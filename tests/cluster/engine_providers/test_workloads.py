"""Waiting for what runs: Jobs, Deployments, StatefulSets, Pods, Services, claims; how it fails, times out and is cancelled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from offline.engine.provider import Made, ProviderError
from offline.providers.kubernetes import KubernetesProvider
from offline.providers.kubernetes.client import ApiError, Client

from .conftest import NAMESPACE, SERVE, Object, Resource, deployment, job, named, pod_spec

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]
Make = Callable[..., Resource]
UNREADY = {"pulumi.com/replaceUnready": "true"}


def seconds(step: Callable[[], object]) -> float:
    began = time.monotonic()
    step()
    return time.monotonic() - began


# --- Job ----------------------------------------------------------------------------------------------------------


def test_a_job_is_awaited_until_it_is_complete(make: Make) -> None:
    j = make(job("echo migrated", "ok", UNREADY)).create()
    assert j.made.outputs["status"]["succeeded"] == 1
    name = f'"{NAMESPACE}/ok"'
    assert j.texts.index(f"Waiting for Job {name} to start") < j.texts.index(
        f"Waiting for Job {name} to succeed (Active: 0 | Succeeded: 1 | Failed: 0)"
    )
    assert j.said[-1] == ("info", "")
    assert not j.diff().changes


@pytest.mark.measures
def test_the_end_of_a_job_is_seen_within_a_moment(make: Make, api: Client) -> None:
    j = make(job("sleep 1", "timed")).create()
    ended = time.time()
    done = j.made.outputs["status"]["completionTime"]  # whole seconds
    assert ended - time.mktime(time.strptime(done, "%Y-%m-%dT%H:%M:%SZ")) + time.timezone < 1.3


def test_a_failed_job_tells_why_and_is_replaced_by_the_next_update(make: Make) -> None:
    j = make(job("echo no >&2; exit 1", "bad", UNREADY))
    reasons = j.failing(j.create)
    pod = next(r for r in reasons if "exit code" in r)
    assert reasons[0] == (
        f'resource "{j.urn}" was successfully created, but the Kubernetes API server reported that it failed to fully initialize or become live: '
        "Resource 'bad' was created but failed to initialize"
    )
    assert pod.endswith('container "c" completed with exit code 1')
    assert reasons[-1] == "[BackoffLimitExceeded] Job has reached the specified backoff limit"
    d = j.diff()
    assert (list(d.replaces), d.delete_before_replace, d.detailed) == (
        ['.metadata.annotations["pulumi.com/replaceUnready"]'],
        True,
        {},
    )


def test_a_failed_job_without_the_annotation_is_only_awaited_again(make: Make) -> None:
    j = make(job("exit 1", "dead"))
    j.failing(j.create)
    assert not j.diff().changes
    j.before = j.inputs
    again = j.failing(j.update)
    assert again[0].startswith(
        f'the Kubernetes API server reported that "{NAMESPACE}/dead" failed to fully initialize or become live: Resource'
    )
    assert "[BackoffLimitExceeded] Job has reached the specified backoff limit" in again
    assert "[BackoffLimitExceeded] Job has reached the specified backoff limit" in j.failing(j.read)


def test_a_termination_message_is_the_cause(make: Make) -> None:
    o = job('echo \'{"sqlstate": "22012"}\' > /dev/termination-log; exit 1', "told")
    j = make(o)
    assert '[Error] {"sqlstate": "22012"}' in "".join(j.failing(j.create))


def test_a_hanging_job_ends_by_its_deadline(make: Make) -> None:
    j = make(job("sleep 100", "hangs", activeDeadlineSeconds=2))
    assert j.failing(j.create)[-1] == "[DeadlineExceeded] Job was active longer than specified deadline"


@pytest.mark.measures
def test_an_image_that_does_not_exist_is_told_before_the_deadline(make: Make) -> None:
    j = make(job("true", "imageless", image="localhost/none:1", activeDeadlineSeconds=8))
    running = threading.Thread(target=lambda: j.failing(j.create))
    began = time.monotonic()
    running.start()
    while not any("ErrImagePull" in t for t in j.texts) and time.monotonic() - began < 8:
        time.sleep(0.05)
    assert time.monotonic() - began < 8
    running.join()


def test_a_job_without_progress_times_out(make: Make) -> None:
    j = make(job("sleep 30", "slow", {"pulumi.com/timeoutSeconds": "2"}))
    assert "'slow' timed out waiting to be Ready" in j.failing(j.create)[0]


@pytest.mark.measures
def test_a_cancelled_wait_leaves_the_job_running_and_in_the_state(make: Make) -> None:
    j = make(job("sleep 20", "interrupted", UNREADY))
    threading.Timer(2, j.cancel.set).start()
    taken = seconds(lambda: j.failing(j.create))
    assert taken < 2.6
    assert j.made.id == f"{NAMESPACE}/interrupted"
    assert j.made.outputs["status"]["active"] == 1
    assert j.diff().replaces


@pytest.mark.measures
def test_a_job_left_by_a_killed_update_is_adopted_when_upserting(make: Make, upserting: KubernetesProvider) -> None:
    first = make(job("sleep 3", "left"), upserting)
    killed = threading.Thread(target=first.create)
    killed.start()
    time.sleep(1)
    second = make(job("sleep 3", "left"), upserting).create()
    assert second.made.outputs["status"]["succeeded"] == 1
    killed.join()
    assert second.made.outputs["metadata"]["uid"] == first.made.outputs["metadata"]["uid"]
    assert seconds(lambda: make(job("sleep 3", "left"), upserting).create()) < 1  # complete already


def test_a_job_of_the_same_name_made_again_is_awaited_anew(make: Make) -> None:
    first = make(job("true", "again")).create()
    first.delete()
    first.made = Made("", {})
    j = make(job("sleep 1; exit 1", "again"))
    assert "[BackoffLimitExceeded] Job has reached the specified backoff limit" in j.failing(j.create)


# --- Deployment ---------------------------------------------------------------------------------------------------


def test_a_deployment_is_awaited_until_every_pod_is_ready(make: Make) -> None:
    d = make(deployment(replicas=2, label="two")).create()
    assert d.made.outputs["status"]["readyReplicas"] == 2
    assert d.texts[-1] == "Deployment initialization complete"
    assert "[MinimumReplicasUnavailable] Deployment does not have minimum availability." in d.texts
    assert not d.diff().changes
    read = d.read()
    assert read is not None
    assert read.inputs == d.inputs


def test_more_replicas_are_awaited_in_place(make: Make) -> None:
    d = make(deployment("more", label="more")).create()
    d.want(deployment("more", label="more", replicas=2)).update()
    assert d.made.outputs["status"]["readyReplicas"] == 2
    assert d.made.outputs["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"


def test_a_changed_template_is_awaited_until_it_has_replaced_the_old_pods(make: Make) -> None:
    d = make(deployment("rolls", label="rolls")).create()
    d.want(deployment("rolls", label="rolls", script=f": new; {SERVE}")).update()
    assert d.made.outputs["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
    assert d.made.outputs["status"]["updatedReplicas"] == d.made.outputs["status"]["readyReplicas"] == 1


@pytest.mark.measures
def test_a_deployment_that_never_becomes_ready_times_out_with_its_reasons(make: Make) -> None:
    d = make(deployment("never", {"pulumi.com/timeoutSeconds": "4"}, ready=False, label="never"))
    reasons = d.failing(d.create)
    assert reasons[0].endswith("'never' timed out waiting to be Ready")
    assert reasons[1:3] == [
        "[MinimumReplicasUnavailable] Deployment does not have minimum availability.",
        "Minimum number of live Pods was not attained",
    ]
    assert reasons[3].endswith("containers with unready status: [c]")
    assert d.failing(d.read)[0] == "Resource 'never' was created but failed to initialize"


@pytest.mark.measures
def test_custom_timeouts_come_before_the_annotation(make: Make) -> None:
    d = make(deployment("impatient", {"pulumi.com/timeoutSeconds": "60"}, ready=False, label="impatient"))
    assert seconds(lambda: d.failing(lambda: d.create(timeout=1))) < 2


def test_deleting_a_deployment_waits_for_its_pods(make: Make, api: Client) -> None:
    d = make(deployment("leaves", label="leaves")).create()
    d.delete()
    assert "Resource scheduled for deletion" in d.texts
    assert api.items(f"/api/v1/namespaces/{NAMESPACE}/pods", labelSelector="app=leaves") == []
    d.made = Made("", {})


def test_a_deletion_slower_than_its_timeout_fails_and_can_be_repeated(make: Make) -> None:
    o = deployment(
        "stays", {"pulumi.com/timeoutSeconds": "2"}, script="trap '' TERM; while :; do sleep 0.2; done", label="stays"
    )
    o["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 5
    d = make(o).create(timeout=30)
    with pytest.raises(ProviderError, match="timed out waiting for the condition"):
        d.delete()
    assert ("warning", "finalizers might be preventing deletion (foregroundDeletion)") in d.said
    d.delete(timeout=30)
    d.made = Made("", {})


# --- others -------------------------------------------------------------------------------------------------------


def test_a_stateful_set_is_awaited_pod_by_pod(make: Make) -> None:
    spec: Object = {
        "serviceName": "s",
        "replicas": 2,
        "selector": {"matchLabels": {"s": "s"}},
        "template": {"metadata": {"labels": {"s": "s"}}, "spec": pod_spec()},
    }
    s = make(named("apps/v1", "StatefulSet", "s", spec=spec)).create()
    assert s.made.outputs["status"]["readyReplicas"] == 2
    assert "[1/2] Waiting for StatefulSet to create Pods (1/2 Pods ready)" in s.texts
    assert s.texts[-1] == "StatefulSet initialization complete"


def test_a_pod_is_awaited_until_it_is_ready(make: Make) -> None:
    p = make(named("v1", "Pod", "p", spec=pod_spec() | {"restartPolicy": "Never"})).create()
    assert p.made.outputs["status"]["phase"] == "Running"
    assert f'Waiting for Pod "{NAMESPACE}/p" to be ready' in p.texts


@pytest.mark.measures
def test_a_service_is_awaited_until_its_endpoints_have_settled(make: Make) -> None:
    make(deployment("behind", label="behind")).create()
    s = make(named("v1", "Service", "front", spec={"selector": {"app": "behind"}, "ports": [{"port": 80}]}))
    assert 9.5 < seconds(s.create) < 13
    assert s.texts[-1] == "Service initialization complete"


@pytest.mark.measures
@pytest.mark.parametrize(
    ("annotations", "spec"), [({"pulumi.com/skipAwait": "true"}, {}), (None, {"clusterIP": "None"})]
)
def test_a_service_without_a_wait_is_made_at_once(make: Make, annotations: dict[str, str] | None, spec: Object) -> None:
    s = make(named("v1", "Service", None, annotations, spec={"selector": {"a": "b"}, "ports": [{"port": 80}], **spec}))
    assert seconds(s.create) < 1


@pytest.mark.measures
def test_a_disruption_budget_is_there_at_once(make: Make) -> None:
    b = make(
        named(
            "policy/v1", "PodDisruptionBudget", "b", spec={"maxUnavailable": 1, "selector": {"matchLabels": {"a": "b"}}}
        )
    )
    assert seconds(b.create) < 0.5
    b.want(
        named(
            "policy/v1", "PodDisruptionBudget", "b", spec={"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}
        )
    ).update()
    assert "maxUnavailable" not in b.made.outputs["spec"]


def test_a_namespace_is_gone_with_all_that_is_in_it(make: Make, api: Client) -> None:
    n = make(named("v1", "Namespace", f"{NAMESPACE}-2")).create()
    p = named("v1", "Pod", "p", spec=pod_spec())
    p["metadata"]["namespace"] = n.made.id
    make(p).create().made = Made("", {})
    n.delete()
    with pytest.raises(ApiError, match="not found"):
        api.get(f"/api/v1/namespaces/{NAMESPACE}-2")
    n.made = Made("", {})


def test_many_calls_at_once_share_their_watches(make: Make, plain: KubernetesProvider) -> None:
    jobs = [make(job("true", f"many-{i}")) for i in range(8)]
    threads = [threading.Thread(target=j.create) for j in jobs]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert all(j.made.outputs["status"]["succeeded"] == 1 for j in jobs)
    watches = [
        t.name for t in threading.enumerate() if t.name.startswith("watch ") and t.name.endswith(f"{NAMESPACE}/jobs")
    ]
    assert len(watches) <= 2  # one a provider
