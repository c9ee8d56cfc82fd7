"""What the single rules accept and refuse, beyond their examples."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256

import pytest

from policies.images import Image
from policies.kubernetes import matches
from policies.rule import Unknowable
from policies.rules import (
    databases_protected,
    disruption_budget,
    gate,
    images_pinned,
    job_bounded,
    pod_defaults,
    pod_security,
    resources,
    sql_files,
    versioned_names,
    zero_downtime,
)
from policies.values import UNKNOWN, Program, Resource
from tests.unit.policies.manifests import judge, messages, program

CRON_JOB = """
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: "0 3 * * *"
  jobTemplate: {spec: {template: {spec: {containers: [{name: a, image: "a:1.1.0", args: [migrate]}]}}}}
"""


@pytest.mark.parametrize(
    "tag",
    [
        *("latest", "main", "Nightly", "edge", "lts", "v2", "16-alpine", "prod", "production", "release", "test"),
        *("trunk", "rolling", "beta", "current", "latest-alpine", "latest-alpine3.19", "latest-arm64", "main-amd64"),
    ],
)
def test_tags_that_move_are_refused(tag: str) -> None:
    (message,) = messages(images_pinned.RULE, images_pinned.PASSES.replace("1.1.0", tag))
    assert "another image tomorrow" in message


@pytest.mark.parametrize(
    "tag",
    [
        *(
            "1.1.0",
            "v1.1.0-rc.1",
            "16.4",
            "16.4-alpine",
            "1234",
            "1",
            "main-1a2b3c4",
            "main-g1a2b3c4d",
            "main-20240115",
        ),
        *("release-1.2.3", "20240115-1200-b2", "1a2b3c4d5e6f", "mainframe", "stable-20240115"),
    ],
)
def test_tags_of_one_version_are_not(tag: str) -> None:
    assert messages(images_pinned.RULE, images_pinned.PASSES.replace("1.1.0", tag)) == []


def test_a_digest_is_one() -> None:
    (message,) = messages(images_pinned.RULE, images_pinned.PASSES.replace("1.1.0", "latest@sha256:nonsense"))
    assert "sha256:nonsense is no digest" in message


def test_an_image_that_is_mounted_is_pinned_too() -> None:
    volume = "      volumes: [{name: v, image: {reference: 'docker.io/x:latest'}}, {name: w, emptyDir: {}}]\n"
    text = images_pinned.PASSES.replace("      containers:", volume + "      containers:")
    (message,) = messages(images_pinned.RULE, text)
    assert "volume 'v' holds docker.io/x:latest" in message


def test_an_image_without_a_tag_is_latest() -> None:
    (message,) = messages(images_pinned.RULE, images_pinned.PASSES.replace("ledger:1.1.0", "ledger"))
    assert "means latest" in message


def test_a_digest_pins_any_tag_and_may_be_asked_for() -> None:
    pinned = images_pinned.PASSES.replace("1.1.0", "main@sha256:" + "a" * 64)
    assert messages(images_pinned.RULE, pinned, requireDigest=True) == []
    (message,) = messages(images_pinned.RULE, images_pinned.PASSES, requireDigest=True)
    assert "without a digest" in message


@pytest.mark.parametrize(
    ("allowed", "count"), [("example.org", 0), ("example.org/ledger", 0), ("example.or", 1), ("ghcr.io", 1)]
)
def test_registries_are_compared_by_whole_parts(allowed: str, count: int) -> None:
    assert len(messages(images_pinned.RULE, images_pinned.PASSES, registries=[allowed])) == count


@pytest.mark.parametrize(
    ("text", "image"),
    [
        ("ledger", Image("docker.io/library/ledger", None, None)),
        ("a/ledger:1", Image("docker.io/a/ledger", "1", None)),
        ("localhost:5000/a/ledger", Image("localhost:5000/a/ledger", None, None)),
        ("localhost/ledger:1@sha256:ab", Image("localhost/ledger", "1", "sha256:ab")),
    ],
)
def test_image_references_are_taken_apart(text: str, image: Image) -> None:
    assert Image.parse(text) == image


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("backoffLimit: 0", "backoffLimit: 3", "backoffLimit is 3"),
        ("  backoffLimit: 0\n", "", "means 6"),
        ("restartPolicy: Never", "restartPolicy: OnFailure", "OnFailure"),
        ("  activeDeadlineSeconds: 600\n", "", "no activeDeadlineSeconds"),
        ("activeDeadlineSeconds: 600", "activeDeadlineSeconds: 700", "no longer than its deadline"),
        ("  backoffLimit", "  podFailurePolicy: {rules: []}\n  backoffLimit", "podFailurePolicy"),
        ("  backoffLimit", "  backoffLimitPerIndex: 100\n  backoffLimit", "backoffLimitPerIndex"),
        ("  backoffLimit", "  completionMode: Indexed\n  backoffLimit", "completionMode is Indexed"),
        ("  backoffLimit", "  completions: 2\n  backoffLimit", "completions is 2"),
        ("  backoffLimit", "  successPolicy: {rules: [{succeededCount: 1}]}\n  backoffLimit", "successPolicy"),
        ("  backoffLimit", "  managedBy: example.org/queue\n  backoffLimit", "another controller"),
        ("  backoffLimit", "  manualSelector: true\n  backoffLimit", "another Job"),
        ("  backoffLimit", "  suspend: true\n  backoffLimit", "suspended"),
    ],
)
def test_an_unbounded_job_is_refused(old: str, new: str, words: str) -> None:
    (message,) = messages(job_bounded.RULE, job_bounded.PASSES.replace(old, new))
    assert words in message


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["sh", "-c", "migrate up || true"], "ends well"),
        (["sh", "-c", "migrate up || echo failed"], "ends well"),
        (["sh", "-ec", "set -e; migrate up || :"], "ends well"),
        (["bash", "-c", "migrate up; exit 0"], "goes on"),
        (["bash", "-c", "migrate up\necho done\n"], "goes on"),
        (["sh", "-c", "migrate up; true"], "goes on"),
        (["sh", "-c", "migrate up 2>&1 &"], "in the background"),
        (["sh", "-c", "migrate up 2>&1 | tee /tmp/log"], "a pipe"),
        (["sh", "-c", "migrate up"], None),
        (["sh", "-c", "set -e; migrate up; echo done"], None),
        (["sh", "-ec", "migrate up; echo done"], None),
        (["sh", "-e", "-c", "migrate up; echo done"], None),
        (["sh", "-c", "migrate up || exit 1; exit 0"], None),
        (["sh", "-c", "if ! migrate up; then exit 1; fi; echo done"], None),
        (["sh", "-c", "migrate up && echo done"], None),
        (["sh", "-c", "migrate up || { echo failed; exit 1; }"], None),
        (["bash", "-o", "pipefail", "-c", "migrate up 2>&1 | tee /tmp/log"], None),
        (["sh", "-c", "echo yes | migrate up"], None),
        (["migrate", "up", "-note", "fix; true"], None),
    ],
)
def test_a_shell_that_hides_a_failed_migration_is_refused(command: list[str], words: str | None) -> None:
    text = job_bounded.PASSES.replace("args: [migrate]", f"command: {json.dumps(command)}")
    found = messages(job_bounded.RULE, text)
    assert [words in m for m in found if words] == ([True] if words else [])
    split = f"command: {json.dumps(command[:-1])}, args: {json.dumps(command[-1:])}"
    assert messages(job_bounded.RULE, job_bounded.PASSES.replace("args: [migrate]", split)) == found


@pytest.mark.parametrize(
    ("timeouts", "annotation", "words"),
    [
        ("{create: 30}", "660", "create of its CustomTimeouts to '660s'"),
        ("{update: 30}", "660", "update of its CustomTimeouts"),
        ("{create: 1200}", "60", None),
        ("{create: 1200, update: 1200}", "60", None),
        ("{create: 0}", "660", None),
        ("{}", "+660", None),
        ("{}", "660.5", "waits 600 s"),
        ("{}", "11m", "waits 600 s"),
    ],
)
def test_pulumi_waits_for_a_job_as_its_provider_reads_the_timeouts(
    timeouts: str, annotation: str, words: str | None
) -> None:
    text = job_bounded.PASSES.replace('"660"', f'"{annotation}"')
    found = messages(job_bounded.RULE, text.replace("spec:", f"pulumi: {{timeouts: {timeouts}}}\nspec:", 1))
    assert [words in m for m in found if words] == ([True] if words else [])


@pytest.mark.parametrize(
    ("timeouts", "words"),
    [
        ("{delete: 5}", "Pulumi waits 5 s for its deletion"),
        ("{update: 5}", "Pulumi waits 5 s: the cluster's verdict"),
        ("{create: 700, update: 700, delete: 700}", None),
    ],
)
def test_a_custom_timeout_of_a_deployment_counts_before_its_annotation(timeouts: str, words: str | None) -> None:
    text = zero_downtime.PASSES.replace(
        "{name: ledger}\n", '{name: ledger, annotations: {pulumi.com/timeoutSeconds: "660"}}\n', 1
    )
    found = messages(zero_downtime.RULE, text.replace("spec:", f"pulumi: {{timeouts: {timeouts}}}\nspec:", 1))
    assert [words in m for m in found if words] == ([True] if words else [])


def test_an_annotation_of_the_pods_is_none_of_the_job() -> None:
    text = job_bounded.PASSES.replace(', annotations: {pulumi.com/timeoutSeconds: "660"}', "")
    text = text.replace("    spec:\n", '    metadata: {annotations: {pulumi.com/timeoutSeconds: "660"}}\n    spec:\n')
    (message,) = messages(job_bounded.RULE, text)
    assert "waits 600 s" in message


def test_a_job_that_is_no_gate_may_be_as_it_likes() -> None:
    assert messages(job_bounded.RULE, job_bounded.FAILS.replace("[migrate]", "[report]")) == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("          lifecycle: {preStop: {sleep: {seconds: 3}}}\n", "", "no preStop"),
        ("          livenessProbe: {httpGet: {path: /_healthcheck, port: 8080}}\n", "", "no livenessProbe"),
        ("seconds: 3", "seconds: 30", "whole grace period"),
        ('preStop: {sleep: {seconds: 3}}', 'preStop: {exec: {command: [sh, -c, "sleep 45"]}}', "drains for 45 s"),
        ("seconds: 3", "seconds: 0", "no preStop"),
        ("preStop: {sleep: {seconds: 3}}", "preStop: {}", "no preStop"),
        ("readinessProbe: {httpGet: {path: /_healthcheck, port: 8080}}", "readinessProbe: {}", "no readinessProbe"),
        ("livenessProbe: {httpGet: {path: /_healthcheck, port: 8080}}", "livenessProbe: {periodSeconds: 9}", "no livenessProbe"),
        ("livenessProbe: {httpGet: {path: /_healthcheck, port: 8080}}", "livenessProbe: {grpc: {port: 8080}}", None),
        ("GracePeriodSeconds: 30", "GracePeriodSeconds: 0", "killed at once"),
        ("  strategy:", "  paused: true\n  strategy:", "never rolled out"),
        ("type: RollingUpdate", "type: Recreate", "strategy is Recreate"),
        (", maxSurge: 1", "", None),
        ("{maxUnavailable: 0, maxSurge: 1}", "{}", "means 25%"),
        ("terminationGracePeriodSeconds: 30", "terminationGracePeriodSeconds: 900", "for its deletion"),
        ("  strategy:", "  progressDeadlineSeconds: 900\n  strategy:", "verdict would come too late"),
    ],
)  # fmt: skip
def test_what_loses_requests_or_time_is_refused(old: str, new: str, words: str | None) -> None:
    found = messages(zero_downtime.RULE, zero_downtime.PASSES.replace(old, new))
    assert [words in m for m in found if words] == ([True] if words else [])


EXPORTER = zero_downtime.PASSES[zero_downtime.PASSES.index("        - name") :].replace("ledger", "exporter")
BARE = "        - {name: NAME, image: example.org/ledger:1.1.0}\n"


@pytest.mark.parametrize(
    ("deployment", "name", "count"),
    [("ledger", "ledger", 3), ("ledger-1-1-0", "ledger", 3), ("ledger", "tail-logs", 0), ("ledger", "led", 0)],
)
def test_the_container_that_serves_is_judged_beside_one_with_a_port(deployment: str, name: str, count: int) -> None:
    text = zero_downtime.PASSES[: zero_downtime.PASSES.index("        - name")] + BARE.replace("NAME", name) + EXPORTER
    assert len(messages(zero_downtime.RULE, text.replace("{name: ledger}\n", f"{{name: {deployment}}}\n", 1))) == count


def test_a_singleton_is_recreated() -> None:
    single = zero_downtime.PASSES.replace(
        "{name: ledger}\nspec", '{name: ledger, annotations: {rollout.formance.com/singleton: "true"}}\nspec'
    )
    (message,) = messages(zero_downtime.RULE, single)
    assert "two versions of it run at once" in message
    assert (
        messages(
            zero_downtime.RULE,
            single.replace(
                "{type: RollingUpdate, rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}", "{type: Recreate}"
            ),
        )
        == []
    )


def test_the_environment_says_how_many_replicas_there_must_be() -> None:
    one = disruption_budget.PASSES.replace("replicas: 2", "replicas: 1")
    assert messages(disruption_budget.RULE, one) == []
    (message,) = messages(disruption_budget.RULE, one, minReplicas=2)
    assert "asks for 2" in message


def test_an_autoscaler_says_how_many_replicas_there_are() -> None:
    scaler = "---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: s}\nspec: {minReplicas: 3, scaleTargetRef: {name: ledger}}\n"
    assert (
        messages(
            disruption_budget.RULE, disruption_budget.PASSES.replace("  replicas: 2\n", "") + scaler, minReplicas=3
        )
        == []
    )


def test_a_budget_that_blocks_every_drain_is_refused() -> None:
    (message,) = messages(
        disruption_budget.RULE, disruption_budget.PASSES.replace("maxUnavailable: 1", "minAvailable: 2")
    )
    assert "no disruption" in message


APPARMOR = "container.apparmor.security.beta.kubernetes.io/ledger"
PROBE = "{httpGet: {path: /, port: 80, host: 169.254.169.254}}"
TOKEN = "[{name: t, projected: {sources: [{serviceAccountToken: {path: token}}]}}]"
SECURITY = "securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}"


@pytest.mark.parametrize(
    ("tag", "name", "has"),
    [
        ("1.1.0", "1.1.0", True),
        ("1.1.0", "1.1.0-3f9a2b1c", True),
        ("2.0.0-alpha.2", "2.0.0-alpha.2", True),
        ("2.0.0-alpha.2", f"2-0-0-{sha256(b'2.0.0-alpha.2').hexdigest()[:6]}", True),
        ("3f9a2b1c4d5e6f708192a3b4c5d6e7f801234567", "3f9a2b1c4d5e6f70", True),
        ("sha-3f9a2b1c4d5e6f708192", "sha-3f9a2b1c4d5e", True),
        ("2.0.0-alpha.2", "2.0.0-alpha.1", False),
        ("v1.10.0-rc.12", "v1.10.0-rc.11", False),
        ("1.1.0", "1.1.0-rc.1", False),
        ("1.1.0", "1.1.0-rc", False),
        ("1.1.0", "1.1.01", False),
        ("1.1.0", "11.1.0", False),
        ("1", "1.9.9", False),
        ("20240115-1200-b2", "20240115-1200-b1", False),
        ("3f9a2b1c4d5e6f708192a3b4c5d6e7f801234567", "3f9a2b1c4d5f", False),
    ],
)
def test_a_name_has_the_whole_version(tag: str, name: str, has: bool) -> None:
    text = versioned_names.PASSES.replace("ledger:1.1.0", f"ledger:{tag}")
    text = text.replace("name: ledger-1.1.0", f"name: ledger-{name}").replace("[ledger-1.1.0", f"[ledger-{name}")
    found = messages(versioned_names.RULE, text.replace("name: ledger-1-1-0", "generateName: ledger-"))
    assert [f"does not have its version {tag}" in m for m in found] == ([] if has else [True, True])


def test_an_alias_that_makes_one_resource_of_two_versions_is_refused() -> None:
    urn = "urn:pulumi:dev::rollout::kubernetes:apps/v1:Deployment::ledger-"
    text = versioned_names.PASSES.replace("name: ledger-1.1.0,", f'name: ledger-1.1.0, aliases: ["{urn}1.0.0"],')
    (message,) = messages(versioned_names.RULE, text)
    assert "what was named ledger-1.0.0" in message
    assert messages(versioned_names.RULE, text.replace("ledger-1.0.0", "ledger-1.1.0")) == []


@pytest.mark.parametrize(
    ("replicas", "budget", "words"),
    [
        (2, "maxUnavailable: 1", None),
        (2, "minAvailable: 1", None),
        (2, "minAvailable: 50%", None),
        (10, "minAvailable: 51%", None),
        (10, "maxUnavailable: 30%", None),
        (2, "maxUnavailable: 0%", "no disruption"),
        (2, "minAvailable: 51%", "no disruption"),
        (2, "maxUnavailable: 2", "every one of its 2 replicas"),
        (2, 'maxUnavailable: "99%"', "every one"),
        (2, "minAvailable: 0", "every one"),
        (2, "unhealthyPodEvictionPolicy: AlwaysAllow", "every one"),
    ],
)
def test_a_budget_lets_some_pods_go_and_never_all(replicas: int, budget: str, words: str | None) -> None:
    text = disruption_budget.PASSES.replace("replicas: 2", f"replicas: {replicas}")
    found = messages(disruption_budget.RULE, text.replace("maxUnavailable: 1", budget))
    assert [words in m for m in found if words] == ([True] if words else [])


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("{limits: {cpu: 1, memory: 1Gi}}", []),
        ("{requests: {cpu: 0.5, memory: 64Mi}, limits: {memory: 1Gi}}", []),
        ("{requests: {cpu: '0', memory: 0Mi}, limits: {memory: 1Gi}}", ["requests of cpu", "requests of memory"]),
        ("{requests: {cpu: 25m, memory: 64Mi}, limits: {memory: 0}}", ["limits of memory"]),
        ("{limits: {memory: 1Gi}}", ["requests of cpu"]),
    ],
)
def test_a_quantity_of_0_is_none_and_a_limit_is_a_request_too(written: str, words: list[str]) -> None:
    given = "{requests: {cpu: 25m, memory: 64Mi}, limits: {memory: 256Mi}}"
    found = messages(resources.RULE, resources.PASSES.replace(given, written))
    assert [w in m for w, m in zip(words, found, strict=True)] == [True] * len(words)


def test_two_budgets_of_a_pod_are_refused() -> None:
    other = disruption_budget.PASSES.partition("---")[2].replace("{name: ledger}", "{name: every}")
    (message,) = messages(disruption_budget.RULE, f"{disruption_budget.PASSES}---{other}")
    assert "PodDisruptionBudget 'ledger' and PodDisruptionBudget 'every' select its pods" in message


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("      automountServiceAccountToken: false\n", "", "token"),
        ("runAsNonRoot: true, ", "", "may run as root"),
        ("      containers:", "      hostNetwork: true\n      containers:", "network"),
        ("      containers:", "      volumes: [{name: v, hostPath: {path: /}}]\n      containers:", "hostPath"),
        ("drop: [ALL]", "drop: [ALL], add: [SYS_ADMIN]", "SYS_ADMIN"),
        ("{runAsNonRoot", "{windowsOptions: {hostProcess: true}, runAsNonRoot", "hostProcess of its pods is True"),
        ("{allowPr", "{windowsOptions: {hostProcess: true}, allowPr", "hostProcess of container 'ledger' is True"),
        ("{runAsNonRoot", "{seLinuxOptions: {type: spc_t}, runAsNonRoot", "spc_t"),
        ("{allowPr", "{seLinuxOptions: {user: system_u}, allowPr", "system_u"),
        ("{runAsNonRoot", "{appArmorProfile: {type: Unconfined}, runAsNonRoot", "Unconfined"),
        ("{runAsNonRoot", '{sysctls: [{name: kernel.msgmax, value: "1"}], runAsNonRoot', "kernel.msgmax"),
        ("{app: ledger}}\n    s", f"{{app: ledger}}, annotations: {{{APPARMOR}: unconfined}}}}\n    s", "unconfined"),
        ("        - name", f"        - livenessProbe: {PROBE}\n          name", "livenessProbe of container 'ledger'"),
        ("        - name", f"        - lifecycle: {{postStart: {PROBE}}}\n          name", "node ask 169.254.169.254"),
        ("      containers:", f"      volumes: {TOKEN}\n      containers:", "volume 't' has a token"),
    ],
)
def test_what_the_restricted_standard_refuses_is_refused(old: str, new: str, words: str) -> None:
    (message,) = messages(pod_security.RULE, pod_security.PASSES.replace(old, new))
    assert words in message


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{runAsNonRoot", "{seLinuxOptions: {type: container_t, level: 's0:c1'}, runAsNonRoot"),
        ("{runAsNonRoot", '{sysctls: [{name: net.ipv4.tcp_syncookies, value: "1"}], runAsNonRoot'),
        ("        - name", "        - livenessProbe: {httpGet: {path: /, port: 80}}\n          name"),
        ("      containers:", f"      volumes: {TOKEN.replace('path', 'audience: vault, path')}\n      containers:"),
        (SECURITY, "securityContext: {}\n      os: {name: windows}"),
    ],
)
def test_what_the_restricted_standard_allows_is_not(old: str, new: str) -> None:
    assert old in pod_security.PASSES
    assert messages(pod_security.RULE, pod_security.PASSES.replace(old, new)) == []


def test_a_patch_is_judged_by_what_it_sets() -> None:
    patch = """
apiVersion: apps/v1
kind: DeploymentPatch
metadata: {name: ledger}
spec: {template: {spec: {containers: [{name: ledger}]}}}
"""
    assert messages(pod_security.RULE, patch) == []
    privileged = patch.replace("{name: ledger}]", "{name: ledger, securityContext: {privileged: true, runAsUser: 0}}]")
    privileged = privileged.replace("{containers", "{hostNetwork: true, automountServiceAccountToken: true, containers")
    assert len(messages(pod_security.RULE, privileged)) == 4


def test_defaults_fill_in_what_is_missing_and_change_nothing_that_is_written() -> None:
    bare = images_pinned.PASSES.replace("    spec:\n", "    spec:\n      securityContext: {runAsNonRoot: false}\n")
    assert pod_defaults.RULE.defaults is not None
    (deployment,) = program(bare).resources
    filled = {".".join(str(s) for s in path[3:]): value for path, value in pod_defaults.RULE.defaults(deployment)}
    assert filled == {
        "automountServiceAccountToken": False,
        "securityContext.seccompProfile": {"type": "RuntimeDefault"},
        "containers.0.securityContext.allowPrivilegeEscalation": False,
        "containers.0.securityContext.capabilities": {"drop": ["ALL"]},
    }


ALL_DEFAULTS = {
    "automountServiceAccountToken",
    "securityContext.runAsNonRoot",
    "securityContext.seccompProfile",
    "containers.0.securityContext.allowPrivilegeEscalation",
    "containers.0.securityContext.capabilities",
}


@pytest.mark.parametrize("containers", [True, [None], [UNKNOWN], UNKNOWN, {"a": 1}, [{"securityContext": 1}]])
def test_what_has_another_form_is_not_completed(containers: object) -> None:
    assert pod_defaults.RULE.defaults is not None
    (deployment,) = program(images_pinned.PASSES).resources
    odd = replace(deployment, props={"spec": {"template": {"spec": {"containers": containers}}}})
    assert [path for path, _ in pod_defaults.RULE.defaults(odd) if "containers" in path] == []


@pytest.mark.parametrize(
    ("old", "new", "left_out"),
    [
        ("1.1.0", "1.1.0", set()),
        ("{name", "{securityContext: {privileged: true}, name", {"allowPrivilegeEscalation", "capabilities"}),
        ("{name", "{securityContext: {capabilities: {add: [CAP_SYS_ADMIN]}}, name", {"allowPrivilegeEscalation", "capabilities"}),
        ("{name", "{securityContext: {runAsUser: 0}, name", {"runAsNonRoot"}),
        ("containers:", "securityContext: {runAsUser: 0}\n      containers:", {"runAsNonRoot"}),
        ("containers:", "serviceAccountName: controller\n      containers:", {"automountServiceAccountToken"}),
        ("containers:", "os: {name: windows}\n      containers:", ALL_DEFAULTS),
        ("containers:", "securityContext: {windowsOptions: {hostProcess: true}}\n      containers:", ALL_DEFAULTS),
    ],
)  # fmt: skip
def test_a_default_that_contradicts_what_is_written_is_left_out(old: str, new: str, left_out: set[str]) -> None:
    assert pod_defaults.RULE.defaults is not None
    head, spec, containers = images_pinned.PASSES.partition("    spec:\n")
    (deployment,) = program(head + spec + containers.replace(old, new, 1)).resources
    filled = {".".join(str(s) for s in path[3:]) for path, _ in pod_defaults.RULE.defaults(deployment)}
    assert filled == {d for d in ALL_DEFAULTS if d not in left_out and d.rpartition(".")[2] not in left_out}


@pytest.mark.parametrize(
    "command",
    [
        ["psql", "-c", "DROP  DATABASE x"],
        ["psql", "-c", "DROP\nSCHEMA x CASCADE"],
        ["psql", "-c", "drop table accounts cascade"],
        ["dropdb", "x"],
        ["rake", "db:drop"],
        ["rails", "db:reset"],
        ["php", "artisan", "migrate:fresh"],
        ["prisma", "migrate", "reset", "--force"],
        ["alembic", "downgrade", "base"],
        ["flyway", "-url=jdbc:postgresql://db/x", "clean"],
    ],
)
def test_a_job_that_drops_a_database_is_refused(command: list[str]) -> None:
    for text in (job_bounded.PASSES, CRON_JOB):
        (message,) = messages(databases_protected.RULE, text.replace("[migrate]", json.dumps(command)))
        assert "drops a database" in message


@pytest.mark.parametrize(
    "command",
    [
        ["mysqldump", "--add-drop-database", "x"],
        ["psql", "-c", "drop table tmp_import"],
        ["rake", "db:migrate"],
        ["alembic", "upgrade", "head"],
        ["truncate", "-s", "0", "/var/log/x"],
        ["psql", "-c", "DELETE FROM sessions WHERE ended < now() - interval '30 days'"],
    ],
)
def test_a_job_that_drops_no_database_is_not(command: list[str]) -> None:
    for text in (job_bounded.PASSES, CRON_JOB):
        assert messages(databases_protected.RULE, text.replace("[migrate]", json.dumps(command))) == []


@pytest.mark.parametrize(
    ("token", "holds_data"),
    [
        ("azure-native:dbforpostgresql/v20221201:Server", True),
        ("azure-native:dbforpostgresql:Server", True),
        ("azure-native_dbforpostgresql_v20221201:dbforpostgresql:Server", True),
        ("azure-native:sql:Database", True),
        ("azure:postgresql/flexibleServer:FlexibleServer", True),
        ("azure:cosmosdb/mongoDatabase:MongoDatabase", True),
        ("aws:rds/instance:Instance", True),
        ("aws:rds/globalCluster:GlobalCluster", True),
        ("aws:docdb/cluster:Cluster", True),
        ("aws:dynamodb/table:Table", True),
        ("aws:efs/fileSystem:FileSystem", True),
        ("aws:ebs/volume:Volume", True),
        ("gcp:alloydb/cluster:Cluster", True),
        ("gcp:spanner/instance:Instance", True),
        ("gcp:sql/databaseInstance:DatabaseInstance", True),
        ("kubernetes:postgres-operator.crunchydata.com/v1beta1:PostgresCluster", True),
        ("kubernetes:pxc.percona.com/v1:PerconaXtraDBCluster", True),
        ("kubernetes:postgresql.cnpg.io/v1:Database", True),
        ("kubernetes:core/v1:PersistentVolume", True),
        ("mysql:index/database:Database", True),
        ("digitalocean:index/databaseCluster:DatabaseCluster", True),
        ("aws:rds/clusterInstance:ClusterInstance", False),
        ("aws:rds/parameterGroup:ParameterGroup", False),
        ("azure:postgresql/flexibleServerFirewallRule:FlexibleServerFirewallRule", False),
        ("azure-native:dbforpostgresql:FirewallRule", False),
        ("kubernetes:pxc.percona.com/v1:PerconaXtraDBClusterBackup", False),
        ("kubernetes:core/v1:ConfigMap", False),
    ],
)
def test_what_holds_data_is_protected(token: str, holds_data: bool) -> None:
    for protect, count in ((False, int(holds_data)), (True, 0)):
        resource = Resource(token, "x", "urn", {}, protect=protect)
        assert len(judge(databases_protected.RULE, Program((resource,)))) == count


def test_a_cron_job_empties_no_table() -> None:
    truncate = json.dumps(["psql", "-c", "TRUNCATE TABLE accounts"])
    (message,) = messages(databases_protected.RULE, CRON_JOB.replace("[migrate]", truncate))
    assert "empties a table" in message
    assert messages(databases_protected.RULE, job_bounded.PASSES.replace("[migrate]", truncate)) == []


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ({"key": "a", "operator": "In", "values": ["1", "2"]}, True),
        ({"key": "a", "operator": "NotIn", "values": ["1"]}, False),
        ({"key": "b", "operator": "Exists"}, False),
        ({"key": "b", "operator": "DoesNotExist"}, True),
    ],
)
def test_selectors_match_as_in_kubernetes(expression: dict[str, object], holds: bool) -> None:
    assert matches({"matchLabels": {"c": "3"}, "matchExpressions": [expression]}, {"a": "1", "c": "3"}) is holds


def test_what_is_not_known_is_told_and_everything_else_is_judged() -> None:
    job, deployment = program(gate.FAILS).resources
    container = {"name": "ledger", "image": UNKNOWN}
    unknown = replace(
        deployment, props={**deployment.props, "spec": {"template": {"spec": {"containers": [container]}}}}
    )
    ungated, unknowable = judge(gate.RULE, Program((job, unknown)))
    assert "waits for no migration" in str(ungated)
    assert unknowable == Unknowable(unknown.urn, "image")
    waiting = replace(unknown, dependencies=(job.urn,))
    assert judge(gate.RULE, Program((job, waiting))) == [unknowable]
    (job,) = program(job_bounded.FAILS).resources
    spec = {**job.props["spec"], "backoffLimit": UNKNOWN}
    found = judge(job_bounded.RULE, Program((replace(job, props={**job.props, "spec": spec}),)))
    assert {type(f).__name__ for f in found} == {"Unknowable", "Violation"}


def test_sql_files_are_told_with_file_line_and_rule() -> None:
    (message,) = messages(sql_files.RULE, sql_files.FAILS)
    assert "devkit/sample/sql/1.5.0/0150_drop_reference.sql:3: Dropping a column" in message
    assert "ban-drop-column" in message


def test_sql_files_that_are_applied_everywhere_are_not_read() -> None:
    assert messages(sql_files.RULE, sql_files.FAILS, after=150) == []


def test_sql_findings_below_the_level_do_not_count() -> None:
    assert messages(sql_files.RULE, sql_files.FAILS, level="error") == []


def test_sql_files_that_are_not_there_are_no_clean_ones() -> None:
    (message,) = messages(sql_files.RULE, sql_files.PASSES.replace("1.1.0}", "9.9.9}"))
    assert "cannot be read" in message
