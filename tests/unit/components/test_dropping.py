"""What is made to drop a database, and when. That it is dropped, the tests on the cluster show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pulumi
import pytest

from components.dropping import Drops, dropping
from components.errors import NotDropped
from components.guards import Rules
from components.names import OWNER as OWNER_LABEL
from components.rehearsing import Container, PodState
from tests.unit.components.declared import OWNER, FakeCluster
from tests.unit.components.test_guards import args


class Jobs:
    """A cluster in which a Job's container ends as it is told to."""

    def __init__(self, code: int = 0, words: str = "") -> None:
        self.code, self.words = code, words
        self.made: list[Mapping[str, Any]] = []
        self.forgotten: list[str] = []

    def clear_jobs(self, labels: Mapping[str, str], seconds: float) -> None: ...

    def create_job(self, job: Mapping[str, Any]) -> None:
        self.made.append(job)

    def follow(self, job: str) -> Iterator[PodState | str]:
        yield PodState(job, (Container("drop-database", exit_code=self.code, message=self.words),))

    def end_job(self, job: str) -> None: ...

    def log(self, pod: str, container: str) -> Iterator[str]:
        yield from ()

    def tail(self, pod: str, container: str) -> list[str]:
        return []

    def forget_migrated(self, module: str) -> None:
        self.forgotten.append(module)


def maker(kind: str = "database") -> dict[str, Any]:
    env = [{"name": "POSTGRES_DATABASE", "value": "dev-ledger"}]
    pod = {
        "serviceAccountName": "ledger",
        "containers": [{"name": "create-database", "image": "m:1", "args": ["create-database"], "env": env}],
    }
    labels = {"rollout.formance.com/module": "ledger", "rollout.formance.com/job": kind, OWNER_LABEL: OWNER.label}
    return {
        "kind": "Job",
        "metadata": {"name": "ledger-database-x", "namespace": "dev", "labels": labels},
        "spec": {"activeDeadlineSeconds": 60.0, "template": {"spec": pod}},
    }


def deleted(kind: str, drops: Drops) -> None:
    hook: pulumi.ResourceHookArgs = args(**maker(kind))
    Rules(FakeCluster(), OWNER, last_of_job=drops.before_delete).let_finish(hook)


def test_the_job_that_drops_a_database_is_the_one_that_made_it_with_another_command() -> None:
    made, job = maker(), dropping(maker())
    [before], [container] = (j["spec"]["template"]["spec"].pop("containers") for j in (made, job))
    # An earlier version's maker does not say whose the database is; its labels do.
    owner = [{"name": "ROLLOUT_STACK", "value": OWNER.label}, {"name": "ROLLOUT_MODULE", "value": "ledger"}]
    env = [*before["env"], *owner]
    assert container == {**before, "name": "drop-database", "args": ["drop-database"], "env": env}
    now = maker()
    now["spec"]["template"]["spec"]["containers"][0]["env"] = env
    assert dropping(now)["spec"]["template"]["spec"]["containers"][0]["env"] == env, "no variable is there twice"
    assert job["spec"]["template"]["spec"] == made["spec"]["template"]["spec"]
    assert str(job["spec"]["activeDeadlineSeconds"]) == "60", "the API takes no 60.0"
    assert job["spec"]["backoffLimit"] == 0
    assert job["metadata"]["name"] != made["metadata"]["name"]


def test_a_database_goes_with_its_job_and_its_record_with_it() -> None:
    jobs = Jobs()
    deleted("database", Drops(jobs))
    assert [j["spec"]["template"]["spec"]["containers"][0]["args"] for j in jobs.made] == [["drop-database"]]
    assert jobs.forgotten == ["ledger"]


@pytest.mark.parametrize("kind", ["migrate", "validate", "topics"])
def test_no_other_job_takes_a_database_with_it(kind: str) -> None:
    jobs = Jobs()
    deleted(kind, Drops(jobs))
    assert (jobs.made, jobs.forgotten) == ([], [])


def test_a_database_that_is_still_there_halts_the_destroy_and_keeps_its_record() -> None:
    jobs = Jobs(1, '{"message": "cannot drop database dev-ledger: it is a template", "hint": "Make it none."}')
    with pytest.raises(NotDropped, match=r"dev-ledger was not dropped.*it is a template\. Instead: Make it none"):
        deleted("database", Drops(jobs))
    assert jobs.forgotten == []
