"""What the components make of the catalogue: workers, configuration, autoscaling, disabled modules, network policies."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest

from components import guards
from components.cluster import Size, WorkerState
from components.errors import Downgrade, StillServing, TooFew, WorkerNotOurs, WorkerNotUp
from components.guards import Rules
from tests.unit.components.declared import OWNER, Declared, FakeCluster, declare, ledger

LEDGER = {"kind": "ledger", "image": "example.org/ledger", "version": "2.4.12"}
REFERENCE = {"uri": "postgresql://h?secret=postgres"}
API, WORKER, JOB = "Deployment/ledger-2.4.12", "Deployment/ledger-worker", "Job/ledger-2.4.12-migrate"


def pods(declared: Declared) -> dict[str, Any]:
    template: dict[str, Any] = declared.inputs["spec"]["template"]
    return template


class TestWorker:
    def test_it_stands_behind_the_migration_and_before_the_api(self) -> None:
        stack = declare({"ledger": LEDGER})
        assert "kubernetes:batch/v1:Job::ledger-2.4.12-migrate" in stack[WORKER].depends_on
        assert "kubernetes:apps/v1:Deployment::ledger-worker" in stack[API].depends_on

    def test_it_is_stopped_before_its_next_version_starts(self) -> None:
        old, new = declare({"ledger": LEDGER}), declare({"ledger": {**LEDGER, "version": "2.5.0"}})
        assert old[WORKER].inputs["spec"]["strategy"] == {"type": "Recreate"}
        assert old[WORKER].inputs["metadata"]["annotations"]["rollout.formance.com/singleton"] == "true"
        assert old[WORKER].inputs["metadata"]["name"] == new[WORKER].inputs["metadata"]["name"]
        assert old[WORKER].inputs["spec"]["selector"] == new[WORKER].inputs["spec"]["selector"]

    def test_the_api_is_guarded_by_it_because_pulumi_does_not_wait_for_it(self) -> None:
        hooks = declare({"ledger": LEDGER})[API].hooks
        assert hooks["before_create"] == ["ours-or-new", "worker-is-up"]
        assert hooks["before_update"] == ["worker-is-up"]
        comes_up(WorkerState(True, "new"), api("new"))
        with pytest.raises(WorkerNotUp, match="ledger-worker is not up after 60 s"):
            comes_up(WorkerState(False, "new"), api("new"))

    def test_its_settings_change_the_api_too_but_not_its_pods(self) -> None:
        before, after = declare({"ledger": LEDGER}), declare({"ledger": {**LEDGER, "worker": {"env": {"A": "1"}}}})
        noted = [
            stack[API].inputs["metadata"]["annotations"]["rollout.formance.com/worker"] for stack in (before, after)
        ]
        carried = [
            pods(stack[WORKER])["metadata"]["annotations"]["rollout.formance.com/worker"] for stack in (before, after)
        ]
        assert noted[0] != noted[1]
        assert noted == carried
        assert pods(before[API]) == pods(after[API])

    def test_a_worker_that_has_not_changed_holds_up_no_change_of_the_api(self) -> None:
        comes_up(None, api("same"), api("same"))

    def test_a_worker_that_was_put_back_is_not_taken_for_the_new_one(self) -> None:
        with pytest.raises(WorkerNotOurs, match="pulumi refresh"):
            comes_up(WorkerState(True, "old"), api("new"), api("old"))

    def test_no_service_of_the_api_selects_it(self) -> None:
        stack = declare({"ledger": LEDGER})
        selector = stack["Service/ledger"].inputs["spec"]["selector"]
        assert not selector.items() <= pods(stack[WORKER])["metadata"]["labels"].items()


def test_a_worker_that_answers_a_part_of_the_api_has_a_service_and_its_health_is_asked() -> None:
    payments = {"version": "2.0.33", "encryptionKey": "canary"}
    stack = declare({"payments": payments, "gateway": {"version": "2.3.1"}})
    [port] = stack["Service/payments-worker"].inputs["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (8080, "connectors")
    [container] = pods(stack["Deployment/payments-worker"])["spec"]["containers"]
    assert container["readinessProbe"]["httpGet"] == {"path": "/_health", "port": "connectors"}
    selector = stack["Service/payments-worker"].inputs["spec"]["selector"]
    assert selector == {"app.kubernetes.io/name": "payments-worker"}


def test_a_workers_service_has_settings_of_its_own() -> None:
    service = {"annotations": {"a": "1"}, "trafficDistribution": "PreferClose"}
    stack = declare({"ledger": {**LEDGER, "experimentalExporters": True, "worker": {"service": service}}})
    workers, apis = (stack[f"Service/{name}"].inputs for name in ("ledger-worker", "ledger"))
    assert (workers["metadata"]["annotations"]["a"], workers["spec"]["trafficDistribution"]) == ("1", "PreferClose")
    assert ("a" in apis["metadata"]["annotations"], apis["spec"].get("trafficDistribution")) == (False, None)


def test_readiness_may_ask_another_path_than_liveness() -> None:
    modules = {"mcp": {"version": "0.3.0"}, "auth": {"version": "2.5.0"}, "gateway": {"version": "2.3.1"}}
    [container] = pods(declare(modules)["Deployment/mcp-0.3.0"])["spec"]["containers"]
    probed = {kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("readiness", "liveness")}
    assert probed == {"readiness": "/readyz", "liveness": "/_healthcheck"}


class TestCredentials:
    def test_what_only_the_service_uses_stands_behind_the_migration(self) -> None:
        temporal = {"address": "t:7233", "namespace": "n", "encryptionKey": "canary"}
        payments = {"kind": "payments", "image": "example.org/p", "version": "3.4.0", "encryptionKey": "canary"}
        stack = declare({"payments": payments}, temporal=temporal)
        secrets = {d.name.rpartition("-")[0]: d for k, d in stack.items() if k.startswith("Secret/")}
        job = "kubernetes:batch/v1:Job::payments-3.4.0-migrate"
        assert job in secrets["payments-temporal-encryption"].depends_on
        assert job not in secrets["payments-encryption"].depends_on, "the migration needs it"

    def test_a_secret_that_others_change_rolls_the_pods_that_use_it_and_no_job(self) -> None:
        def contained(text: str) -> dict[str, Declared]:
            return declare({"ledger": LEDGER}, FakeCluster(contained={"postgres": text}), postgres=REFERENCE)

        before, after = contained("one"), contained("two")
        for key in (API, WORKER):
            assert pods(before[key])["spec"] == pods(after[key])["spec"]
            assert pods(before[key])["metadata"]["annotations"] != pods(after[key])["metadata"]["annotations"]
        assert before[JOB].inputs == after[JOB].inputs
        assert "one" not in str(pods(before[API])["metadata"]["annotations"])


def api(worker: str) -> dict[str, Any]:
    metadata = {"labels": labels("1"), "annotations": {"rollout.formance.com/worker": worker}}
    return {"metadata": metadata, "spec": {"progressDeadlineSeconds": 60}}


def comes_up(worker: WorkerState | None, new: dict[str, Any], old: dict[str, Any] | None = None) -> None:
    """What the guard says of a worker that is so and stays so."""
    clock = iter(range(0, 1000, 20))
    args = pulumi.ResourceHookArgs("urn", "id", "name", "type", new_inputs=new, old_inputs=old)
    cluster = FakeCluster(workers={"ledger-worker": worker} if worker else {})
    Rules(cluster, OWNER, lambda: float(next(clock)), lambda _seconds: None).worker_is_up(args)


def migrated(stack: dict[str, Declared]) -> str:
    return str(stack["ConfigMap/ledger-migrated"].inputs["metadata"]["labels"]["rollout.formance.com/version"])


SCALED = {**LEDGER, "autoscaling": {"minReplicas": 2, "maxReplicas": 6, "cpuPercent": 70}}


class TestAutoscaling:
    def test_the_deployment_says_nothing_of_replicas(self) -> None:
        stack = declare({"ledger": SCALED})
        assert "replicas" not in stack[API].inputs["spec"]
        scaler = stack["HorizontalPodAutoscaler/ledger-2.4.12"]
        assert scaler.inputs["spec"]["scaleTargetRef"]["name"] == stack[API].inputs["metadata"]["name"]
        assert scaler.hooks["before_delete"] == ["keep-serving"]

    def test_it_goes_while_its_version_serves_once_the_settings_are_without_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scaler = declare({"ledger": SCALED})["HorizontalPodAutoscaler/ledger-2.4.12"].inputs
        gone = pulumi.ResourceHookArgs("urn", "id", "name", "type", old_inputs=scaler)
        serves = FakeCluster(services={"ledger": labels("2.4.12")})
        made: list[Rules] = []

        def remembered(*args: Any, **more: Any) -> Rules:
            made.append(Rules(*args, **more))
            return made[-1]

        monkeypatch.setattr(guards, "Rules", remembered)
        stack = declare({"ledger": LEDGER}, serves)
        assert "HorizontalPodAutoscaler/ledger-2.4.12" not in stack
        made[-1].keep_serving(gone)
        declare({"ledger": {**LEDGER, "version": "2.5.0"}}, serves)
        with pytest.raises(StillServing, match="HorizontalPodAutoscaler ledger-2-4-12 still serves"):
            made[-1].keep_serving(gone)

    def test_the_service_switches_behind_the_guard_that_counts_pods(self) -> None:
        hooks = declare({"ledger": SCALED})["Service/ledger"].hooks
        assert hooks["before_create"] == ["ours-or-new", "as-many-as-before"]

    @pytest.mark.parametrize(("serving", "least", "wanted"), [(5, 2, 5), (1, 3, 3)])
    def test_the_new_version_gets_as_many_pods_as_serve(self, serving: int, least: int, wanted: int) -> None:
        cluster = FakeCluster(
            services={"ledger": labels("1")},
            sizes={"1": Size("ledger-1", serving, serving), "2": Size("ledger-2", 1, 1, least)},
        )
        Rules(cluster, OWNER).as_many_as_before(switch("2"))
        assert cluster.sizes["2"].replicas == wanted

    def test_a_version_that_serves_is_left_to_its_autoscaler(self) -> None:
        sizes = {"1": Size("ledger-1", 1, 0, 4)}
        Rules(FakeCluster(services={"ledger": labels("1")}, sizes=sizes), OWNER).as_many_as_before(switch("1"))
        assert sizes["1"].replicas == 1

    def test_pods_that_do_not_come_keep_the_service_where_it_is(self) -> None:
        class Stuck(FakeCluster):
            def scale(self, deployment: str, replicas: int) -> None:
                pass

        clock = iter(range(0, 100_000, 50))
        cluster = Stuck(sizes={"2": Size("ledger-2", 1, 1, 3)})
        rules = Rules(cluster, OWNER, lambda: float(next(clock)), lambda _seconds: None)
        with pytest.raises(TooFew, match="1 of the 3 pods"):
            rules.as_many_as_before(switch("2"))


def labels(version: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": "ledger", "app.kubernetes.io/version": version}


def switch(version: str) -> pulumi.ResourceHookArgs:
    inputs = {"kind": "Service", "metadata": {"name": "ledger"}, "spec": {"selector": labels(version)}}
    return pulumi.ResourceHookArgs("urn", "id", "name", "type", new_inputs=inputs, old_inputs=inputs)


class TestDisabled:
    def test_a_disabled_module_has_no_workloads_and_keeps_the_record_of_its_migration(self) -> None:
        on = declare({"ledger": LEDGER})
        off = declare(
            {"ledger": {**LEDGER, "disabled": True}}, FakeCluster(jobs_done={"ledger": frozenset({"2.4.12"})})
        )
        kinds = {k.partition("/")[0] for k, d in off.items() if d.type.startswith("kubernetes:")}
        assert kinds == {"Namespace", "ServiceAccount", "Secret", "Job", "ConfigMap"}
        assert off[JOB].inputs == on[JOB].inputs, "so that enabling it runs no migration again"

    def test_another_version_is_not_migrated_to_while_it_is_disabled(self) -> None:
        changed = {**LEDGER, "version": "2.5.0", "disabled": True}
        stack = declare({"ledger": changed}, FakeCluster(jobs_done={"ledger": frozenset({"2.4.12"})}))
        assert not [k for k in stack if k.startswith("Job/")]
        assert migrated(stack) == "2.4.12", "the record stays, though the Job goes"

    def test_enabling_it_in_an_older_version_than_it_was_migrated_to_is_refused(self) -> None:
        older, known = {**LEDGER, "version": "2.4.0"}, FakeCluster(migrations={"ledger": "2.4.12"})
        with pytest.raises(Downgrade, match=r"2\.4\.0 is older than 2\.4\.12, which its database was migrated to"):
            declare({"ledger": older}, known)
        assert migrated(declare({"ledger": {**older, "allowDowngrade": True}}, known)) == "2.4.0"

    def test_a_whole_stack_is_disabled_with_its_gateway(self) -> None:
        gateway = {"image": "example.org/gateway", "version": "2.3.1"}
        stack = declare({"ledger": LEDGER, "gateway": gateway}, disabled=True)
        assert not [k for k in stack if k.startswith(("Deployment/", "Service/", "Job/"))]


def test_network_policies_let_in_the_stack_and_its_gateway() -> None:
    gateway = {"image": "example.org/gateway", "version": "2.3.1"}
    stack = declare({"ledger": LEDGER, "gateway": gateway}, networkPolicies=True)
    within, to = (stack[f"NetworkPolicy/{n}"].inputs["spec"] for n in ("within-the-stack", "to-the-gateway"))
    ours = {"rollout.formance.com/owner": OWNER.label}
    assert within["podSelector"]["matchLabels"] == within["ingress"][0]["from"][0]["podSelector"]["matchLabels"] == ours
    assert to["podSelector"]["matchLabels"] == {**ours, "app.kubernetes.io/name": "gateway"}
    assert ours.items() <= pods(stack[API])["metadata"]["labels"].items()


def test_where_and_how_pods_run_is_set_for_all_or_for_one() -> None:
    defaults = {
        "nodeSelector": {"pool": "stack"},
        "tolerations": [{"key": "stack", "operator": "Exists"}],
        "annotations": {"a": "1"},
        "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn"}},
    }
    module = ledger(annotations={"b": "2"}, runAsGroup=7, service={"trafficDistribution": "PreferClose"})
    stack = declare({"ledger": module}, defaults=defaults)
    pod = pods(stack["Deployment/ledger-1.1.0"])
    assert pod["metadata"]["annotations"] == {"a": "1", "b": "2"}
    assert pod["spec"]["tolerations"] == [{"key": "stack", "operator": "Exists"}]
    assert pod["spec"]["securityContext"]["runAsGroup"] == 7
    assert stack["Service/ledger"].inputs["spec"]["trafficDistribution"] == "PreferClose"
    assert stack["ServiceAccount/ledger"].inputs["metadata"]["annotations"] == {"eks.amazonaws.com/role-arn": "arn"}


def test_jobs_run_where_they_are_told_and_none_runs_again_for_it() -> None:
    jobs = {"nodeSelector": {"pool": "jobs"}, "tolerations": [{"key": "jobs", "operator": "Exists"}]}
    more: dict[str, Any] = {"broker": {"uri": "nats://nats:4222", "streams": "stack"}}
    modules = {"ledger": LEDGER, "webhooks": {"version": "2.5.3"}, "gateway": {"version": "2.3.1"}}
    before, after = (declare(modules, defaults=d, **more) for d in ({}, {"jobs": jobs}))
    named = [key for key in after if key.startswith("Job/")]
    assert len(named) == 6
    for key in named:
        pod = pods(after[key])["spec"]
        assert {name: pod[name] for name in jobs} == jobs, key
        assert after[key].inputs["metadata"]["name"] == before[key].inputs["metadata"]["name"]
        assert {"spec.template.spec.nodeSelector", "spec.template.spec.tolerations"} <= after[key].ignored
    assert "nodeSelector" not in pods(after[API])["spec"]


def test_another_annotation_of_a_migrations_pods_runs_it_no_second_time() -> None:
    before, after = (declare({"ledger": ledger(migration=m)}) for m in ({}, {"annotations": {"a": "1"}}))
    key = "Job/ledger-1.1.0-migrate"
    assert before[key].inputs["metadata"]["name"] == after[key].inputs["metadata"]["name"]


def test_databases_that_others_make_are_not_made() -> None:
    stack = declare({"ledger": ledger()}, postgres={**REFERENCE, "createDatabase": False})
    assert [k for k in stack if k.startswith("Job/")] == ["Job/ledger-1.1.0-migrate"]
