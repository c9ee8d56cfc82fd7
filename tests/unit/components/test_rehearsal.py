"""Rehearsals as they are planned and judged, without a cluster; tests/cluster/test_rehearsal.py has the real thing."""

from __future__ import annotations

import base64
import json
import random
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from components.errors import RehearsalFailed, StatementsTooLong
from components.names import Owner
from components.rehearsal import Serving, Trial, manifest
from components.rehearsing import Container, PodState, Rehearsals, Rehearsed
from settings import CompatibilitySettings, ModuleSettings, Version

OWNER = Owner("organization", "rollout", "dev")
ENV: list[dict[str, Any]] = [
    {"name": "POSTGRES_DATABASE", "value": "dev-ledger"},
    {"name": "POSTGRES_NO_DATABASE_URI", "valueFrom": {"secretKeyRef": {"name": "new", "key": "no-database-uri"}}},
    {"name": "POSTGRES_URI", "value": "$(POSTGRES_NO_DATABASE_URI)/$(POSTGRES_DATABASE)?sslmode=disable"},
    {"name": "ONLY", "value": "the migration's"},
]
SERVING = Serving(
    "1.1.0",
    {
        "securityContext": {"runAsUser": 7},
        "volumes": [
            {"name": "config", "configMap": {"name": "c"}},
            {"name": "disk", "persistentVolumeClaim": {"claimName": "d"}},
        ],
        "containers": [
            {
                "name": "ledger",
                "image": "example.org/ledger:1.1.0",
                "args": ["serve"],
                "env": [
                    {"name": "POSTGRES_URI", "value": "postgresql://elsewhere/real"},
                    {"name": "QUEUE", "value": "live"},
                    {"name": "CONN", "value": "$(POSTGRES_URI)"},
                ],
                "ports": [{"name": "http", "containerPort": 9000}],
                "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
                "livenessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
                "lifecycle": {"preStop": {"sleep": {"seconds": 3}}},
                "volumeMounts": [{"name": "config", "mountPath": "/c"}, {"name": "disk", "mountPath": "/d"}],
            }
        ],
    },
)


def trial(**settings: Any) -> Trial:
    module = ModuleSettings(image="example.org/ledger", version="1.5.0", **settings)
    container = {"name": "migrate", "image": "example.org/ledger:1.5.0", "args": ["migrate"], "env": ENV}
    return Trial("ledger", Version("1.5.0"), module, container, "migrator:1")


def pod(job: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    spec = job["spec"]["template"]["spec"]
    return {c["name"]: c for c in (*spec["initContainers"], *spec["containers"])}


def values(container: Mapping[str, Any]) -> dict[str, Any]:
    names = [e["name"] for e in container["env"]]
    assert len(names) == len(set(names)), "server-side apply refuses a name that is there twice"
    return {e["name"]: e.get("value", e.get("valueFrom")) for e in container["env"]}


def test_migration_and_serving_version_are_sent_to_the_scratch_database_and_nowhere_else() -> None:
    tried = trial()
    containers = pod(manifest(tried, SERVING, "dev", OWNER))
    for name in ("migrate", "previous"):
        assert values(containers[name])["POSTGRES_DATABASE"] == tried.scratch
        assert values(containers[name])["POSTGRES_URI"] == ENV[2]["value"]
    assert values(containers["prepare"])["POSTGRES_DATABASE"] == "dev-ledger"
    assert values(containers["prepare"])["SCRATCH_DATABASE"] == tried.scratch


def test_a_scratch_database_has_a_name_that_is_no_other_s_and_the_containers_that_make_and_drop_it_know_whose_it_is() -> (
    None
):
    first, second = trial(), trial()
    assert first.scratch != second.scratch
    assert first.scratch.startswith("dev-ledger-rehearsal-")
    containers = pod(manifest(first, SERVING, "dev", OWNER))
    for name in ("hold", "prepare", "judge"):
        env = values(containers[name])
        assert (env["ROLLOUT_STACK"], env["ROLLOUT_MODULE"]) == (OWNER.label, "ledger")
        assert containers[name]["volumeMounts"], "what prepare has made is written down for the two others"


def test_the_serving_version_runs_as_its_deployment_runs_it_but_for_probes_hooks_and_disks() -> None:
    previous = pod(manifest(trial(rehearsal={"env": {"QUEUE": "off"}}), SERVING, "dev", OWNER))["previous"]
    assert (previous["image"], previous["args"], previous["restartPolicy"]) == (
        "example.org/ledger:1.1.0",
        ["serve"],
        "Always",
    )
    assert not {"readinessProbe", "startupProbe", "lifecycle"} & set(previous)
    assert previous["livenessProbe"]["tcpSocket"] == {"port": 61731}, "`hold` answers it, and has it restarted by that"
    assert [m["name"] for m in previous["volumeMounts"]] == ["config"]
    assert previous["securityContext"]["runAsUser"] == 7
    env = values(previous)
    assert (env["QUEUE"], env["CONN"]) == ("off", "$(POSTGRES_URI)")
    assert "ONLY" not in env


def test_the_migration_has_what_rehearsals_have_instead_too() -> None:
    """Whoever names a second database says so for rehearsals, which must not touch that either."""
    migrate = pod(manifest(trial(rehearsal={"env": {"ONLY": "here"}}), SERVING, "dev", OWNER))["migrate"]
    assert values(migrate)["ONLY"] == "here"


def test_a_rehearsal_has_what_the_migration_has_and_a_limit_of_cpu_for_every_container_of_ours() -> None:
    resources = {"requests": {"cpu": "1"}, "limits": {"memory": "4Gi", "cpu": "2"}}
    containers = pod(manifest(trial(migration={"resources": resources}), SERVING, "dev", OWNER))
    assert containers["migrate"]["resources"] == resources
    for name in ("hold", "prepare", "judge"):
        assert containers[name]["resources"]["limits"] == {"memory": "512Mi", "cpu": "2"}


def test_what_consumes_a_queue_is_not_started_a_second_time() -> None:
    containers = pod(manifest(replace(trial(), serves=False), SERVING, "dev", OWNER))
    assert "previous" not in containers
    assert "--not-started" in containers["judge"]["args"]


def test_a_version_none_of_whose_pods_is_ready_does_not_refuse_the_update_that_repairs_it() -> None:
    containers = pod(manifest(trial(), replace(SERVING, ready=False), "dev", OWNER))
    assert "previous" not in containers
    assert "--not-started" in containers["judge"]["args"]


def test_the_serving_version_is_up_and_warm_before_the_migration_begins() -> None:
    spec = manifest(trial(), SERVING, "dev", OWNER)["spec"]["template"]["spec"]
    names = [c["name"] for c in spec["initContainers"]]
    assert names == ["hold", "prepare", "previous", "warm", "migrate"]
    assert [c["name"] for c in spec["containers"]] == ["judge"]
    assert {c["name"] for c in spec["initContainers"] if c.get("restartPolicy") == "Always"} == {"hold", "previous"}


def test_a_port_of_the_modules_own_is_not_taken_for_the_liveness_probe() -> None:
    container = {**SERVING.pod["containers"][0], "ports": [{"name": "http", "containerPort": 61731}]}
    serving = replace(SERVING, pod={**SERVING.pod, "containers": [container]})
    containers = pod(manifest(trial(), serving, "dev", OWNER))
    assert containers["previous"]["livenessProbe"]["tcpSocket"] == {"port": 61732}
    assert containers["hold"]["args"][-1] == "61732"


def test_what_refuses_is_what_the_settings_say(tmp_path: Path) -> None:
    decision = {"rule": "column-*", "object": "public.t.*", "level": "warn", "reason": "nobody reads it"}
    wanted = CompatibilitySettings.model_validate({"default": "warn", "restart": "refuse", "findings": [decision]})
    args = pod(manifest(replace(trial(), compatibility=wanted), SERVING, "dev", OWNER))["judge"]["args"]
    given = json.loads(args[args.index("--policy") + 1])
    assert given == {"default": "warn", "restart": "refuse", "hours": 24.0, "findings": [decision]}


def test_a_file_of_statements_goes_along_compressed_and_one_that_is_too_long_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "statements.sql"
    file.write_text("SELECT 1; " * 10_000)
    tried = trial(rehearsal={"statements": str(file)})
    value = values(pod(manifest(tried, SERVING, "dev", OWNER))["prepare"])["REHEARSAL_STATEMENTS"]
    assert zlib.decompress(base64.b64decode(value)).decode() == file.read_text()
    file.write_bytes(random.Random(1).randbytes(120_000))
    with pytest.raises(StatementsTooLong, match="bytes when compressed"):
        manifest(tried, SERVING, "dev", OWNER)


def test_the_judge_asks_where_the_readiness_probe_asks() -> None:
    args = pod(manifest(trial(rehearsal={"requests": [{"path": "/x"}]}), SERVING, "dev", OWNER))["judge"]["args"]
    assert args[args.index("--port") + 1] == "9000"
    assert args[args.index("--health") + 1] == "/ready"
    assert json.loads(args[args.index("--probes") + 1])[0]["path"] == "/x"
    assert "--contract" not in args


@pytest.mark.parametrize(
    ("since", "serving", "allowed"),
    [(None, "1.1.0", False), ("1.1.0", "1.1.0", True), ("1.1.0", "1.2.0", True), ("1.2.0", "1.1.0", False), ("1.0.0", "main", False)],
)  # fmt: skip
def test_contraction_is_allowed_from_the_serving_version_that_is_declared(
    since: str | None, serving: str, allowed: bool
) -> None:
    assert trial(contractSince=since).contracts(serving) is allowed


def test_the_job_ends_and_goes_by_itself_and_no_selector_finds_its_pod() -> None:
    job = manifest(trial(), SERVING, "dev", OWNER)
    assert {"activeDeadlineSeconds", "ttlSecondsAfterFinished"} <= set(job["spec"])
    assert job["spec"]["backoffLimit"] == 0
    assert not {"app.kubernetes.io/name", "app.kubernetes.io/version"} & set(job["metadata"]["labels"])
    assert len(job["metadata"]["name"]) <= 63


def test_a_long_databases_scratch_has_a_name_of_its_own_that_postgresql_does_not_cut() -> None:
    names = set()
    for end in ("a", "b"):
        env = [{"name": "POSTGRES_DATABASE", "value": "d" * 60 + end}]
        long = Trial("ledger", Version("1.5.0"), trial().settings, {"env": env}, "m")
        names.add(long.scratch)
        assert len(long.scratch) <= 63
        assert re.fullmatch("d+-rehearsal-[0-9a-f]{8}", long.scratch)
    assert len(names) == 2


@dataclass
class FakeCluster:
    """A cluster that tells a prepared story of the rehearsal's pod."""

    states: list[PodState | str] = field(default_factory=list)
    serving: Serving | None = SERVING
    jobs: set[str] = field(default_factory=set)
    created: list[str] = field(default_factory=list)

    def exists(self, job: str) -> bool:
        return job in self.jobs

    def serving_pod(self, module: str) -> Serving | None:
        return self.serving

    def clear_rehearsals(self, module: str, seconds: float) -> None:
        self.created.append("cleared")

    def create_job(self, job: Mapping[str, Any]) -> None:
        self.created.append(job["metadata"]["name"])

    def follow(self, job: str) -> Iterator[PodState | str]:
        yield from self.states

    def tail(self, pod: str, container: str) -> list[str]:
        return [f"log of {container}"]


@dataclass
class Heard:
    lines: list[str] = field(default_factory=list)
    results: list[Rehearsed] = field(default_factory=list)

    def rehearsing(self, module: str, text: str) -> None:
        self.lines.append(text)

    def rehearsed(self, result: Rehearsed) -> None:
        self.results.append(result)


def ended(name: str, code: int, **words: Any) -> PodState:
    return PodState("p", (Container(name, exit_code=code, message=json.dumps(words)),))


def rehearse(*states: PodState | str, cluster: FakeCluster | None = None) -> tuple[Rehearsed | None, Heard]:
    heard = Heard()
    clock = iter(float(n) for n in range(0, 1000, 6))
    made = Rehearsals(cluster or FakeCluster(list(states)), "dev", OWNER, heard, lambda: next(clock))
    return made.run(trial()), heard


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        (ended("judge", 0, outcome="passed"), "passed"),
        (ended("judge", 1, outcome="breaks"), "refused"),
        (ended("judge", 1, outcome="failed"), "impossible"),
        (ended("migrate", 1, outcome="failed"), "migration_failed"),
        (ended("prepare", 1, outcome="failed"), "impossible"),
        (ended("warm", 1, outcome="failed"), "impossible"),
        (PodState("p", (Container("migrate", running=True),), reason="DeadlineExceeded"), "impossible"),
        (
            PodState("p", (Container("previous", exit_code=1, restarts=1, waiting=("CrashLoopBackOff", "")),)),
            "impossible",
        ),
        (PodState("p", gone=True), "impossible"),
        ("Job x has no pod: exceeded quota", "impossible"),
    ],
)
def test_how_a_rehearsal_comes_out(state: PodState | str, outcome: str) -> None:
    result, heard = rehearse(state)
    assert result
    assert result.outcome == outcome
    assert heard.results == [result]


def test_what_cannot_start_is_given_up_and_named() -> None:
    stuck = PodState("p", (Container("migrate", waiting=("ImagePullBackOff", "no such image")),))
    result, _ = rehearse(stuck, stuck, stuck, stuck)
    assert result
    assert (result.outcome, "no such image" in result.words) == ("migration_failed", True)


def test_the_verdict_is_read_whole_from_the_log_which_a_termination_message_may_cut() -> None:
    whole = json.dumps({"outcome": "breaks", "message": "all of it"})

    @dataclass
    class Cluster(FakeCluster):
        def tail(self, pod: str, container: str) -> list[str]:
            return ["a line", whole] if container == "judge" else [f"log of {container}"]

    result, _ = rehearse(
        cluster=Cluster([PodState("p", (Container("judge", exit_code=1, message='{"outcome": "br'),))])
    )
    assert result
    assert (result.outcome, result.words, result.logs) == ("refused", whole, ("log of previous",))
    assert (result.container, result.exit_code) == ("judge", 1)


def test_a_serving_version_that_does_not_start_is_named_with_its_log_and_not_waited_for() -> None:
    crashed = Container("previous", exit_code=3, restarts=1, waiting=("CrashLoopBackOff", "back-off 10s"))
    result, _ = rehearse(PodState("p", (crashed, Container("warm", running=True))))
    assert result
    assert "1.1.0, which serves, does not stay up on a copy of its own schema (exit code 3)" in result.words
    assert (result.container, result.exit_code, result.logs) == ("previous", 3, ("log of previous",))


def test_a_serving_version_that_ends_when_it_is_restarted_at_the_end_leaves_its_log() -> None:
    crashed = Container("previous", exit_code=1, restarts=2, waiting=("CrashLoopBackOff", ""))
    warm = Container("warm", exit_code=0)
    going = PodState("p", (crashed, warm, Container("judge", running=True)))
    words = {"outcome": "passed", "findings": [{"rule": "restart-fails"}]}
    again = replace(crashed, running=True, exit_code=None)  # the kubelet tries once more at that moment
    done = PodState("p", (again, warm, Container("judge", exit_code=0, message=json.dumps(words))))
    result, _ = rehearse(going, done)
    assert result
    assert (result.outcome, result.logs) == ("passed", ("log of previous",))
    result, _ = rehearse(
        going, PodState("p", (again, warm, Container("judge", exit_code=0, message='{"outcome": "passed"}')))
    )
    assert result
    assert result.logs == (), "one that started anew has nothing to say"


def test_at_its_deadline_the_log_of_what_it_was_at_is_there_though_the_pod_is_gone() -> None:
    at = PodState("p", (Container("migrate", running=True),))
    result, _ = rehearse(*[at] * 60, PodState("", gone=True))
    assert result
    assert (result.outcome, result.container, result.logs) == ("impossible", "migrate", ("log of migrate",))
    assert "did not end within 300 s" in result.words


def test_a_refusal_shows_the_log_of_the_version_that_serves() -> None:
    result, _ = rehearse(ended("judge", 1, outcome="breaks"))
    assert result
    assert result.logs == ("log of previous",)


def test_what_is_left_of_an_earlier_rehearsal_is_cleared_before_the_next_is_made() -> None:
    cluster = FakeCluster([ended("judge", 0, outcome="passed")])
    rehearse(cluster=cluster)
    assert cluster.created[0] == "cleared"
    assert len(cluster.created) == 2


def test_where_nothing_serves_or_the_migration_runs_already_nothing_is_rehearsed() -> None:
    nothing = FakeCluster(serving=None)
    Rehearsals(nothing, "dev", OWNER).gate(trial(), "job")
    adopted = FakeCluster(jobs={"job"})
    Rehearsals(adopted, "dev", OWNER).gate(trial(), "job")
    assert nothing.created == adopted.created == []


def test_a_refused_migration_is_said_to_the_engine_with_the_cause_and_the_way_out() -> None:
    words = {"outcome": "breaks", "message": "removed column a.b", "hint": "Drop it later."}
    rehearsals = Rehearsals(FakeCluster([ended("judge", 1, **words)]), "dev", OWNER)
    with pytest.raises(RehearsalFailed, match=r"removed column a\.b\. Instead: Drop it later.*rehearse: off"):
        rehearsals.gate(trial(), "job")


def test_it_runs_where_jobs_are_told_to() -> None:
    digits = "0123abcd"
    job = manifest(replace(trial(jobs={"nodeSelector": {"pool": "jobs"}}), digits=digits), SERVING, "dev", OWNER)
    assert job["spec"]["template"]["spec"]["nodeSelector"] == {"pool": "jobs"}
    assert (
        job["metadata"]["name"] == manifest(replace(trial(), digits=digits), SERVING, "dev", OWNER)["metadata"]["name"]
    )


def test_credentials_beside_the_uri_go_along() -> None:
    beside = {"name": "PGPASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "password"}}}
    own = trial()
    containers = pod(manifest(replace(own, container={**own.container, "env": [*ENV, beside]}), SERVING, "dev", OWNER))
    for name in ("hold", "prepare", "migrate", "previous", "judge"):
        assert beside in containers[name]["env"], name


def test_what_the_settings_say_is_no_reference_to_a_variable() -> None:
    settings = {
        "requests": [{"path": "/x?p=$(POSTGRES_PASSWORD)", "body": "$$(A)"}],
        "tables": ["$(POSTGRES_PASSWORD)"],
    }
    containers = pod(manifest(trial(rehearsal=settings), SERVING, "dev", OWNER))
    for name in ("judge", "prepare"):
        assert not re.search(r"(?<!\$)(?:\$\$)*\$\(", " ".join(containers[name]["args"])), "Kubernetes would expand it"
    [probe] = json.loads(
        containers["judge"]["args"][containers["judge"]["args"].index("--probes") + 1].replace("$$", "$")
    )
    assert (probe["path"], probe["body"]) == ("/x?p=$(POSTGRES_PASSWORD)", "$$(A)")
