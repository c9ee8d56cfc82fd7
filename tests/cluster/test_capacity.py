"""What keeps pods from being made, ends them, or makes them fewer is said, and soon: quotas, limits, memory, replicas set by hand."""

from __future__ import annotations

import json
import time

import pytest
from lightkube.models.autoscaling_v1 import ScaleSpec
from lightkube.models.core_v1 import ResourceQuotaSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ResourceQuota

from tests.cluster.stacks import WITNESSED, Stack

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]


def quota(stack: Stack, **hard: str) -> None:
    limits = ResourceQuotaSpec(hard={name.replace("_", "."): value for name, value in hard.items()})
    stack.api.create(ResourceQuota(metadata=ObjectMeta(name="small", namespace=stack.name), spec=limits))


def test_a_quota_that_forbids_the_migration_s_pod_is_told_within_seconds(stack: Stack) -> None:
    """After timescale/helm-charts#259 and Kong/charts#264: it was waited for until the Job's deadline, 120 s here."""
    stack.deployed("1.0.0")
    quota(stack, pods="1")
    begun = time.monotonic()
    code, verdict = stack.up("1.1.0")
    assert (code, verdict["outcome"]) == (3, "migration_failed"), json.dumps(verdict, indent=1)
    assert "has no pod: FailedCreate: " in str(verdict["modules"][0]["job"])
    assert "exceeded quota: small" in str(verdict["modules"][0]["job"])
    assert time.monotonic() - begun < 60
    assert stack.serving() == "1.0.0"
    stack.api.delete(ResourceQuota, "small", namespace=stack.name)
    stack.deployed("1.1.0")


def test_a_quota_that_forbids_a_pod_of_the_new_version_is_told_before_its_deadline(stack: Stack) -> None:
    """After Shopify/krane#173. The migration's pod has ended by then, and is not counted."""
    stack.configure(replicas=2, progressDeadlineSeconds=120)
    stack.deployed("1.0.0")
    quota(stack, pods="3")
    begun = time.monotonic()
    code, verdict = stack.up("1.1.0")
    assert (code, verdict["outcome"]) == (4, "rollout_failed"), json.dumps(verdict, indent=1)
    assert "exceeded quota: small" in verdict["modules"][0]["detail"]
    assert time.monotonic() - begun < 90
    assert stack.serving() == "1.0.0"


def test_a_quota_for_cpu_admits_the_pods_of_a_migration_that_has_a_limit_of_it(stack: Stack) -> None:
    """After camunda/camunda-platform-helm#6030."""
    cpu = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"cpu": "500m", "memory": "256Mi"}}
    migration = {**WITNESSED["migration"], "resources": cpu}
    stack.configure(resources=cpu, migration=migration, rehearse="schema")
    stack.deployed("1.0.0")
    quota(stack, limits_cpu="8")
    verdict = stack.deployed("1.1.0")
    assert verdict["modules"][0]["rehearsal"]["outcome"] == "passed"


def test_a_migration_that_is_killed_for_its_memory_says_so_and_runs_again_with_more(stack: Stack) -> None:
    """After helm/charts#12771."""
    stack.deployed("1.0.0")
    little = {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "16Mi"}}
    stack.configure(migration={"activeDeadlineSeconds": 120, "witness": False, "resources": little})
    code, verdict = stack.up("1.1.0")
    assert (code, verdict["outcome"]) == (3, "migration_failed"), json.dumps(verdict, indent=1)
    job = verdict["modules"][0]["job"]
    assert "OOMKilled" in str(job), job
    assert "migration.resources" in str(job), job
    stack.configure(migration={"activeDeadlineSeconds": 120, "witness": False})
    verdict = stack.deployed("1.1.0")
    jobs = stack.job_uids()
    more = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}}
    stack.configure(migration={"activeDeadlineSeconds": 120, "witness": False, "resources": more})
    code, verdict = stack.up()
    assert (code, stack.job_uids()) == (0, jobs), "one that has succeeded runs no second time for it"


def test_replicas_that_were_set_by_hand_are_told_before_the_new_version_has_fewer(stack: Stack) -> None:
    """After cloudfoundry-community/cf-blue-green-deploy#19."""
    stack.deployed("1.0.0")
    scale = Deployment.Scale(metadata=ObjectMeta(name="ledger-1-0-0", namespace=stack.name), spec=ScaleSpec(replicas=2))
    stack.api.replace(scale, "ledger-1-0-0", namespace=stack.name)
    code, verdict = stack.workspace.rollout("preview", "--set", "ledger=1.1.0")
    assert code == 0
    told = "fewer replicas: ledger 1.0.0 serves with 2, and 1.1.0 gets 1"
    assert any(told in notice for notice in verdict["notices"]), verdict["notices"]
    assert any(told in notice for notice in stack.deployed("1.1.0")["notices"])
