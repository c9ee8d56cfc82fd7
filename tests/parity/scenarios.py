"""The scenarios: what the program is told, which commands run one after another, and what goes wrong meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Command = tuple[str, ...]
Via = Literal["command", "local", "inline"]


@dataclass(frozen=True)
class Meanwhile:
    """What happens while a command runs, once the cluster shows a text.

    Attributes:
        get: arguments of ``kubectl get``.
        shows: the text in its output that is waited for.
        after: seconds from then until it happens.
        signal: is sent to the engine and all it has started.
        run: a second command.
    """

    get: str
    shows: str
    after: float = 0.5
    signal: Literal["", "SIGINT", "SIGTERM", "SIGKILL"] = ""
    run: Command = ()


@dataclass(frozen=True)
class Step:
    """First the cluster, files and the program's value are changed, then a command runs.

    Attributes:
        run: arguments of ``pulumi``; through the Automation API, the name of the call.
        spec: the program's value from now on; ``rec`` in names stands for the scenario's namespace.
        kubectl: a change of the cluster.
        write: files of the project, name to text.
        environment: variables of this command.
        meanwhile: what happens while it runs.
    """

    run: Command
    spec: Mapping[str, Any] | None = None
    kubectl: str = ""
    write: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    meanwhile: Meanwhile | None = None


@dataclass(frozen=True)
class Scenario:
    """Steps on one stack that is new at the first of them.

    Attributes:
        via: ``command`` runs the executable; the others call the Automation API, with a local or an inline program.
        quick: ``make test-all`` runs it too.
        alone: its limits are a few seconds, so nothing runs beside it.
        open: what the CLI itself does in either way: pattern of the difference's place to the reason.
    """

    name: str
    steps: tuple[Step, ...]
    via: Via = "command"
    quick: bool = False
    alone: bool = False
    open: Mapping[str, str] = field(default_factory=dict)


def module(name: str = "ledger", version: str = "1", **more: Any) -> dict[str, Any]:
    return {"name": name, "version": version, "upsert": True, "replaceUnready": "true", **more}


def modules(*of: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"modules": list(of), **more}


def ledger(version: str = "1", **more: Any) -> dict[str, Any]:
    return modules(module(version=version, **more))


UPDATES = ("up", "preview", "destroy", "refresh")
UP: Command = ("up", "--yes", "--skip-preview")
DESTROY: Command = ("destroy", "--yes", "--skip-preview")
REFRESH: Command = ("refresh", "--yes", "--skip-preview")
CANCEL: Command = ("cancel", "--yes")
V1, V2, V3 = ledger(), ledger("2"), ledger("3")
V2_FAILS = ledger("2", migrate="fail")
NEVER_READY = ledger("2", ready=False, timeout=10)
FLAG = "create configmap flag --from-literal=ok=1"
SERVE = "trap 'exit 0' TERM; while :; do sleep 0.2; done"
DEAF = "trap '' TERM; while :; do sleep 0.2; done"  # ends only when it is killed
POLICIES = ("--policy-pack", "policies")
CONFIGURED = (*POLICIES, "--policy-pack-config", "pack.json")


def killed(
    get: str, shows: str, after: float = 3, signal: Literal["SIGINT", "SIGTERM", "SIGKILL"] = "SIGKILL"
) -> Meanwhile:
    return Meanwhile(get, shows, after, signal)


MID_JOB = killed("jobs", "ledger-2")


def pod(label: Mapping[str, str] | None = None) -> dict[str, Any]:
    shell = {"name": "c", "image": "localhost/busybox:1", "command": ["/bin/sh", "-c", SERVE]}
    spec = {"terminationGracePeriodSeconds": 1, "containers": [shell]}
    return {"metadata": {"labels": label}, "spec": spec} if label else {"spec": {"restartPolicy": "Never", **spec}}


def deployment(value: str, *, name: str = "", replicas: int = 0) -> dict[str, Any]:
    label = {"a": value}
    return {
        "objects": {
            "w": {
                "kind": "Deployment",
                **({"metadata": {"name": name}} if name else {}),
                "spec": {
                    **({"replicas": replicas} if replicas else {}),
                    "selector": {"matchLabels": label},
                    "template": pod(label),
                },
            }
        }
    }


def greeting(who: str, trigger: str) -> dict[str, Any]:
    hello = {"create": "echo created $WHO", "update": "echo updated", "delete": "echo deleted"}
    return {"commands": {"hello": {**hello, "environment": {"WHO": who}, "triggers": [trigger]}}}


def call(name: str, spec: Mapping[str, Any] | None = None) -> Step:
    return Step((name,), spec)


_LIFE = (
    call("preview", V1),
    call("up", V1),
    call("preview", V2),
    call("up", V2),
    call("up", V2),
    call("up", ledger("3", migrate="fail")),
    call("refresh"),
    call("destroy"),
)

_ALL = (
    Scenario(
        "install-upgrade-noop-destroy",
        (
            Step(("preview", "--json"), V1),
            Step(UP),
            Step(("preview",), V2),
            Step(("preview", "--json")),
            Step(UP),
            Step(UP),
            Step((*UP, "--expect-no-changes")),
            Step(("preview", "--expect-no-changes")),
            Step(DESTROY),
        ),
    ),
    Scenario("failed-migration-halts-and-reverts", (Step(UP, V1), Step(UP, V2_FAILS), Step(UP, V1), Step(UP, V3))),
    Scenario(
        "dead-job-is-only-awaited-again",
        (Step(UP, V1), Step(UP, ledger("2", migrate="flag", replaceUnready=None)), Step(UP, kubectl=FLAG)),
    ),
    Scenario(
        "replace-unready-runs-job-again",
        (Step(UP, V1), Step(UP, ledger("2", migrate="flag")), Step(UP, kubectl=FLAG)),
        quick=True,
    ),
    Scenario(
        "init-error-trigger-runs-job-again",
        (
            Step(UP, V1),
            Step(UP, ledger("2", migrate="flag", replaceUnready=None, replace_on_changes=["#initerror"])),
            Step(UP, kubectl=FLAG),
        ),
    ),
    Scenario(
        "hanging-migration-meets-deadline",
        (Step(UP, V1), Step(UP, ledger("2", migrate="hang", deadline=5))),
        alone=True,
    ),
    Scenario(
        "never-ready-keeps-old",
        (Step(UP, V1), Step(UP, NEVER_READY), Step(UP, V1), Step(UP, NEVER_READY), Step(UP, V3)),
        alone=True,
    ),
    Scenario("settings-change-no-job", (Step(UP, V1), Step(UP, ledger(replicas=2)), Step(("preview", "--diff")))),
    Scenario(
        "versioned-config-follows-gate",
        (
            Step(UP, ledger(config={"A": "1"})),
            Step(UP, ledger("2", migrate="fail", config={"A": "2"})),
            Step(UP, ledger("2", config={"A": "2"})),
            Step(UP, ledger("2", config={"A": "3"})),
        ),
    ),
    Scenario(
        "shared-config-replacement-order",
        (
            Step(UP, ledger(config={"A": "1"}, versionedConfig=False)),
            Step(UP, ledger(config={"A": "2"}, versionedConfig=False)),
        ),
    ),
    Scenario(
        "kill-mid-job-auto-name",
        (
            Step(UP, V1),
            Step(UP, ledger("2", migrate="12", job="auto", upsert=False), meanwhile=MID_JOB),
            Step(UP),
            Step(CANCEL),
            Step(UP),
        ),
    ),
    Scenario(
        "kill-mid-job-explicit-name",
        (
            Step(UP, V1),
            Step(UP, ledger("2", migrate="12", upsert=False), meanwhile=MID_JOB),
            Step(CANCEL),
            Step(UP),
            Step(REFRESH),
        ),
    ),
    Scenario(
        "kill-mid-job-upsert-adopts",
        (
            Step(UP, V1),
            Step(UP, ledger("2", migrate="12"), meanwhile=MID_JOB),
            Step(CANCEL),
            Step(("preview",)),
            Step(UP),
            Step(UP),
        ),
        quick=True,
    ),
    Scenario(
        "kill-mid-rollout",
        (
            Step(UP, V1),
            Step(UP, ledger("2", ready=False, timeout=20), meanwhile=killed("deploy", "ledger-2", 2)),
            Step(CANCEL),
            Step(UP, V2),
            Step(UP),
        ),
    ),
    Scenario(
        "kill-mid-delete",
        (
            Step(UP, ledger(grace=15, serve=DEAF)),
            Step(UP, V2, meanwhile=killed("svc -o wide", "version=2")),
            Step(CANCEL),
            Step(UP),
            Step(UP),
        ),
    ),
    Scenario(
        "interrupt-mid-job",
        (
            Step(UP, V1),
            Step(UP, ledger("2", migrate="12"), meanwhile=killed("jobs", "ledger-2", signal="SIGINT")),
            Step(UP),
        ),
        alone=True,
    ),
    Scenario(
        "terminate-mid-job",
        (
            Step(UP, V1),
            Step(UP, ledger("2", migrate="12"), meanwhile=killed("jobs", "ledger-2", signal="SIGTERM")),
            Step(UP),
        ),
        alone=True,
    ),
    Scenario(
        "two-ups-at-once",
        (Step(UP, V1), Step(UP, ledger("2", migrate="8"), meanwhile=Meanwhile("jobs", "ledger-2", run=UP))),
    ),
    Scenario(
        "one-module-of-two-fails",
        (
            Step(UP, modules(module("a"), module("b"))),
            Step(UP, modules(module("a", "2", migrate="fail"), module("b", "2"))),
            Step(UP, modules(module("a"), module("b", "2"))),
        ),
        open={
            r"[12]/(operations|state|objects)/.*Deployment(::| )b-2.*|[12]/summary/resourceChanges/(create|same)": (
                "a's migration fails at about the moment at which b's succeeds: whether b's Deployment is begun is a race"
            )
        },
    ),
    Scenario(
        "one-of-two-fails-continue-on-error",
        (
            Step(UP, modules(module("a"), module("b"))),
            Step(
                (*UP, "--continue-on-error"),
                modules(module("a", "2", migrate="fail"), module("b", "2", migrate="3")),
            ),
        ),
        open={
            r"1/(diagnostics|operations)/.*::b-1(-migrate)?": (
                "with a's old Deployment gone no state passes its check: whether b's is deleted before that is a race"
            )
        },
    ),
    Scenario(
        "guard-hook-keeps-old-under-continue-on-error",
        (
            Step(UP, modules(module("a"), module("b"), hooks=True)),
            Step(
                (*UP, "--continue-on-error"),
                modules(module("a", "2", migrate="fail"), module("b", "2"), hooks=True),
            ),
            Step(UP, modules(module("a", "2"), module("b", "2"), hooks=True)),
            Step(DESTROY),
            Step((*DESTROY, "--run-program")),
        ),
        quick=True,
    ),
    Scenario(
        "guard-hook-lets-running-job-finish",
        (
            Step(UP, modules(module(), hooks=True)),
            Step(
                UP,
                modules(module(version="2", migrate="12"), hooks=True),
                meanwhile=killed("jobs", "ledger-2", signal="SIGINT"),
            ),
            Step(UP),
        ),
    ),
    Scenario(
        "dependent-module-waits",
        (
            Step(UP, modules(module("a"), module("b", dependsOn=["a"]))),
            Step(UP, modules(module("a", "2", migrate="fail"), module("b", "2", dependsOn=["a"]))),
        ),
    ),
    Scenario(
        "module-removed",
        (Step(UP, modules(module("a"), module("b"))), Step(("preview",), modules(module("a"))), Step(UP)),
    ),
    Scenario(
        "target-one-module",
        (
            Step(UP, modules(module("a"), module("b"))),
            Step(
                (
                    *UP,
                    *("--target", "urn:pulumi:dev::rec::rec:index:Module$*::a*"),
                    *("--target", "**::rec:index:Module::a"),
                    *("--target", "**Service::a"),
                ),
                modules(module("a", "2"), module("b", "2")),
            ),
            Step(UP),
        ),
        quick=True,
        open={
            r"1/operations/.*(Service::b|::b-1|::b-1-migrate)|1/summary/resourceChanges/same": (
                "the update is refused at the Service of a: whether b's was looked at before is a race"
            )
        },
    ),
    Scenario(
        "drift-delete-refresh-up",
        (Step(UP, V1), Step(UP, kubectl="delete deploy -l '!x' --wait=true"), Step(REFRESH), Step(UP)),
    ),
    Scenario(
        "drift-edit",
        (
            Step(UP, V1),
            Step(
                ("preview", "--refresh", "--diff"),
                kubectl="""patch svc ledger -p '{"spec":{"selector":{"version":"9"}}}'""",
            ),
            Step(UP),
            Step((*UP, "--refresh")),
        ),
    ),
    Scenario(
        "protect",
        (
            Step(UP, ledger(protect=True)),
            Step(UP, V2),
            Step(("state", "unprotect", "--all", "--yes")),
            Step(UP),
        ),
    ),
    Scenario("retain-on-delete", (Step(UP, ledger(retain_on_delete=True)), Step(UP, V2))),
    Scenario(
        "ignore-changes",
        (
            Step(UP, ledger(ignore_changes=["spec.replicas"])),
            Step(UP, ledger(replicas=3, ignore_changes=["spec.replicas"])),
        ),
    ),
    Scenario(
        "immutable-selector-change-replaces",
        (Step(UP, deployment("1", name="w")), Step(UP, deployment("2", name="w"))),
    ),
    Scenario("service-await", (Step(UP, ledger(serviceAnnotations={})),)),
    Scenario("already-exists", (Step(UP, V1, kubectl="create service clusterip ledger --tcp=80"),), quick=True),
    Scenario(
        "secrets",
        (
            Step(
                UP,
                {
                    "secrets": {"db": {"password": "canary-1"}},
                    "outputs": {"plain": "x"},
                    "secretOutputs": {"hidden": "canary-2"},
                },
            ),
            Step(("stack", "output", "--json")),
            Step(("stack", "output", "--json", "--show-secrets")),
            Step(("stack", "export")),
            Step(UP),
            Step(("preview",), environment={"PULUMI_CONFIG_PASSPHRASE": "wrong"}),
        ),
    ),
    Scenario(
        "secret-config",
        (
            Step(("config", "set", "--secret", "token", "canary-3"), V1),
            Step(("config", "--json")),
            Step(("config", "--json", "--show-secrets")),
            Step(("config", "get", "token")),
            Step(("config", "rm", "token")),
        ),
    ),
    Scenario(
        "command",
        (
            Step(UP, greeting("me", "1")),
            Step(UP, greeting("you", "1")),
            Step(UP, greeting("you", "2")),
            Step(UP, {"commands": {"bad": {"create": "echo no >&2; exit 3"}}}),
            Step(UP, {}),
        ),
    ),
    Scenario(
        "policy-advisory-and-mandatory",
        (
            Step(("preview", *POLICIES), V1),
            Step((*UP, *POLICIES)),
            Step(("preview", *POLICIES), ledger("2", deadline=700)),
            Step((*UP, *POLICIES)),
        ),
    ),
    Scenario(
        "policy-config",
        (
            Step(
                ("preview", *CONFIGURED),
                V1,
                write={"pack.json": '{"no-hang": {"maxDeadline": 30}, "two-replicas": "mandatory"}'},
            ),
            Step(("preview", *CONFIGURED), ledger(replicas=2, deadline=20)),
        ),
    ),
    Scenario(
        "policy-stack-rule",
        (Step(("preview", *POLICIES), deployment("1", replicas=2)), Step((*UP, *POLICIES))),
    ),
    Scenario(
        "errors-in-the-program",
        (
            Step(UP),
            Step(("preview",), {"raise": "settings are wrong"}),
            Step(UP),
            Step(UP, {"objects": {"c": {"kind": "ConfigMap", "metadata": {"name": "Bad_Name"}, "data": {"a": "b"}}}}),
        ),
    ),
    Scenario("cluster-unreachable", (Step(("preview",), V1, environment={"KUBECONFIG": "/nonexistent"}),)),
    Scenario("image-missing", (Step(UP, ledger(migrateImage="localhost/none:1", deadline=15)),)),
    Scenario(
        "deletion-times-out", (Step(UP, ledger(grace=20, timeout=5, serve=DEAF)), Step(UP, V2), Step(UP)), alone=True
    ),
    Scenario(
        "awaits",
        (
            Step(
                UP,
                {
                    "objects": {
                        "p": {"kind": "Pod", "metadata": {"name": "p"}, **pod()},
                        "s": {
                            "kind": "StatefulSet",
                            "metadata": {"name": "s"},
                            "spec": {
                                "serviceName": "s",
                                "replicas": 2,
                                "selector": {"matchLabels": {"s": "s"}},
                                "template": pod({"s": "s"}),
                            },
                        },
                        "n": {"kind": "Namespace", "metadata": {"name": "rec-extra"}},
                    }
                },
            ),
            Step(UP, {}),
        ),
    ),
    Scenario(
        "stack-commands",
        (
            Step(UP, modules(module(), outputs={"url": "http://x", "n": 3})),
            Step(("version",)),
            Step(("whoami", "--json")),
            Step(("stack", "ls", "--json")),
            Step(("stack", "output", "url")),
            Step(("stack", "output", "--json")),
            Step(("stack", "history", "--json")),
            Step(("stack", "--show-urns")),
            Step(("stack", "export")),
            Step(("plugin", "ls", "--json")),
            Step(("config", "--json")),
            Step(("stack", "select", "none")),
            Step(("stack", "rm", "dev", "--yes")),
            Step(DESTROY),
            Step(("stack", "rm", "dev", "--yes")),
            Step(("stack", "ls", "--json")),
        ),
    ),
    Scenario("automation-local", _LIFE, via="local"),
    Scenario("automation-inline", _LIFE, via="inline"),
)
SCENARIOS: dict[str, Scenario] = {s.name: s for s in _ALL}
