"""The gate as it is declared: names, dependencies and selectors. Mocks show the graph; the cluster tests show what it does."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest

from components.cluster import Size
from components.errors import Downgrade, Moved
from tests.unit.components.declared import Declared, FakeCluster, declare, ledger

JOB, DEPLOYMENT, SERVICE = "Job/ledger-1.1.0-migrate", "Deployment/ledger-1.1.0", "Service/ledger"


def test_the_deployment_waits_for_the_migration_of_its_version() -> None:
    stack = declare({"ledger": ledger()})
    assert "kubernetes:batch/v1:Job::ledger-1.1.0-migrate" in stack[DEPLOYMENT].depends_on
    assert "kubernetes:apps/v1:Deployment::ledger-1.1.0" in stack[SERVICE].depends_on


def test_everything_of_a_version_waits_for_its_migration() -> None:
    versioned = [d for key, d in declare({"ledger": ledger()}).items() if "1.1.0" in key and not key.startswith("Job/")]
    assert {d.name for d in versioned} == {"ledger-1.1.0"}
    assert all("kubernetes:batch/v1:Job::ledger-1.1.0-migrate" in d.depends_on for d in versioned)


def test_the_migration_waits_for_the_database() -> None:
    stack = declare({"ledger": ledger()})
    assert "kubernetes:batch/v1:Job::ledger-database" in stack[JOB].depends_on
    secret = next(d for key, d in stack.items() if key.startswith("Secret/"))
    for user in ("Job/ledger-database", DEPLOYMENT):
        assert f"kubernetes:core/v1:Secret::{secret.name}" in stack[user].depends_on


def test_a_new_version_has_its_own_resources_and_the_service_keeps_its_name() -> None:
    old, new = declare({"ledger": ledger()}), declare({"ledger": ledger(version="1.2.0")})
    assert set(new) - set(old) == {
        "Job/ledger-1.2.0-migrate",
        "Deployment/ledger-1.2.0",
        "PodDisruptionBudget/ledger-1.2.0",
    }
    assert set(old) & set(new) >= {SERVICE, "Job/ledger-database"}


def test_what_both_versions_share_does_not_change_with_the_version() -> None:
    old, new = declare({"ledger": ledger()}), declare({"ledger": ledger(version="1.2.0")})
    for key in set(old) & set(new) - {SERVICE, "ConfigMap/ledger-migrated"}:
        if not old[key].type.startswith("rollout:"):
            assert old[key].inputs == new[key].inputs, key


def test_no_input_of_the_gate_comes_from_another_resource() -> None:
    """Gated by depends_on, never by property: names, selectors and images are known at preview."""
    stack = declare({"ledger": ledger()})
    assert stack[SERVICE].inputs["spec"]["selector"] == {
        "app.kubernetes.io/name": "ledger",
        "app.kubernetes.io/version": "1.1.0",
    }
    assert stack[DEPLOYMENT].inputs["metadata"]["name"] == "ledger-1-1-0"
    assert stack[JOB].inputs["metadata"]["name"].startswith("ledger-1-1-0-migrate-")


def test_the_labels_of_jobs_are_in_no_selector() -> None:
    stack = declare({"ledger": ledger()})
    selectors = [stack[SERVICE].inputs["spec"]["selector"], stack[DEPLOYMENT].inputs["spec"]["selector"]["matchLabels"]]
    for job in (JOB, "Job/ledger-database"):
        labels = stack[job].inputs["spec"]["template"]["metadata"]["labels"]
        for selector in selectors:
            assert not selector.items() & labels.items()


@pytest.mark.parametrize(
    "change",
    [
        {"replicas": 3},
        {"env": {"A": "b"}},
        {"debug": True},
        {"resources": {"limits": {"memory": "1Gi"}}},
        {"drainSeconds": 5},
        {"progressDeadlineSeconds": 60},
        {"imagePullSecrets": ["x"]},
    ],
    ids=lambda c: next(iter(c)),
)
def test_a_setting_the_migration_does_not_see_changes_no_job(change: dict[str, Any]) -> None:
    before, after = declare({"ledger": ledger()}), declare({"ledger": ledger(**change)})
    assert {k: d.inputs for k, d in before.items() if k.startswith("Job/")} == {
        k: d.inputs for k, d in after.items() if k.startswith("Job/")
    }
    assert any(before[k].inputs != after[k].inputs for k in before)


MORE = {"migration": {"resources": {"requests": {"cpu": "1"}, "limits": {"memory": "4Gi", "cpu": "2"}}}}


def test_a_migration_gets_what_it_needs_without_being_run_again_for_it() -> None:
    before, after = declare({"ledger": ledger()}), declare({"ledger": ledger(**MORE)})
    names = [stack[JOB].inputs["metadata"]["name"] for stack in (before, after)]
    assert names[0] == names[1]
    [container] = after[JOB].inputs["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == MORE["migration"]["resources"]
    where = "spec.template.spec.containers[0].resources"
    assert where not in after[JOB].ignored, "one that was killed for want of memory runs again with more"
    for migrated in ("1.1.0", "1.2.0"):
        done = FakeCluster(versions={"ledger": "1.1.0"}, migrations={"ledger": migrated})
        assert where in declare({"ledger": ledger(**MORE)}, done)[JOB].ignored
    older = FakeCluster(versions={"ledger": "1.0.0"}, migrations={"ledger": "1.0.0"})
    assert where not in declare({"ledger": ledger(**MORE)}, older)[JOB].ignored


def test_a_quota_for_cpu_admits_every_pod_of_a_migration_with_a_limit_of_it() -> None:
    stack = declare({"ledger": ledger(**MORE)})
    for job in (JOB, "Job/ledger-database"):
        pod = stack[job].inputs["spec"]["template"]["spec"]
        containers = [*pod.get("initContainers", ()), *pod["containers"]]
        assert {c["resources"]["limits"]["cpu"] for c in containers} == {"2"}
    kept = [s["Job/ledger-database"].inputs["metadata"]["name"] for s in (stack, declare({"ledger": ledger()}))]
    assert kept[0] == kept[1]


@pytest.mark.parametrize(
    "change",
    [
        {"image": "example.org/other"},
        {"migration": {"args": ["up"]}},
        {"migration": {"env": {"A": "b"}}},
        {"postgres": {"uri": "postgresql://h?secret=s"}},
    ],
)
def test_what_the_migration_sees_gives_it_another_name_and_so_another_run(change: dict[str, Any]) -> None:
    before, after = declare({"ledger": ledger()}), declare({"ledger": ledger(**change)})
    assert before[JOB].inputs["metadata"]["name"] != after[JOB].inputs["metadata"]["name"]


def test_jobs_are_bounded_and_kept() -> None:
    for key in (JOB, "Job/ledger-database"):
        job = declare({"ledger": ledger()})[key].inputs
        assert job["spec"]["activeDeadlineSeconds"] > 0
        assert job["spec"]["backoffLimit"] <= 2
        assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"
        assert not {"ttlSecondsAfterFinished", "podFailurePolicy"} & set(job["spec"])
        assert not {"pulumi.com/skipAwait", "pulumi.com/waitFor"} & set(job["metadata"]["annotations"])
        assert job["metadata"]["annotations"]["pulumi.com/replaceUnready"] == "true"


def test_deployments_lose_no_capacity_and_drain() -> None:
    spec = declare({"ledger": ledger()})[DEPLOYMENT].inputs["spec"]
    container = spec["template"]["spec"]["containers"][0]
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert {"readinessProbe", "livenessProbe"} <= set(container)
    assert container["lifecycle"]["preStop"]["sleep"]["seconds"] == 3


def test_the_await_outlasts_the_deadline_and_the_grace_period() -> None:
    stack = declare({"ledger": ledger(terminationGracePeriodSeconds=300)})
    metadata, spec = (stack[DEPLOYMENT].inputs[k] for k in ("metadata", "spec"))
    assert int(metadata["annotations"]["pulumi.com/timeoutSeconds"]) > max(300, spec["progressDeadlineSeconds"])


def test_every_object_is_guarded_and_carries_its_owner() -> None:
    objects = [d for d in declare({"ledger": ledger()}).values() if d.type.startswith("kubernetes:")]
    assert {d.type.rsplit(":", 1)[-1] for d in objects} == {
        "Namespace",
        "ServiceAccount",
        "Secret",
        "Job",
        "ConfigMap",
        "Deployment",
        "PodDisruptionBudget",
        "Service",
    }
    for d in objects:
        assert d.hooks["before_create"][0] == "ours-or-new"
        assert d.inputs["metadata"]["labels"]["rollout.formance.com/owner"].startswith("rollout.dev.")


def test_what_serves_and_what_migrates_is_guarded_against_deletion() -> None:
    stack = declare({"ledger": ledger()})
    assert stack[DEPLOYMENT].hooks["before_delete"] == ["keep-serving"]
    assert stack["PodDisruptionBudget/ledger-1.1.0"].hooks["before_delete"] == ["keep-serving"]
    assert stack[JOB].hooks == {
        "before_create": ["ours-or-new", "one-migration-at-a-time", "rehearse-ledger"],
        "before_update": [],
        "before_delete": ["let-finish"],
    }


def test_credentials_have_a_name_that_changes_with_them_and_does_not_tell_them() -> None:
    def secret(uri: str) -> Declared:
        stack = declare({"ledger": ledger(postgres={"uri": uri})}, postgres=None)
        return next(d for key, d in stack.items() if key.startswith("Secret/"))

    one, other = (secret(f"postgresql://admin:{password}@10.0.0.1?sslmode=require") for password in ("canary", "other"))
    assert one.name != other.name
    assert one.name == one.inputs["metadata"]["name"]
    assert one.hooks["before_delete"] == ["keep-used"]
    assert "canary" not in str({k: v for k, v in one.inputs.items() if k != "stringData"})


def test_a_modules_own_value_of_a_variable_wins_and_no_name_is_there_twice() -> None:
    stack = declare({"ledger": ledger(env={"POSTGRES_PORT": "1", "DEBUG": "x"})})
    env = stack[DEPLOYMENT].inputs["spec"]["template"]["spec"]["containers"][0]["env"]
    names = [e["name"] for e in env]
    assert len(names) == len(set(names))
    assert {e["name"]: e.get("value") for e in env} | {"POSTGRES_PORT": "1", "DEBUG": "x"} == {
        e["name"]: e.get("value") for e in env
    }


def test_a_module_without_a_database_has_no_migration() -> None:
    stack = declare({"wallets": {"image": "example.org/wallets", "version": "1.0.0", "database": False}}, postgres=None)
    assert not [k for k in stack if k.startswith(("Job/", "Secret/"))]
    assert (
        stack["Deployment/wallets-1.0.0"].inputs["metadata"]["annotations"]["rollout.formance.com/no-database"]
        == "true"
    )


def test_a_module_waits_for_the_service_of_those_it_depends_on() -> None:
    stack = declare({"a": ledger(), "b": ledger(dependsOn=["a"])})
    assert "kubernetes:core/v1:Service::a" in stack["Job/b-1.1.0-migrate"].depends_on


def told_of_capacity(modules: dict[str, Any], live: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The warnings of a program that finds 1.0.0 of the ledger serving with so many replicas."""
    heard: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", heard.append)
    sizes = {"1.0.0": Size("ledger-1-0-0", live, live)}
    declare(modules, FakeCluster(versions={"ledger": "1.0.0"}, sizes=sizes))
    return heard


def test_whoever_has_scaled_by_hand_is_told_before_all_the_traffic_is_on_fewer_pods(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After cloudfoundry-community/cf-blue-green-deploy#19: the new version had the declared number, and nobody was told."""
    [said] = told_of_capacity({"ledger": ledger(replicas=2)}, 3, monkeypatch)
    assert said.startswith("fewer replicas: ledger 1.0.0 serves with 3, and 1.1.0 gets 2")


@pytest.mark.parametrize(
    ("more", "live"),
    [
        ({"replicas": 2}, 2),
        ({"replicas": 3}, 2),
        ({"replicas": 2, "version": "1.0.0"}, 3),
        ({"autoscaling": {"maxReplicas": 9, "cpuPercent": 50}}, 5),
        ({"replicas": 2, "disabled": True}, 3),
    ],
    ids=["as many", "more", "no new version", "autoscaled", "disabled"],
)
def test_nobody_is_told_where_none_are_lost(more: dict[str, Any], live: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert told_of_capacity({"ledger": ledger(**more)}, live, monkeypatch) == []


def test_a_downgrade_is_refused_before_anything_is_declared() -> None:
    with pytest.raises(Downgrade, match=r"1\.1\.0 is older than 1\.2\.0"):
        declare({"ledger": ledger()}, FakeCluster(versions={"ledger": "1.2.0"}))


def test_the_version_that_was_migrated_to_is_written_down_after_its_migration_and_kept() -> None:
    stack = declare({"ledger": ledger()})
    assert "kubernetes:batch/v1:Job::ledger-1.1.0-migrate" in stack["ConfigMap/ledger-migrated"].depends_on
    assert stack["ConfigMap/ledger-migrated"].retained


def test_going_back_to_what_serves_after_a_failed_version_is_no_downgrade() -> None:
    known = FakeCluster(versions={"ledger": "1.1.0"}, migrations={"ledger": "1.2.0"})
    assert DEPLOYMENT in declare({"ledger": ledger()}, known)


def test_after_a_version_that_migrated_and_never_became_healthy_only_what_serves_may_be_older() -> None:
    known = FakeCluster(versions={"ledger": "1.0.0"}, migrations={"ledger": "1.2.0"})
    with pytest.raises(Downgrade, match=r"1\.1\.0 is older than 1\.2\.0, which its database was migrated to"):
        declare({"ledger": ledger()}, known)


def test_going_back_leaves_on_record_what_the_database_was_migrated_to() -> None:
    known = FakeCluster(versions={"ledger": "1.1.0"}, migrations={"ledger": "1.2.0"})

    def recorded(**settings: Any) -> str:
        labels = declare({"ledger": ledger(**settings)}, known)["ConfigMap/ledger-migrated"].inputs["metadata"][
            "labels"
        ]
        return str(labels["rollout.formance.com/version"])

    assert recorded() == "1.2.0"
    assert recorded(allowDowngrade=True) == "1.1.0", "who asks for it has made the database fit"
    assert recorded(version="1.3.0") == "1.3.0"


def test_a_stack_that_is_at_work_in_another_namespace_does_not_move() -> None:
    known = FakeCluster(others=[("Job", "ledger-1-1-0-migrate", "old"), ("Service", "ledger", "old")])
    with pytest.raises(Moved, match=r"namespace old \(Job ledger-1-1-0-migrate and 1 more\).*say dev"):
        declare({"ledger": ledger()}, known)


def test_the_namespace_outlives_the_stack_with_the_records_of_its_databases() -> None:
    assert declare({"ledger": ledger()})["Namespace/dev"].retained
    without = {"wallets": {"image": "example.org/wallets", "version": "1.0.0", "database": False}}
    assert not declare(without, postgres=None)["Namespace/dev"].retained


def test_a_downgrade_that_was_asked_for_is_declared() -> None:
    assert DEPLOYMENT in declare({"ledger": ledger(allowDowngrade=True)}, FakeCluster(versions={"ledger": "1.2.0"}))
