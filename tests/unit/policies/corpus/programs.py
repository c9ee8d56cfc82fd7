"""Whole programs as changes to the one of ``good_program``: what people really write, and ways around the gate."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from policies.values import UNKNOWN, Provider, Resource
from tests.unit.policies.good_program import (
    BUDGET,
    DEPLOYMENT,
    JOB,
    SERVICE,
    Change,
    Resources,
    annotated,
    changed,
    container,
    copied,
    having,
    having_too,
    pod,
    running,
    without,
)

OURS = "rollout.formance.com/"
API, OLD, NEW = (f"ghcr.io/formancehq/api:{v}" for v in ("7.0.0", "6.0.0", "8.0.0"))
PAYMENTS = "ghcr.io/formancehq/payments:7.0.0"
DIGEST, OTHER = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
SECRET = {"valueFrom": {"secretKeyRef": {"name": "db", "key": "url"}}}
STATEFUL, DAEMON, REPLICAS = (f"kubernetes:apps/v1:{k}" for k in ("StatefulSet", "DaemonSet", "ReplicaSet"))
ROLLOUT = "kubernetes:argoproj.io/v1alpha1:Rollout"


def put(key: str, *path: Any, to: Any) -> Change:
    """Sets a property, or removes it where it is set to None."""

    def change(resources: Resources) -> None:
        place: Any = resources[key].props
        for step in path[:-1]:
            place = place.setdefault(step, {}) if isinstance(place, dict) else place[step]
        if to is None:
            del place[path[-1]]
        else:
            place[path[-1]] = copy.deepcopy(to)

    return change


def labels(key: str, **given: str) -> Change:
    return put(
        key,
        "metadata",
        "labels",
        to={
            f"{OURS}{n}" if n in ("job", "module", "version") else f"app.kubernetes.io/{n[1:]}": v
            for n, v in given.items()
        },
    )


def pod_labels(key: str, **given: str) -> Change:
    def change(resources: Resources) -> None:
        resources[key].props["spec"]["template"]["metadata"]["labels"] |= given

    return change


def resource(type_: str, name: str = "x", waits: tuple[str, ...] = (), **props: Any) -> Change:
    def change(resources: Resources) -> None:
        metadata = {"metadata": {"name": name, "namespace": "prod"}} if type_.startswith("kubernetes:") else {}
        urns = tuple(resources[w].urn for w in waits)
        resources[f"x/{name}"] = Resource(type_, name, f"urn::{type_}::{name}", metadata | props, dependencies=urns)

    return change


def both(**fields: Any) -> list[Change]:
    return [running(JOB, **fields), running(DEPLOYMENT, **fields)]


def beside(key: str, first: bool = False, **fields: Any) -> Change:
    """A second container."""

    def change(resources: Resources) -> None:
        bare = {
            k: v
            for k, v in container(resources[key]).items()
            if k not in ("env", "args", "command", *(("ports", "lifecycle") if key == JOB else ()))
        }
        several = pod(resources[key])["containers"]
        several.insert(0 if first else len(several), copy.deepcopy({**bare, **fields}))

    return change


def first(key: str, **fields: Any) -> Change:
    """An init container."""

    def change(resources: Resources) -> None:
        bare = {k: v for k, v in container(resources[JOB]).items() if k not in ("env", "args", "command")}
        pod(resources[key]).setdefault("initContainers", []).append({**bare, **fields})

    return change


def config(name: str = "settings", waits: tuple[str, ...] = (), kind: str = "ConfigMap", **fields: Any) -> Change:
    def change(resources: Resources) -> None:
        urns = tuple(resources[w].urn for w in waits)
        type_ = f"kubernetes:core/v1:{kind}"
        props = {"metadata": {"name": name, "namespace": "prod"}, "data": {"LEVEL": "info"}, **fields}
        resources[f"{kind}/{name}"] = Resource(type_, name, f"urn::{type_}::{name}", props, dependencies=urns)

    return change


USES: dict[str, Any] = {"envFrom": [{"configMapRef": {"name": "settings"}}]}


def versioned(resources: Resources) -> None:
    """Resources of each version's own, labelled as a module's."""
    labels(JOB, job="migrate", module="api", version="7.0.0")(resources)
    annotated(JOB, **{"pulumi.com/replaceUnready": "true"})(resources)
    labels(DEPLOYMENT, _name="api", _version="7.0.0")(resources)
    spec = resources[DEPLOYMENT].props["spec"]
    for place in (
        spec["selector"]["matchLabels"],
        spec["template"]["metadata"]["labels"],
        resources[SERVICE].props["spec"]["selector"],
    ):
        place["app.kubernetes.io/version"] = "7.0.0"
    for key, name in ((JOB, "api-7.0.0-migrate"), (DEPLOYMENT, "api-7.0.0")):
        properties: dict[str, Any] = dict(resources[key].props)
        properties["metadata"] = {**properties["metadata"], "name": name.replace(".", "-")}
        resources[key] = replace(resources[key], props=properties)
        resources[key] = replace(resources[key], name=name)


def renamed(key: str, name: str) -> Change:
    return put(key, "metadata", "name", to=name)


def singleton(resources: Resources) -> None:
    annotated(DEPLOYMENT, singleton="true")(resources)
    resources[DEPLOYMENT].props["spec"].update({"replicas": 1, "strategy": {"type": "Recreate"}})
    without(SERVICE, BUDGET)(resources)
    running(DEPLOYMENT, ports=None)(resources)


def second_module(resources: Resources) -> None:
    """Payments beside the API, with a migration of its own."""
    for key, name in (
        (JOB, "payments-7-migrate"),
        (DEPLOYMENT, "payments"),
        (BUDGET, "payments"),
        (SERVICE, "payments"),
    ):
        copied(key, name)(resources)
    job, deployment = resources["Job/payments-7-migrate"], resources["Deployment/payments"]
    for r in (job, deployment):
        container(r).update(image=PAYMENTS, env=[{"name": "POSTGRES_DB", "value": "payments"}])
    job.props["spec"]["template"]["metadata"]["labels"] = {"job": "payments-migrate"}
    spec = deployment.props["spec"]
    spec["selector"]["matchLabels"] = spec["template"]["metadata"]["labels"] = {"app": "payments"}
    resources["PodDisruptionBudget/payments"].props["spec"]["selector"]["matchLabels"] = {"app": "payments"}
    resources["Service/payments"].props["spec"]["selector"] = {"app": "payments"}
    having("Deployment/payments", waits=["Job/payments-7-migrate"])(resources)
    having("Service/payments", waits=["Deployment/payments"])(resources)


def elsewhere(key: str, namespace: str) -> Change:
    return put(key, "metadata", "namespace", to=namespace)


def all_in(namespace: Any) -> list[Change]:
    return [put(key, "metadata", "namespace", to=namespace) for key in (JOB, DEPLOYMENT, SERVICE, BUDGET)]


def by(**providers: Provider) -> list[Change]:
    keys = {"job": JOB, "deployment": DEPLOYMENT, "service": SERVICE, "budget": BUDGET}
    return [having(keys[name], provider=provider) for name, provider in providers.items()]


def everywhere(provider: Provider) -> list[Change]:
    return by(job=provider, deployment=provider, service=provider, budget=provider)


ONE, ANOTHER = Provider("urn::one", {"context": "prod"}), Provider("urn::another", {"context": "staging"})
NEW_ONE, NEW_TOO = (Provider(f"urn::{n}", {"kubeconfig": UNKNOWN}) for n in ("new", "newer"))

PROXY: dict[str, Any] = {
    "name": "cloud-sql-proxy",
    "image": "ghcr.io/formancehq/cloud-sql-proxy:2.14.1",
    "args": ["--quitquitquit", "shop"],
}
CODE = {
    "name": "code",
    "image": "ghcr.io/formancehq/code:7",
    "args": ["cp"],
    "volumeMounts": [{"name": "code", "mountPath": "/code"}],
}
COPY = [put(k, "spec", "template", "spec", "volumes", to=[{"name": "code", "emptyDir": {}}]) for k in (JOB, DEPLOYMENT)]
MOUNT = both(volumeMounts=[{"name": "code", "mountPath": "/code"}])
INGRESS = "kubernetes:networking.k8s.io/v1:Ingress"


def to(name: str) -> dict[str, Any]:
    return {
        "rules": [{"http": {"paths": [{"path": "/", "backend": {"service": {"name": name, "port": {"number": 80}}}}]}}]
    }


def script(name: str, text: str, kind: str = "ConfigMap") -> list[Change]:
    """A Job that runs a file of the program's own."""
    held = {"configMap": {"name": "scripts"}} if kind == "ConfigMap" else {"secret": {"secretName": "scripts"}}
    field = {"data": {name: text}} if kind == "ConfigMap" else {"data": None, "stringData": {name: text}}
    return [
        config("scripts", kind=kind, **field),
        put(JOB, "spec", "template", "spec", "volumes", to=[{"name": "s", **held}]),
        shell_run(["sh", f"/scripts/{name}"], volumeMounts=[{"name": "s", "mountPath": "/scripts"}]),
        versioned,
    ]


def shell_run(command: list[str], **fields: Any) -> Change:
    """The Job's command, without arguments."""
    return running(JOB, args=None, command=command, **fields)


def shell(text: str, **fields: Any) -> Change:
    return shell_run(["sh", "-c", text], **fields)


def from_config_map(**data: str) -> list[Change]:
    """The Job's variables out of a ConfigMap."""
    given = [{"name": n, "valueFrom": {"configMapKeyRef": {"name": "mode", "key": n}}} for n in data]
    return [config("mode", data=data), running(JOB, env=[{"name": "POSTGRES_DB", "value": "api"}, *given])]


def no_database(**fields: Any) -> list[Change]:
    """A Deployment that says so, and what speaks against it."""
    return [
        without(JOB),
        running(DEPLOYMENT, env=None),
        running(DEPLOYMENT, **fields),
        annotated(DEPLOYMENT, no_database="true"),
    ]


def probed(*command: str, probe: str = "readinessProbe") -> Change:
    return running(DEPLOYMENT, **{probe: {"exec": {"command": list(command)}}})


def cron(args: list[str]) -> Change:
    def change(resources: Resources) -> None:
        spec = copy.deepcopy(pod(resources[JOB]))
        spec["containers"][0]["args"] = args
        job = {"spec": {"template": {"metadata": {"labels": {"a": "nightly"}}, "spec": spec}}}
        resource("kubernetes:batch/v1:CronJob", "nightly", spec={"schedule": "@daily", "jobTemplate": job})(resources)

    return change


BARE = {k: v for k, v in pod(changed().resources[0]).items() if k not in ("containers", "restartPolicy")}
OPERATED = [
    {
        **{k: v for k, v in container(changed().resources[0]).items() if k not in ("args", "env")},
        "name": "own",
        "image": "ghcr.io/formancehq/pgbouncer:1.23.1",
    }
]
HPA = "kubernetes:autoscaling/v2:HorizontalPodAutoscaler"
GOOD: dict[str, list[Change]] = {
    "updated in place": [],
    "a version of its own": [versioned],
    "a version of its own, with its Ingress to the Service of all versions": [versioned, resource(INGRESS, spec=to("api"))],
    "a worker that runs once": [singleton],
    "two modules": [second_module],
    "a StatefulSet": [having(DEPLOYMENT, type=STATEFUL)],
    "a DaemonSet": [having(DEPLOYMENT, type=DAEMON)],
    "a ReplicaSet": [having(DEPLOYMENT, type=REPLICAS)],
    "an Argo Rollout": [having(DEPLOYMENT, type=ROLLOUT)],
    "no database": [without(JOB), running(DEPLOYMENT, env=None), annotated(DEPLOYMENT, no_database="true")],
    "a database that another program migrates": [without(JOB), annotated(DEPLOYMENT, no_database="elsewhere")],
    "a namespace that is generated": all_in(UNKNOWN),
    "a namespace of the provider's": [*all_in(None), *everywhere(Provider("urn::p", {"namespace": "prod"}))],
    "two providers of one cluster": [*everywhere(ONE), *by(job=Provider("urn::again", {"context": "prod"}))],
    "two providers of one new cluster": [*everywhere(NEW_ONE), *by(job=NEW_TOO)],
    "a checksum in the pods' annotations that is an output": [put(DEPLOYMENT, "spec", "template", "metadata", "annotations", to={"checksum/config": UNKNOWN})],
    "the pods' annotations by apply": [put(DEPLOYMENT, "spec", "template", "metadata", "annotations", to=UNKNOWN)],
    "annotations by apply": [put(DEPLOYMENT, "metadata", "annotations", to=UNKNOWN)],
    "a pod label that is an output": [pod_labels(DEPLOYMENT, extra=UNKNOWN)],  # type: ignore[arg-type]
    "images that are outputs": both(image=UNKNOWN),
    "an image that is an output of an unrelated Job": [copied(JOB, "report", running(JOB, image=UNKNOWN, args=["report"]))],
    "arguments with an output": [running(JOB, args=["migrate", "--dsn", UNKNOWN])],
    "replicas that are an output": [put(DEPLOYMENT, "spec", "replicas", to=UNKNOWN)],
    "the digest of both": both(image=f"ghcr.io/formancehq/api@{DIGEST}"),
    "one digest, with and without a tag": [running(JOB, image=f"{API}@{DIGEST}"), running(DEPLOYMENT, image=f"ghcr.io/formancehq/api@{DIGEST}")],
    "a variant of the version that migrates": [running(JOB, image=f"{API}-migrate")],
    "a variant on Alpine": [running(DEPLOYMENT, image=f"{API}-alpine3.20"), running(JOB, image=f"{API}-migrations")],
    "a proxy beside both": [beside(JOB, **PROXY), beside(DEPLOYMENT, **PROXY)],
    "a proxy beside both, of two versions": [beside(JOB, **{**PROXY, "image": "ghcr.io/formancehq/cloud-sql-proxy:2.13.0"}), beside(DEPLOYMENT, **PROXY)],
    "an init container that waits for the database": [first(JOB, name="wait", args=["pg_isready", "-h", "db"]), first(DEPLOYMENT, name="wait", args=["sh", "-c", "until nc -z db 5432; do sleep 1; done"])],
    "init containers of two versions that wait": [first(JOB, name="wait", image="ghcr.io/formancehq/wait:1.35.0"), first(DEPLOYMENT, name="wait", image="ghcr.io/formancehq/wait:1.36.0")],
    "code by an init container": [*COPY, *MOUNT, first(JOB, **CODE), first(DEPLOYMENT, **CODE)],
    "code by an image volume": [*MOUNT, *(put(key, "spec", "template", "spec", "volumes", to=[{"name": "code", "image": {"reference": "ghcr.io/formancehq/code:7"}}]) for key in (JOB, DEPLOYMENT))],
    "k8s-wait-for before it serves": [first(DEPLOYMENT, name="wait", image="ghcr.io/formancehq/k8s-wait-for:2.0.0", args=["job-wr", "api-7-migrate"])],
    "kubectl wait before it serves": [first(DEPLOYMENT, name="wait", args=["kubectl", "wait", "--for=condition=complete", "job/api-7-migrate"])],
    "serves without migrating": [running(DEPLOYMENT, args=["serve", "--migrate=never"])],
    "a timeout that is named for migrations": [running(DEPLOYMENT, args=["serve", "--migrate-lock-timeout=5s"])],
    "a queue that is named so": [running(DEPLOYMENT, args=["worker", "--queue=migrate"])],
    "auto-migrate turned off": [running(DEPLOYMENT, args=["serve", "--auto-migrate=false"])],
    "a status in an init container": [first(DEPLOYMENT, name="look", args=["migrate", "status"])],
    "a labelled Job of another tool": [versioned, running(JOB, args=["upgrade-schema"])],
    "a labelled Job of the image's own entrypoint": [versioned, running(JOB, args=None)],
    "a script in a ConfigMap": script("run.sh", "#!/bin/sh\nset -e\napi migrate\ncurl -XPOST localhost:15020/quitquitquit\n"),
    "a script in a ConfigMap that execs": script("run.sh", "exec api migrate up"),
    "a script in a Secret": script("run.sh", "set -e\napi migrate\ncurl quit\n", "Secret"),
    "a script that waits, and the migration": [*script("wait.sh", "#!/bin/sh\nuntil nc -z db 5432; do sleep 1; done\n"), shell("/scripts/wait.sh && api migrate")],
    "a script of functions without set -e of its own": [*script("lib.sh", "log() { echo \"$@\"; }\nrun() { log \"$@\"; \"$@\"; }\n"), shell("set -e; . /scripts/lib.sh; run api migrate; log migrated")],
    "a script that is copied to be run": [*script("run.sh", "#!/bin/sh\nexec api migrate\n"), shell("cp /scripts/run.sh /tmp/ && chmod +x /tmp/run.sh && /tmp/run.sh")],
    "a script from the folder it is in": [*script("run.sh", "set -e\napi migrate\necho done\n"), shell_run(["sh", "run.sh"], workingDir="/scripts")],
    "arguments out of a ConfigMap": [*from_config_map(MODE="up"), running(JOB, args=["migrate", "$(MODE)"])],
    "arguments out of a variable of another": [running(JOB, env=[{"name": "POSTGRES_DB", "value": "api"}, {"name": "WAY", "value": "up"}, {"name": "MODE", "value": "$(WAY)"}], args=["migrate", "$(MODE)"])],
    "an address put together in the shell": [shell("exec api migrate --dsn \"postgres://db:5432/$POSTGRES_DB?sslmode=require\"")],
    "an address put together in the shell of what is not known": [shell("exec api migrate --dsn \"postgres://$HOST/${NAME}\"", env=None)],
    "the database by a flag": [running(JOB, env=None, args=["migrate", "--db-name", "api"])],
    "the database set in the shell": [shell("export POSTGRES_DB=api; exec api migrate", env=None)],
    "a configuration in a ConfigMap": [*script("alembic.ini", "[alembic]\nscript_location = migrations\n"), running(JOB, command=["alembic", "-c", "/scripts/alembic.ini", "upgrade", "head"])],
    "a changelog in a ConfigMap": [*script("changelog.xml", "<databaseChangeLog>\n</databaseChangeLog>\n"), running(JOB, command=["liquibase", "--changelog-file=/scripts/changelog.xml", "update"])],
    "settings in a ConfigMap": [*script("c.yaml", "log: debug\nport: 1\n"), running(JOB, command=["api", "migrate", "--config", "/scripts/c.yaml"])],
    "every migration waited for": [copied(JOB, "api-7-data", running(JOB, args=["migrate", "data"])), having(DEPLOYMENT, waits=[JOB, "Job/api-7-data"])],
    "the contract after the Deployment": [copied(JOB, "api-7-contract", running(JOB, args=["migrate", "contract"])), having("Job/api-7-contract", waits=[DEPLOYMENT])],
    "a Job that reports": [copied(JOB, "report", running(JOB, args=["report"]))],
    "a Job of another image": [copied(JOB, "warehouse", running(JOB, image="ghcr.io/formancehq/warehouse:1.0.0"))],
    "a CronJob": [cron(["report"])],
    "configuration behind the migration": [config(waits=(JOB,)), running(DEPLOYMENT, **USES)],
    "configuration that the Job uses too": [config(), *both(**USES)],
    "immutable configuration of a hashed name": [config("settings-7d4b9c2f", immutable=True), running(DEPLOYMENT, envFrom=[{"configMapRef": {"name": "settings-7d4b9c2f"}}])],
    "a Secret behind the migration": [config(kind="Secret", waits=(JOB,)), running(DEPLOYMENT, envFrom=[{"secretRef": {"name": "settings"}}])],
    "a patch of metadata": [resource("kubernetes:apps/v1:DeploymentPatch", "patch", metadata={"name": "api", "namespace": "prod", "annotations": {"team": "core"}})],
    "a patch of another program's object": [resource("kubernetes:core/v1:ConfigMapPatch", "coredns", data={"a": "b"})],
    "the database in a ConfigMap": [config("env", data={"POSTGRES_DB": "api"}), running(JOB, env=None, envFrom=[{"configMapRef": {"name": "env"}}])],
    "the database in the arguments": [running(JOB, env=None, args=["migrate", "-database", "postgres://db/api?sslmode=require", "up"])],
    "the database's name out of two Secrets": [running(JOB, env=[{"name": "PGDATABASE", "valueFrom": {"secretKeyRef": {"name": "admin", "key": "db"}}}]), running(DEPLOYMENT, env=[{"name": "PGDATABASE", "valueFrom": {"secretKeyRef": {"name": "app", "key": "db"}}}])],
    "DATABASE_URL out of a Secret": both(env=[{"name": "DATABASE_URL", **SECRET}]),
    "libpq's form in both": both(env=[{"name": "DATABASE_DSN", "value": "host=db dbname=api user=api"}]),
    "Prisma's schema in both": both(env=[{"name": "DATABASE_URL", "value": "postgres://db/api?schema=shop"}]),
    "the pooler for the one and the server for the other": [running(JOB, env=[{"name": "POSTGRES_URI", "value": "postgres://db:5432/api"}]), running(DEPLOYMENT, env=[{"name": "POSTGRES_URI", "value": "postgres://pooler:6432/api"}])],
    "a database beside it": [resource(STATEFUL, "db", spec={"serviceName": "db", "replicas": 1, "selector": {"matchLabels": {"app": "db"}}, "template": {"metadata": {"labels": {"app": "db"}}, "spec": {**pod(changed().resources[0]), "containers": [{**container(changed().resources[0]), "image": "ghcr.io/formancehq/postgres:16.4", "args": ["postgres"], "ports": [{"containerPort": 5432}]}]}}})],
    "a Service of one pod each": [having(DEPLOYMENT, type=STATEFUL), resource("kubernetes:core/v1:Service", "api-0", spec={"selector": {"app": "api", "statefulset.kubernetes.io/pod-name": "api-0"}, "ports": [{"port": 1}]})],
    "Patroni's role": [having(DEPLOYMENT, type=STATEFUL), resource("kubernetes:core/v1:Service", "leader", spec={"selector": {"app": "api", "role": "master"}, "ports": [{"port": 1}]})],
    "Vault's active pod": [having(DEPLOYMENT, type=STATEFUL), resource("kubernetes:core/v1:Service", "active", spec={"selector": {"app": "api", "vault-active": "true"}, "ports": [{"port": 1}]})],
    "an operator's Service": [resource("kubernetes:core/v1:Service", "pg", spec={"selector": {"cnpg.io/cluster": "pg", "role": "primary"}, "ports": [{"port": 5432}]})],
    "the Service that governs a StatefulSet": [having(DEPLOYMENT, type=STATEFUL), put(DEPLOYMENT, "spec", "serviceName", to="api"), put(SERVICE, "spec", "clusterIP", to="None"), put(SERVICE, "spec", "publishNotReadyAddresses", to=True)],
    "an autoscaler": [put(DEPLOYMENT, "spec", "replicas", to=None), resource(HPA, spec={"minReplicas": 2, "scaleTargetRef": {"kind": "Deployment", "name": "api"}})],
    "a Route that waits": [renamed(DEPLOYMENT, "api-7-0-0"), renamed(SERVICE, "api-7-0-0"), resource(INGRESS, waits=(SERVICE,), spec=to("api-7-0-0"))],
    "an HTTPRoute to all versions": [resource("kubernetes:gateway.networking.k8s.io/v1:HTTPRoute", spec={"rules": [{"backendRefs": [{"name": "api", "port": 80}]}]})],
    "a Certificate": [resource("kubernetes:cert-manager.io/v1:Certificate", spec={"secretName": "tls"})],
    "a Prometheus with a sidecar": [resource("kubernetes:monitoring.coreos.com/v1:Prometheus", spec={"containers": [{"name": "thanos", "image": "quay.io/thanos/thanos:v0.36.1"}]})],
    "CloudNativePG's Pooler": [resource("kubernetes:postgresql.cnpg.io/v1:Pooler", spec={"cluster": {"name": "pg"}, "template": {"metadata": {"labels": {"app": "pooler"}}, "spec": {"containers": []}}})],
    "CloudNativePG's Pooler of another image": [resource("kubernetes:postgresql.cnpg.io/v1:Pooler", spec={"cluster": {"name": "pg"}, "template": {"spec": {"containers": [{"name": "pgbouncer", "image": "ghcr.io/formancehq/pgbouncer:1.23.1"}]}}})],
    "an AutoscalingRunnerSet": [resource("kubernetes:actions.github.com/v1alpha1:AutoscalingRunnerSet", spec={"template": {"metadata": {"labels": {"app": "runner"}}, "spec": {**BARE, "containers": OPERATED}}})],
    "Keycloak's podTemplate": [resource("kubernetes:k8s.keycloak.org/v2alpha1:Keycloak", spec={"unsupported": {"podTemplate": {"spec": {"initContainers": [{"name": "themes", "image": "ghcr.io/formancehq/themes:1.2.0"}]}}}})],
    "a dry run of kubectl": [resource("command:local:Command", create="kubectl apply --dry-run=server -f all.yaml && kubectl diff -f all.yaml")],
    "terraform plan": [resource("command:local:Command", create="terraform init && terraform plan -out plan")],
    "outputs of another stack": [resource("command:local:Command", create="pulumi stack output --stack org/net/prod url")],
    "the state of an application": [resource("command:local:Command", create="argocd app get api && argocd app wait api --health")],
    "no database, with an empty host": no_database(env=[{"name": "DB_HOST", "value": ""}]),
    "no database, with a pool size and a host of Redis": no_database(env=[{"name": "DATABASE_POOL_SIZE", "value": "5"}, {"name": "REDIS_DB_HOST", "value": "redis"}]),
    "a pooler, which has none of its own": [*no_database(image="ghcr.io/formancehq/pgbouncer:1.23.1", args=["pgbouncer"], env=[{"name": "DB_HOST", "value": "db"}])],
    "a probe by a command": [probed("sh", "-c", "curl -f localhost:8080/healthz || exit 1")],
    "a probe that looks for a file": [probed("cat", "/tmp/healthy")],
    "a command that asks the cluster": [resource("command:local:Command", create="kubectl get nodes -o name")],
    "a command that builds": [resource("command:local:Command", create="docker build -t x . && docker push x")],
    "a random password": [resource("random:index/randomPassword:RandomPassword", length=20)],
    "counts of tokens": [running(DEPLOYMENT, env=[{"name": "POSTGRES_DB", "value": "api"}, {"name": "MAX_TOKENS", "value": "1048576"}, {"name": "ALLOWED_TOKENS", "value": "USDC,USDT0"}])],
    "where a password is": [running(DEPLOYMENT, env=[{"name": "POSTGRES_DB", "value": "api"}, {"name": "DB_PASSWORD", "value": "ssm:/prod/db"}])],
    "an API's description": [config("openapi", data={"openapi.json": '{"properties": {"password": "string"}}'})],
    "a component around it": [resource("shop:index:Part", "part"), having("x/part", component=True), having(DEPLOYMENT, parent="urn::shop:index:Part::part")],
    "drains by itself": [annotated(DEPLOYMENT, drains="itself"), running(DEPLOYMENT, lifecycle=None)],
    "a probe that looks": [running(DEPLOYMENT, startupProbe={"exec": {"command": ["api", "migrate", "status"]}})],
    "a fuller restore for rehearsals": [copied(JOB, "restore", running(JOB, args=["pg_restore", "-C", "-d", "scratch", "dump"]))],
    "a ScaledJob that works": [resource("kubernetes:keda.sh/v1alpha1:ScaledJob", spec={"jobTargetRef": {"template": {"spec": {"containers": [{"name": "w", "image": API, "args": ["work"]}]}}}})],
    "a provider with options": everywhere(Provider("urn::p", {"enableServerSideApply": "true", "suppressHelmHookWarnings": "true", "skipUpdateUnreachable": "false"})),
}  # fmt: skip

UNSEEN = "command:local:Command"
MIGRATES = {"name": "m", "image": API, "command": ["api", "migrate"]}
UNGATED = having(DEPLOYMENT, waits=[])
REPORT = copied(JOB, "report", running(JOB, args=["report"]))
BAD: dict[str, list[Change]] = {
    "not behind its Job": [UNGATED],
    "no Job": [without(JOB)],
    "no Job, and an unrelated one whose image is an output": [without(JOB), having_too("apiVersion: batch/v1\nkind: Job\nmetadata: {name: seed, namespace: prod}\nspec: {template: {spec: {containers: [{name: seed, args: [seed]}]}}}\n"), put("Job/seed", "spec", "template", "spec", "containers", 0, "image", to=UNKNOWN)],
    "not behind its Job, with annotations by apply": [UNGATED, put(DEPLOYMENT, "metadata", "annotations", to=UNKNOWN)],
    "not behind its Job, with the pods' annotations by apply": [UNGATED, put(DEPLOYMENT, "spec", "template", "metadata", "annotations", to=UNKNOWN)],
    "no Job, with the pods' annotations by apply": [without(JOB), put(DEPLOYMENT, "spec", "template", "metadata", "annotations", to=UNKNOWN)],
    "not behind its Job, in a namespace that is generated": [UNGATED, *all_in(UNKNOWN)],
    "not behind its Job, with an image that is an output": [UNGATED, *both(image=UNKNOWN)],
    "not behind its Job, with labels by apply": [UNGATED, put(JOB, "metadata", "labels", to=UNKNOWN)],
    "not behind its Job, with a selector by apply": [UNGATED, put(DEPLOYMENT, "spec", "selector", to=UNKNOWN)],
    "behind a Job that reports": [without(JOB), having_too("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: prod}\n"), having(DEPLOYMENT, waits=["ConfigMap/c"])],
    "behind another Job only": [REPORT, having(DEPLOYMENT, waits=["Job/report"])],
    "the Job of the version before": [running(JOB, image=OLD)],
    "the Job of another module": [running(JOB, image=PAYMENTS)],
    "the Job of a candidate": [running(JOB, image=f"{API}-rc.1")],
    "the Job of another digest": [running(JOB, image=f"{API}@{OTHER}"), running(DEPLOYMENT, image=f"{API}@{DIGEST}")],
    "the Job's image of the version before, beside a proxy": [running(JOB, image=OLD), beside(JOB, **PROXY), beside(DEPLOYMENT, **PROXY)],
    "a second container of the next version": [beside(DEPLOYMENT, name="worker", image=NEW)],
    "an init container of the next version": [first(DEPLOYMENT, name="prepare", image=NEW)],
    "code of another version by an init container": [*COPY, *MOUNT, first(JOB, **{**CODE, "image": "ghcr.io/formancehq/code:6"}), first(DEPLOYMENT, **CODE)],
    "code of another version by an image volume": [*MOUNT, *(put(k, "spec", "template", "spec", "volumes", to=[{"name": "code", "image": {"reference": f"ghcr.io/formancehq/code:{v}"}}]) for k, v in ((JOB, 6), (DEPLOYMENT, 7)))],
    "the Job in another namespace": [elsewhere(JOB, "other")],
    "the Job in another cluster": [*everywhere(ONE), *by(job=ANOTHER)],
    "a second migration that is not waited for": [copied(JOB, "api-7-data", running(JOB, args=["migrate", "data"]))],
    "the only migration after the Deployment": [UNGATED, having(JOB, waits=[DEPLOYMENT])],
    "the Job of a module's other version": [versioned, labels(JOB, job="migrate", module="api", version="6.0.0")],
    "a property of the Job's": [having(DEPLOYMENT, property_dependencies={"metadata": ("urn:pulumi:dev::rollout::kubernetes:batch/v1:Job::api-7-migrate",)})],
    "a version that is not in its name": [versioned, having(DEPLOYMENT, name="api")],
    "a version that is not in the Job's name": [versioned, having(JOB, name="api-migrate")],
    "a fixed name and the version in the selector": [put(DEPLOYMENT, "spec", "selector", "matchLabels", "version", to="7.0.0"), pod_labels(DEPLOYMENT, version="7.0.0"), put(SERVICE, "spec", "selector", "version", to="7.0.0")],
    "a fixed name and a colour in the selector": [put(DEPLOYMENT, "spec", "selector", "matchLabels", "color", to="green"), pod_labels(DEPLOYMENT, color="green"), put(SERVICE, "spec", "selector", "color", to="green")],
    "a StatefulSet of a fixed name and the tag in the selector": [having(DEPLOYMENT, type=STATEFUL), put(DEPLOYMENT, "spec", "selector", "matchLabels", "rel", to="7.0.0"), pod_labels(DEPLOYMENT, rel="7.0.0"), put(SERVICE, "spec", "selector", "rel", to="7.0.0")],
    "an alias of the version before": [versioned, having(DEPLOYMENT, aliases=("urn:pulumi:dev::rollout::kubernetes:apps/v1:Deployment::api-6.0.0",))],
    "no Deployment behind the migration": [running(DEPLOYMENT, image=OLD), copied(JOB, "api-6", running(JOB, image=OLD)), having(DEPLOYMENT, waits=["Job/api-6"])],
    "an init container that migrates": [first(DEPLOYMENT, name="migrate", args=["migrate"])],
    "a command that migrates and serves": [running(DEPLOYMENT, args=["sh", "-c", "alembic upgrade head && uvicorn app:main"])],
    "migrates when it starts": [running(DEPLOYMENT, args=["serve", "--migrate-on-start"])],
    "postStart migrates": [running(DEPLOYMENT, lifecycle={"postStart": {"exec": {"command": ["api", "migrate"]}}, "preStop": {"sleep": {"seconds": 3}}})],
    "a probe migrates": [running(DEPLOYMENT, startupProbe={"exec": {"command": ["sh", "-c", "api migrate && curl -f localhost:8080"]}})],
    "a CronJob migrates": [cron(["migrate"])],
    "a ScaledJob migrates": [resource("kubernetes:keda.sh/v1alpha1:ScaledJob", spec={"jobTargetRef": {"template": {"spec": {"containers": [MIGRATES]}}}})],
    "a Workflow migrates": [resource("kubernetes:argoproj.io/v1alpha1:Workflow", spec={"templates": [{"container": MIGRATES}]})],
    "a TaskRun migrates": [resource("kubernetes:tekton.dev/v1:TaskRun", spec={"taskSpec": {"steps": [MIGRATES]}})],
    "a labelled Job that sleeps": [versioned, running(JOB, args=["sleep", "5"])],
    "a labelled Job that talks": [versioned, running(JOB, command=["sh", "-c"], args=["echo migrating"])],
    "a labelled Job that stamps": [versioned, running(JOB, args=["alembic", "stamp", "head"])],
    "a labelled Job that looks": [versioned, running(JOB, args=["migrate", "status"])],
    "a labelled Job that hides": [versioned, running(JOB, command=["sh", "-c"], args=["python backfill.py; curl quit"])],
    "a script in a ConfigMap that hides": script("run.sh", "api migrate || true\n"),
    "a script in a ConfigMap that goes on": script("run.sh", "#!/bin/sh\napi migrate\ncurl -XPOST localhost:15020/quitquitquit\n"),
    "a script in a ConfigMap that does nothing": script("run.sh", "echo migrated\n"),
    "a script in a Secret that hides": script("run.sh", "api migrate || true\n", "Secret"),
    "a script by a path of two slashes": [*script("run.sh", "api migrate || true\n"), shell_run(["sh", "//scripts//run.sh"])],
    "a script in the folder that the container begins in": [*script("run.sh", "api migrate || true\n"), shell_run(["sh", "./run.sh"], workingDir="/scripts")],
    "a script behind cd": [*script("run.sh", "api migrate || true\n"), shell("cd /scripts; sh run.sh")],
    "a script that is copied, and hides": [*script("run.sh", "#!/bin/sh\napi migrate || true\n"), shell("cp /scripts/run.sh /tmp/x; chmod +x /tmp/x; exec /tmp/x")],
    "a script that only waits": [*script("wait.sh", "until nc -z db 5432; do sleep 1; done\n"), shell("sh /scripts/wait.sh; echo migrated")],
    "a script whose first line is not read": script("run.sh", "#!/bin/sh -e\napi migrate\ncurl quit\n"),
    "a script that has not the set -e of who runs it": [*script("run.sh", "api migrate\ncurl quit\n"), shell_run(["sh", "-ec", "sh /scripts/run.sh"])],
    "back by a ConfigMap": [*from_config_map(MODE="down"), running(JOB, args=["migrate", "$(MODE)"])],
    "back by a variable of another in a ConfigMap": [*from_config_map(WAY="down"), put(JOB, "spec", "template", "spec", "containers", 0, "env", 0, to={"name": "POSTGRES_DB", "value": "api"}), shell("MODE=$WAY; api migrate $MODE")],
    "back by envFrom": [config("mode", data={"MODE": "down"}), running(JOB, envFrom=[{"configMapRef": {"name": "mode"}}], args=["migrate", "$(MODE)"])],
    "back by a variable of a variable": [running(JOB, env=[{"name": "POSTGRES_DB", "value": "api"}, {"name": "WAY", "value": "down"}, {"name": "MODE", "value": "$(WAY)"}], args=["migrate", "$(MODE)"])],
    "back by a variable in the shell": [shell("api migrate $MODE", env=[{"name": "POSTGRES_DB", "value": "api"}, {"name": "MODE", "value": "down"}])],
    "back by Rails' VERSION": [running(JOB, env=[{"name": "POSTGRES_DB", "value": "api"}, {"name": "VERSION", "value": "0"}], args=["bundle", "exec", "rake", "db:migrate"])],
    "a labelled Job that pauses": [versioned, running(JOB, args=["/pause"])],
    "a labelled Job that asks the database": [versioned, running(JOB, args=["psql", "-c", "select 1"])],
    "a labelled Job that tests": [versioned, running(JOB, args=["pytest", "tests"])],
    "psql that goes on": [versioned, running(JOB, args=["psql", "-h", "db", "-f", "schema.sql"])],
    "psql that goes on with what it reads": [versioned, shell("cat *.sql | psql -h db -v ON_ERROR_STOP=0")],
    "psql that goes on between commands": [versioned, running(JOB, args=["psql", "-c", "create table a ()", "-c", "select 1"])],
    "sqlcmd that goes on": [versioned, running(JOB, args=["sqlcmd", "-S", "db", "-i", "schema.sql"])],
    "a labelled Job in another language": [versioned, running(JOB, args=["perl", "-e", "system('./upgrade')"])],
    "a labelled Job that is left behind": [versioned, running(JOB, args=["setsid", "-f", "./upgrade"])],
    "a labelled Job that is piped to a shell": [versioned, shell("curl -s https://example.org/upgrade | sh")],
    "the Job runs the service's command": [versioned, running(JOB, args=["serve"])],
    "no deadline": [put(JOB, "spec", "activeDeadlineSeconds", to=None)],
    "a deadline of a week": [put(JOB, "spec", "activeDeadlineSeconds", to=604800)],
    "a short await": [annotated(JOB, **{"pulumi.com/timeoutSeconds": "60"})],
    "six retries": [put(JOB, "spec", "backoffLimit", to=None)],
    "a TTL": [put(JOB, "spec", "ttlSecondsAfterFinished", to=0)],
    "skipAwait": [annotated(JOB, **{"pulumi.com/skipAwait": "true"})],
    "waitFor": [annotated(JOB, **{"pulumi.com/waitFor": "jsonpath={.status.active}"})],
    "a suspended Job": [put(JOB, "spec", "suspend", to=True)],
    "a Job without pods": [put(JOB, "spec", "completions", to=0)],
    "a failure policy": [put(JOB, "spec", "podFailurePolicy", to={"rules": []})],
    "OnFailure": [put(JOB, "spec", "template", "spec", "restartPolicy", to="OnFailure")],
    "a Job's pods behind the Service": [put(JOB, "spec", "template", "metadata", "labels", to={"app": "api"})],
    "another database": [running(JOB, env=[{"name": "POSTGRES_DB", "value": "other"}])],
    "another database under another name": [running(JOB, env=[{"name": "DB_DATABASE", "value": "other"}]), running(DEPLOYMENT, env=[{"name": "DB_DATABASE", "value": "api"}])],
    "another database in libpq's form": [running(JOB, env=[{"name": "DSN", "value": "host=db dbname=other user=api"}]), running(DEPLOYMENT, env=[{"name": "DSN", "value": "host=db dbname=api user=api"}])],
    "another database in Go's form": [running(JOB, env=[{"name": "DSN", "value": "api@tcp(db:3306)/other"}]), running(DEPLOYMENT, env=[{"name": "DSN", "value": "api@tcp(db:3306)/api"}])],
    "another database in .NET's form": [running(JOB, env=[{"name": "C", "value": "Host=db;Database=other"}]), running(DEPLOYMENT, env=[{"name": "C", "value": "Host=db;Database=api"}])],
    "another schema": [running(JOB, env=[{"name": "DATABASE_URL", "value": "postgres://db/api?schema=other"}]), running(DEPLOYMENT, env=[{"name": "DATABASE_URL", "value": "postgres://db/api"}])],
    "another database in the arguments": [running(JOB, env=None, args=["migrate", "-database", "postgres://db/other", "up"])],
    "no-database, with DATABASE_URL out of a Secret": [without(JOB), running(DEPLOYMENT, env=[{"name": "DATABASE_URL", **SECRET}]), annotated(DEPLOYMENT, no_database="true")],
    "another database by a flag": [running(JOB, env=None, args=["migrate", "--db-name", "other"])],
    "another database by a flag with a sign": [running(JOB, env=None, args=["migrate", "--database-name=other"])],
    "another database by a variable before the command": [shell("POSTGRES_DB=other api migrate")],
    "another database that is exported": [shell("export POSTGRES_DB=other; exec api migrate")],
    "another database put together in the shell": [shell("N=other; exec api migrate --dsn postgres://db/$N")],
    "no-database, with PGHOST": no_database(env=[{"name": "PGHOST", "value": "db"}]),
    "no-database, with PGHOST and a value that is not known": no_database(env=[{"name": "PGHOST", "value": "db"}, {"name": "LEVEL", "value": UNKNOWN}]),
    "no-database, with a host out of a Secret": no_database(env=[{"name": "DB_HOST", **SECRET}]),
    "no-database, with a socket of Cloud SQL": no_database(env=[{"name": "INSTANCE_CONNECTION_NAME", "value": "p:r:db"}]),
    "no-database, with a proxy beside it": [beside(DEPLOYMENT, **PROXY), *no_database()],
    "no-database, with a pooler beside it": [*no_database(), beside(DEPLOYMENT, name="pooler", image="ghcr.io/formancehq/pgbouncer:1.23.1")],
    "no-database, with a proxy as a native sidecar": [first(DEPLOYMENT, **PROXY, restartPolicy="Always"), *no_database()],
    "no-database, with a URI in the arguments": [without(JOB), running(DEPLOYMENT, env=None, args=["--db", "postgres://db/api"]), annotated(DEPLOYMENT, no_database="true")],
    "no-database, with a database in a second container": [without(JOB), running(DEPLOYMENT, env=None), beside(DEPLOYMENT, name="worker", env=[{"name": "POSTGRES_DB", "value": "api"}]), annotated(DEPLOYMENT, no_database="true")],
    "no-database, with a migration": [annotated(DEPLOYMENT, no_database="true"), UNGATED],
    "a StatefulSet with DATABASE_URL and no Job": [without(JOB), having(DEPLOYMENT, type=STATEFUL), running(DEPLOYMENT, env=[{"name": "DATABASE_URL", **SECRET}])],
    "configuration before the migration": [config(), running(DEPLOYMENT, **USES)],
    "immutable configuration of a fixed name": [config(immutable=True), running(DEPLOYMENT, **USES)],
    "a patch of configuration before the migration": [config(waits=(JOB,)), running(DEPLOYMENT, **USES), resource("kubernetes:core/v1:ConfigMapPatch", "settings", data={"LEVEL": "debug"})],
    "a patch of a Secret before the migration": [config(kind="Secret", waits=(JOB,)), running(DEPLOYMENT, envFrom=[{"secretRef": {"name": "settings"}}]), resource("kubernetes:core/v1:SecretPatch", "settings", stringData={"a": "b"})],
    "a patch that suspends the Job": [resource("kubernetes:batch/v1:JobPatch", "api-7-migrate", spec={"suspend": True})],
    "two resources that are one Service": [copied(SERVICE, "again"), renamed("Service/again", "api")],
    "a Helm Release": [resource("kubernetes:helm.sh/v3:Release", chart="oci://example.org/api")],
    "a HelmRelease": [resource("kubernetes:helm.toolkit.fluxcd.io/v2:HelmRelease", spec={"chart": {}})],
    "an Application": [resource("kubernetes:argoproj.io/v1alpha1:Application", spec={"source": {}})],
    "a Crossplane Object": [resource("kubernetes:kubernetes.crossplane.io/v1alpha2:Object", spec={"forProvider": {"manifest": {}}})],
    "a Knative Revision": [resource("kubernetes:serving.knative.dev/v1:Revision", spec={"containers": [{"image": API}]})],
    "a LeaderWorkerSet": [resource("kubernetes:leaderworkerset.x-k8s.io/v1:LeaderWorkerSet", spec={"leaderWorkerTemplate": {"workerTemplate": {"spec": {"containers": [{"image": API}]}}}})],
    "kubectl set image": [resource("command:local:Command", create=f"kubectl set image deploy/api api={NEW}")],
    "helm upgrade": [resource("command:remote:Command", create="helm upgrade --install api ./api")],
    "a Stack of Pulumi's operator": [resource("kubernetes:pulumi.com/v1:Stack", spec={"stack": "org/api/prod"})],
    "a Workspace of Pulumi's operator": [resource("kubernetes:auto.pulumi.com/v1alpha1:Workspace", spec={})],
    "a Terraform of Flux": [resource("kubernetes:infra.contrib.fluxcd.io/v1alpha2:Terraform", spec={})],
    "a Manifest of kubectl's package": [resource("kubectl:index/manifest:Manifest", yamlBody="kind: Deployment")],
    "a Release of helm's package": [resource("helm:index/release:Release", chart="api")],
    "an Application of Argo CD's package": [resource("argocd:index/application:Application", spec={})],
    "terraform apply": [resource(UNSEEN, create="cd infra && terraform apply -auto-approve")],
    "pulumi up": [resource(UNSEEN, create="pulumi up --yes --stack api")],
    "ansible-playbook": [resource(UNSEEN, create="ansible-playbook deploy.yaml")],
    "kubectl with a dry run that is none": [resource(UNSEEN, create="kubectl apply --dry-run=none -f all.yaml")],
    "kubectl after a dry run": [resource(UNSEEN, create="kubectl apply --dry-run=server -f all.yaml && kubectl apply -f all.yaml # --dry-run=server")],
    "argocd app sync": [resource(UNSEEN, create="argocd app sync api --prune")],
    "a dynamic resource": [resource("pulumi-python:dynamic:Resource", image=NEW)],
    "a trigger of images": [annotated(DEPLOYMENT, **{"keel.sh/policy": "all"})],
    "a provider that renders YAML": everywhere(Provider("urn::p", {"renderYamlToDirectory": "out"})),
    "a provider that skips what it cannot reach": everywhere(Provider("urn::p", {"skipUpdateUnreachable": "true"})),
    "a Service that selects nothing": [put(SERVICE, "spec", "selector", to={"app": "apo"})],
    "a Service that switches early": [versioned, having(SERVICE, waits=[])],
    "a Service of every version": [versioned, put(SERVICE, "spec", "selector", to={"app": "api"})],
    "a Service of a version that is not there": [versioned, put(SERVICE, "spec", "selector", "app.kubernetes.io/version", to="8.0.0")],
    "a Service to pods that are not ready": [put(SERVICE, "spec", "publishNotReadyAddresses", to=True)],
    "an Ingress that switches early": [renamed(DEPLOYMENT, "api-7-0-0"), renamed(SERVICE, "api-7-0-0"), resource(INGRESS, spec=to("api-7-0-0"))],
    "an HTTPRoute that switches early": [renamed(DEPLOYMENT, "api-7-0-0"), renamed(SERVICE, "api-7-0-0"), resource("kubernetes:gateway.networking.k8s.io/v1:HTTPRoute", spec={"rules": [{"backendRefs": [{"name": "api-7-0-0"}]}]})],
    "a VirtualService that switches early": [renamed(DEPLOYMENT, "api-7-0-0"), renamed(SERVICE, "api-7-0-0"), resource("kubernetes:networking.istio.io/v1:VirtualService", spec={"http": [{"route": [{"destination": {"host": "api-7-0-0"}}]}]})],
    "one pod may be missing": [put(DEPLOYMENT, "spec", "strategy", "rollingUpdate", "maxUnavailable", to=1)],
    "recreated": [put(DEPLOYMENT, "spec", "strategy", to={"type": "Recreate"})],
    "deleted before its successor": [having(DEPLOYMENT, deleted_first=True)],
    "a StatefulSet deleted before its successor": [having(DEPLOYMENT, type=STATEFUL, deleted_first=True)],
    "a DaemonSet that is replaced by hand": [having(DEPLOYMENT, type=DAEMON), put(DEPLOYMENT, "spec", "updateStrategy", to={"type": "OnDelete"})],
    "a Rollout of which all pods go": [having(DEPLOYMENT, type=ROLLOUT), put(DEPLOYMENT, "spec", "strategy", to={"canary": {"maxUnavailable": "100%"}})],
    "no replicas, and an autoscaler of a StatefulSet": [put(DEPLOYMENT, "spec", "replicas", to=0), resource(HPA, spec={"minReplicas": 2, "scaleTargetRef": {"kind": "StatefulSet", "name": "api"}})],
    "no readiness probe": [running(DEPLOYMENT, readinessProbe=None)],
    "a readiness probe of true": [probed("true")],
    "a readiness probe that never fails": [probed("sh", "-c", "curl -f localhost:8080/healthz || true")],
    "a readiness probe that ends well": [probed("/bin/sh", "-c", "exit 0")],
    "a liveness probe that talks": [probed("echo", "alive", probe="livenessProbe")],
    "no preStop": [running(DEPLOYMENT, lifecycle=None)],
    "not awaited": [annotated(DEPLOYMENT, **{"pulumi.com/skipAwait": "true"})],
    "no budget": [without(BUDGET)],
    "a budget that blocks every drain": [put(BUDGET, "spec", to={"maxUnavailable": 0, "selector": {"matchLabels": {"app": "api"}}})],
    "latest": both(image="ghcr.io/formancehq/api:latest"),
    "another registry": both(image="docker.io/shop/api:7.0.0"),
    "root": [put(DEPLOYMENT, "spec", "template", "spec", "securityContext", "runAsNonRoot", to=False)],
    "no limits": [running(DEPLOYMENT, resources={})],
    "a password": [running(DEPLOYMENT, env=[{"name": "DB_PASSWORD", "value": "hunter2"}])],
    "a URI with a password": [running(DEPLOYMENT, env=[{"name": "POSTGRES_URI", "value": "postgres://a:hunter2@db/api"}])],
    "an Azure key": [running(DEPLOYMENT, env=[{"name": "STORAGE", "value": "AccountName=a;AccountKey=abcdefghijklmnop=="}])],
    "an OpenAI key": [config(waits=(JOB,), data={"k": "sk-proj-abcdefghijklmnopqrstuvwx"})],
    "a token in a probe's path": [running(DEPLOYMENT, readinessProbe={"httpGet": {"path": "/?token=abcdefgh123", "port": 8080}})],
    "a Job that drops a database": [copied(JOB, "drop", running(JOB, args=["dropdb", "api"]))],
    "an init container that flushes": [first(DEPLOYMENT, name="first", args=["manage.py", "flush", "--noinput"])],
    "a restore that cleans": [copied(JOB, "restore", running(JOB, args=["pg_restore", "--clean", "-d", "api", "dump"]))],
    "a volume that is not protected": [resource("kubernetes:core/v1:PersistentVolumeClaim", spec={})],
}  # fmt: skip
