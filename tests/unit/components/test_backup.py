"""Backups as they are planned and followed, without a cluster; tests/cluster/test_backup.py has the real thing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from components.backing_up import BackedUp, Backups
from components.backup import Backup, Place, claim, listing, making, restoring
from components.errors import BackupFailed
from components.names import Owner
from components.rehearsing import Container, PodState
from settings import ModuleSettings, Version
from tests.unit.components.declared import declare, ledger

OWNER = Owner("organization", "rollout", "dev")
PLACE = Place("dev", OWNER, "uid")
ENV: list[dict[str, Any]] = [
    {"name": "POSTGRES_DATABASE", "value": "dev-ledger"},
    {"name": "POSTGRES_URI", "valueFrom": {"secretKeyRef": {"name": "s", "key": "uri"}}},
]


def planned(**settings: Any) -> Backup:
    module = ModuleSettings(image="example.org/ledger", version="1.1.0", **{"backup": "pvc", **settings})
    return Backup("ledger", Version("1.1.0"), module, ENV, "migrator:1")


def container(job: Mapping[str, Any]) -> Mapping[str, Any]:
    [found] = job["spec"]["template"]["spec"]["containers"]
    return dict(found)


def test_backups_change_no_resource_of_a_stack() -> None:
    off = declare({"ledger": ledger()})
    on = declare({"ledger": ledger(backup="pvc")})
    assert off.keys() == on.keys()
    [migration] = [name for name in on if name.endswith("-migrate")]
    assert on[migration].hooks["before_create"] == [*off[migration].hooks["before_create"], "back-up-ledger"]
    for name in off:
        before, after = dict(off[name].inputs), json.loads(json.dumps(on[name].inputs, default=str))
        if name == migration:
            annotations = after["spec"]["template"]["metadata"].pop("annotations")
            assert annotations == {"rollout.formance.com/backup": "pvc"}, "which is ignored, so that it changes no Job"
        assert json.loads(json.dumps(before, default=str)) == after


def test_the_job_is_bounded_restricted_and_in_no_selector() -> None:
    backup = planned(backups={"deadlineSeconds": 77, "memoryLimit": "1Gi", "keep": 9})
    for job in (
        making(backup, "1.0.0", PLACE),
        listing(backup, PLACE),
        restoring(backup, "x", True, PLACE),
    ):
        spec = job["spec"]
        pod = spec["template"]["spec"]
        assert (spec["activeDeadlineSeconds"], spec["backoffLimit"], pod["restartPolicy"]) == (77, 0, "Never")
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert container(job)["securityContext"]["readOnlyRootFilesystem"] is True
        assert container(job)["resources"]["limits"] == {"memory": "1Gi"}
        assert not any(label.startswith("app.kubernetes.io/name") for label in job["metadata"]["labels"])
        assert len(job["metadata"]["name"]) <= 63
        assert {"name": "backups", "mountPath": "/backups"} in container(job)["volumeMounts"]
    args = container(making(backup, "1.0.0", PLACE))["args"]
    assert args[args.index("--serving") + 1 :] == ["1.0.0", "--keep", "9", "--store", "/backups"]
    made = claim(planned(backups={"size": "7Gi"}), "dev", OWNER)
    assert made
    assert "storageClassName" not in made["spec"], "the cluster's own class counts"
    assert made["spec"]["resources"]["requests"]["storage"] == "7Gi"


def where(place: Place, **s3: Any) -> str:
    """The place that the Jobs of a module with backups in S3 are given; all three the same."""
    backup = planned(backup="s3", backups={"s3": {"bucket": "our-backups", **s3}})
    jobs = making(backup, "1.0.0", place), listing(backup, place), restoring(backup, "x", True, place)
    [found] = {args[args.index("--store") + 1] for args in (container(job)["args"] for job in jobs)}
    return str(found)


def test_no_two_stacks_or_clusters_have_one_place_in_a_bucket() -> None:
    assert where(PLACE, prefix="a/b") == f"s3://our-backups/a/b/{OWNER.label}/uid/dev-ledger"
    elsewhere = replace(PLACE, uid="another cluster's")
    other = replace(PLACE, owner=Owner("organization", "other", "dev"))
    assert len({where(place) for place in (PLACE, elsewhere, other)}) == 3


def test_what_another_or_an_earlier_version_has_made_is_restored_from_where_it_is_when_that_is_asked_for() -> None:
    assert where(PLACE, path="dev-ledger") == "s3://our-backups/dev-ledger"
    assert where(PLACE, prefix="p", path="x/y/dev-ledger") == "s3://our-backups/p/x/y/dev-ledger"


def test_whoever_makes_or_restores_backups_knows_whose_the_database_is() -> None:
    for job in (making(planned(), "1.0.0", PLACE), restoring(planned(), "x", False, PLACE)):
        env = {e["name"]: e.get("value") for e in container(job)["env"]}
        assert (env["ROLLOUT_STACK"], env["ROLLOUT_MODULE"]) == (OWNER.label, "ledger")


@dataclass
class FakeCluster:
    """A cluster in which a backup's pod goes through given states."""

    states: list[PodState | str] = field(default_factory=list)
    jobs: set[str] = field(default_factory=set)
    done: list[str] = field(default_factory=list)

    def exists(self, job: str) -> bool:
        return job in self.jobs

    def serving_version(self, module: str) -> str:
        return "1.0.0"

    def namespace_uid(self) -> str:
        return "uid"

    def ensure_claim(self, claim: Mapping[str, Any]) -> None:
        self.done.append(f"claim {claim['metadata']['name']}")

    def clear_jobs(self, labels: Mapping[str, str], seconds: float) -> None:
        self.done.append("cleared")

    def create_job(self, job: Mapping[str, Any]) -> None:
        self.done.append("created")

    def end_job(self, job: str) -> None:
        self.done.append("ended")

    def follow(self, job: str) -> Iterator[PodState | str]:
        yield from self.states

    def log(self, pod: str, container: str) -> Iterator[str]:
        yield from ()

    def tail(self, pod: str, container: str) -> list[str]:
        return [f"log of {container}"]


@dataclass
class Heard:
    lines: list[str] = field(default_factory=list)
    results: list[BackedUp] = field(default_factory=list)

    def backing_up(self, module: str, text: str) -> None:
        self.lines.append(text)

    def backed_up(self, result: BackedUp) -> None:
        self.results.append(result)


def back_up(*states: PodState | str, cluster: FakeCluster | None = None) -> tuple[BackedUp, FakeCluster]:
    cluster = cluster or FakeCluster(list(states))
    heard = Heard()
    clock = iter(float(n) for n in range(0, 1000, 6))
    result = Backups(cluster, "dev", OWNER, heard, lambda: next(clock)).run(planned())
    assert heard.results == [result]
    return result, cluster


def ended(code: int, **words: Any) -> PodState:
    return PodState("p", (Container("backup", exit_code=code, message=json.dumps(words)),))


def test_what_is_left_of_an_earlier_backup_is_cleared_before_the_next_is_made() -> None:
    result, cluster = back_up(ended(0, outcome="backed up"))
    assert result.ok
    assert cluster.done == ["claim ledger-backups", "cleared", "created"]


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (ended(1, outcome="failed", message="the volume is full"), "the volume is full"),
        (PodState("p", (Container("backup", running=True),), reason="DeadlineExceeded"), "did not end within 1800 s"),
        (PodState("p", gone=True), "its pod was removed"),
        ("Job x has no pod: exceeded quota", "exceeded quota"),
    ],
)
def test_a_backup_that_is_not_made_says_why(state: PodState | str, said: str) -> None:
    result, _ = back_up(state)
    assert not result.ok
    assert said in result.words


def test_a_volume_that_is_being_made_is_waited_for_and_an_image_that_is_not_there_is_not() -> None:
    def stuck(reason: str) -> list[PodState | str]:
        return [PodState("p", (Container("backup", waiting=(reason, "why")),))] * 10

    result, _ = back_up(*stuck("Unschedulable"), ended(0, outcome="backed up"))
    assert result.ok
    result, cluster = back_up(*stuck("ImagePullBackOff"), ended(0, outcome="backed up"))
    assert (result.ok, result.words) == (False, "its pod cannot start: ImagePullBackOff: why")
    assert cluster.done[-1] == "ended", "its Job is not left"


def test_where_the_migration_runs_already_nothing_is_backed_up() -> None:
    adopted = FakeCluster(jobs={"job"})
    Backups(adopted, "dev", OWNER).gate(planned(), "job")
    assert adopted.done == []


def test_a_migration_without_a_backup_is_refused_to_the_engine_with_the_cause_and_the_way_out() -> None:
    cluster = FakeCluster([ended(1, outcome="failed", message="disk full", hint="Make the claim larger.")])
    with pytest.raises(
        BackupFailed, match=r"was not touched\. disk full\. Instead: Make the claim larger.*backup: off"
    ):
        Backups(cluster, "dev", OWNER).gate(planned(), "job")


def test_it_runs_where_jobs_are_told_to() -> None:
    placed = making(planned(jobs={"nodeSelector": {"pool": "jobs"}}), "1.0.0", PLACE)
    assert placed["spec"]["template"]["spec"]["nodeSelector"] == {"pool": "jobs"}
    assert placed["metadata"]["name"] == making(planned(), "1.0.0", PLACE)["metadata"]["name"]


def test_what_the_settings_and_the_command_say_is_no_reference_to_a_variable() -> None:
    args = container(restoring(planned(), "$(POSTGRES_PASSWORD)", False, PLACE))["args"]
    assert args[args.index("--backup") + 1] == "$$(POSTGRES_PASSWORD)"
