"""Ways around the gate in a foreign program, and what only looks like one, as the real pack host says with production's configuration."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from policies.values import UNKNOWN, Program, Provider, Resource
from tests.unit.policies import components_program
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
from tests.unit.policies.host import Host, told

pytestmark = pytest.mark.slow

NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: prod}\n"
STAGING, PROD = (Provider(f"urn:pulumi:prod::x::pulumi:providers:kubernetes::{n}", {"context": n}) for n in ("s", "p"))
OLD, NEW = "ghcr.io/formancehq/api:6.0.0", "ghcr.io/formancehq/api:8.0.0"


def component(name: str, parent: str = "", *waits: str) -> Change:
    def change(resources: Resources) -> None:
        urns = tuple(resources[w].urn for w in waits)
        resources[name] = Resource("shop:index:Part", name, name, {}, parent=parent, component=True, dependencies=urns)

    return change


def label(key: str, name: str, value: str) -> Change:
    def change(resources: Resources) -> None:
        resources[key].props["metadata"].setdefault("labels", {})[name] = value

    return change


def init_container(**fields: Any) -> Change:
    def change(resources: Resources) -> None:
        pod(resources[DEPLOYMENT])["initContainers"] = [{**container(resources[JOB]), "name": "first", **fields}]

    return change


def second_container(image: str) -> Change:
    def change(resources: Resources) -> None:
        other = {**container(resources[DEPLOYMENT]), "name": "worker", "image": image}
        pod(resources[DEPLOYMENT])["containers"].append(other)

    return change


def patch_of(key: str, spec: dict[str, Any] | None, *, name: str = "") -> Change:
    def change(resources: Resources) -> None:
        old = resources[key]
        metadata = {**old.props["metadata"], "annotations": {"a": "b"}} | ({"name": name} if name else {})
        props = {"metadata": metadata} | ({} if spec is None else {"spec": spec})
        urn = f"{old.type}Patch::patch"
        resources["patch"] = Resource(f"{old.type}Patch", "patch", urn, props, dependencies=(resources[JOB].urn,))

    return change


def test_the_program_keeps_every_rule(production: Host) -> None:
    assert production.judge(changed()) == []


# What waiting means


def test_to_wait_for_the_parent_of_the_job_is_not_to_wait_for_the_job(production: Host) -> None:
    siblings = [
        having_too(NAMESPACE),
        *(
            having(key, parent="urn:pulumi:dev::rollout::kubernetes:core/v1:Namespace::prod")
            for key in (JOB, DEPLOYMENT)
        ),
    ]
    assert told(production, changed(*siblings)) == []
    (message,) = told(production, changed(*siblings, having(DEPLOYMENT, waits=["Namespace/prod"])))
    assert "does not wait for its migration Job 'api-7-migrate'" in message


def test_what_is_in_a_component_waits_for_what_the_component_waits_for(production: Host) -> None:
    outer, inner = component("outer", "", JOB), component("inner", "outer")
    for parent in ("outer", "inner"):
        assert told(production, changed(outer, inner, having(DEPLOYMENT, parent=parent, waits=[]))) == []
    assert told(production, changed(component("outer"), having(DEPLOYMENT, parent="outer", waits=[])), "gate")


def test_the_child_of_the_job_waits_for_the_job(production: Host) -> None:
    def child(resources: Resources) -> None:
        having(DEPLOYMENT, parent=resources[JOB].urn, waits=[])(resources)

    assert told(production, changed(child)) == []


def test_to_wait_for_a_component_is_to_wait_for_all_that_is_in_it(production: Host) -> None:
    nested = [component("outer"), component("inner", "outer"), having(JOB, parent="inner")]
    assert told(production, changed(*nested, having(DEPLOYMENT, waits=["outer"]))) == []
    assert told(production, changed(*nested, having(JOB, parent=""), having(DEPLOYMENT, waits=["outer"])), "gate")


def test_every_migration_is_waited_for(production: Host) -> None:
    data = copied(JOB, "api-7-migrate-data", running(JOB, args=["migrate", "data"]))
    (message,) = told(production, changed(data))
    assert "does not wait for its migration Job 'api-7-migrate-data'" in message
    assert told(production, changed(data, having(DEPLOYMENT, waits=[JOB, "Job/api-7-migrate-data"]))) == []


# Where a migration happens


def test_a_migration_in_another_cluster_is_none_of_this_one(production: Host) -> None:
    others = (DEPLOYMENT, SERVICE, BUDGET)
    here = [having(key, provider=PROD) for key in others]
    for there in (having(JOB, provider=STAGING), having(JOB)):
        messages = told(production, changed(there, *here), "gate")
        assert "its migration Job 'api-7-migrate' is in another cluster. Give both the same provider" in str(messages)
    assert told(production, changed(having(JOB, provider=PROD), *here)) == []
    again = Provider("urn:another", {"context": "p", "namespace": "prod"})
    assert told(production, changed(having(JOB, provider=again), *here)) == [], "one cluster by two providers"


def test_a_provider_gives_the_namespace_to_what_has_none(production: Host) -> None:
    def nowhere(resources: Resources) -> None:
        del resources[JOB].props["metadata"]["namespace"]

    provider = Provider("urn:default", {"namespace": "prod"})
    assert told(production, changed(nowhere, having(JOB, provider=provider))) == []
    assert told(production, changed(nowhere), "gate")


# What serves


def test_every_container_of_the_migrated_image_has_the_version_of_the_migration(production: Host) -> None:
    assert told(production, changed(second_container("ghcr.io/formancehq/api:7.0.0"))) == []
    for program in (
        changed(second_container(NEW)),
        changed(running(DEPLOYMENT, image=NEW), second_container("ghcr.io/formancehq/api:7.0.0")),
        changed(init_container(image=NEW, args=["prepare"])),
    ):
        (message,) = told(production, program, "gate")
        assert "runs ghcr.io/formancehq/api:8.0.0, but its migration Job 'api-7-migrate' is for another" in message
    assert told(production, changed(init_container(args=["prepare"])), "gate") == []


def nightly(args: list[str], **fields: Any) -> Change:
    """A CronJob that is otherwise as the migration."""

    def change(resources: Resources) -> None:
        own = {**container(resources[JOB]), "args": args, **fields}
        template = {"metadata": {"labels": {"app": "nightly"}}, "spec": {**pod(resources[JOB]), "containers": [own]}}
        spec = {"schedule": "@daily", "jobTemplate": {"spec": {"template": template}}}
        props = {"metadata": {"name": "nightly", "namespace": "prod"}, "spec": spec}
        resources["CronJob/nightly"] = Resource("kubernetes:batch/v1:CronJob", "nightly", "nightly", props)

    return change


@pytest.mark.parametrize(
    "change",
    [init_container(), running(DEPLOYMENT, args=["sh", "-c", "api migrate && api serve"]), nightly(["migrate"])],
    ids=["in an init container", "in its command", "in a CronJob"],
)
def test_only_jobs_migrate(change: Change, production: Host) -> None:
    (message,) = told(production, changed(change), "gate")
    assert "migrates, whenever one of its pods starts" in message


@pytest.mark.parametrize(
    "args",
    [
        ["serve", "--auto-migrate=false"],
        ["wait-for", "job", "api-7-migrate"],
        ["kubectl", "wait", "--for=condition=complete", "job/api-7-migrate"],
        ["migrate", "status"],
    ],
)
def test_a_container_that_waits_or_looks_does_not_migrate(args: list[str], production: Host) -> None:
    assert told(production, changed(init_container(args=args))) == []


@pytest.mark.parametrize(
    ("args", "migrates"),
    [
        (["sh", "-c", "bundle exec rake db:migrate"], True),
        (["prisma", "migrate", "deploy"], True),
        (["sh", "-c", "echo migrating; ./bin/migrate.sh up"], True),
        (["sh", "-c", "rails db:migrate:status && rails db:migrate"], True),
        (["dockerize", "-wait", "tcp://db:5432", "api", "migrate"], True),
        (["migrate:latest"], True),
        (["seed", "--skip-migrate"], False),
        (["migrate", "status"], False),
        (["sh", "-c", "rails db:migrate:status"], False),
        (["migrate", "--dry-run"], False),
        (["manage.py", "migrate", "--check"], False),
        (["echo", "migrate"], False),
        (["upload", "s3://bucket/migrate/"], False),
    ],
)
def test_a_job_migrates_by_a_word_of_its_command(args: list[str], migrates: bool, production: Host) -> None:
    messages = told(production, changed(running(JOB, args=args)))
    assert [m for m in messages if "no migration Job" in m] == ([] if migrates else messages)
    assert bool(messages) is not migrates


def test_a_job_of_another_image_is_left_alone(production: Host) -> None:
    backup = running(JOB, image="ghcr.io/formancehq/backup:1.0.0", args=["upload", "s3://bucket/pre-migrate/"])
    assert told(production, changed(copied(JOB, "backup", backup))) == []
    other = running(JOB, image="ghcr.io/formancehq/warehouse:1.0.0")
    assert told(production, changed(copied(JOB, "warehouse-migrate", other))) == []


def test_arguments_that_are_not_known_are_told_of_where_the_job_is_waited_for(production: Host) -> None:
    later = running(JOB, args=["sh", "-c", UNKNOWN])
    found = production.judge(changed(later))
    assert [d.mandatory for d in found if d.rule == "gate"] == [False]
    assert told(production, changed(later, having(DEPLOYMENT, waits=[])), "gate")


def test_the_database_of_a_migration_is_found_in_a_config_map_and_in_its_arguments(production: Host) -> None:
    def config(database: str) -> Change:
        text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: job-env, namespace: prod}\ndata: {POSTGRES_DB: %s}\n"
        return having_too(text % database)

    from_map = running(JOB, env=None, envFrom=[{"configMapRef": {"name": "job-env"}}])
    by_key = running(
        JOB, env=[{"name": "POSTGRES_DB", "valueFrom": {"configMapKeyRef": {"name": "job-env", "key": "POSTGRES_DB"}}}]
    )
    for job in (from_map, by_key):
        assert told(production, changed(job, config("api"))) == []
        (message,) = told(production, changed(job, config("another")))
        assert "the database in its POSTGRES_DB is another than in its migration" in message

    def arguments(database: str) -> Change:
        return running(JOB, env=None, args=["migrate", "-database", f"postgres://db/{database}?sslmode=require", "up"])

    assert told(production, changed(arguments("api"))) == []
    assert told(production, changed(arguments("$(NAME)"))) == []
    assert "the database in its environment is another" in str(told(production, changed(arguments("another"))))


# Labels and annotations that are not true


def test_a_label_hides_no_migration_of_another_version(production: Host) -> None:
    job = "Job/ledger-1.1.0-migrate"
    ahead = copied(job, "ledger-1.2.0-migrate", running(job, image="ghcr.io/formancehq/ledger:1.2.0"))
    (message,) = told(production, components_program.broken(components_program.stack(), ahead), "whole-modules")
    assert "migrates to 1.2.0, and no Deployment of that image follows" in message


@pytest.mark.parametrize("args", [["migrate", "status"], ["migrate", "--dry-run"], ["seed", "--skip-migrate"]])
def test_a_label_makes_no_migration_of_a_look(args: list[str], production: Host) -> None:
    labelled = label(JOB, "rollout.formance.com/job", "migrate")
    assert "succeeds without one" in str(told(production, changed(labelled, running(JOB, args=args)), "migration-fits"))
    for migrates in (
        ["migrate"],
        ["alembic", "upgrade", "head"],
        ["sh", "-c", "rails db:migrate:status && rails db:migrate"],
    ):
        assert told(production, changed(labelled, running(JOB, args=migrates)), "migration-fits") == []


def test_a_label_makes_a_migration_of_any_image(production: Host) -> None:
    labels = [label(DEPLOYMENT, "app.kubernetes.io/name", "api")]
    for key in (JOB, "Job/data"):
        labels += [label(key, "rollout.formance.com/job", "migrate"), label(key, "rollout.formance.com/module", "api")]
    other = [copied(JOB, "data", running(JOB, image="ghcr.io/formancehq/data:1.0.0", args=["backfill"])), *labels]
    (message,) = told(production, changed(*other), "gate")
    assert "does not wait for its migration Job 'data'" in message
    assert told(production, changed(*other, having(DEPLOYMENT, waits=[JOB, "Job/data"])), "gate") == []


def test_an_image_that_only_migrates_goes_by_its_labels(production: Host) -> None:
    flyway = [
        running(JOB, image="ghcr.io/formancehq/flyway:10.4.0"),
        label(JOB, "rollout.formance.com/job", "migrate"),
        label(JOB, "rollout.formance.com/module", "api"),
        label(DEPLOYMENT, "app.kubernetes.io/name", "api"),
        label(DEPLOYMENT, "app.kubernetes.io/version", "7"),
    ]
    versioned = [*flyway, label(JOB, "rollout.formance.com/version", "7")]
    assert told(production, changed(*versioned), "whole-modules") == []
    assert "Job 'api" not in str(told(production, changed(*versioned), "versioned-names"))
    assert told(production, changed(*flyway, label(JOB, "rollout.formance.com/version", "8")), "whole-modules")
    (message,) = told(production, changed(*versioned), "gate")
    assert "add its repository to migrationImages of this rule" in message


def test_an_annotation_is_not_believed_against_the_program(production: Host) -> None:
    no_database, elsewhere = annotated(DEPLOYMENT, no_database="true"), annotated(DEPLOYMENT, no_database="elsewhere")
    ungated = having(DEPLOYMENT, waits=[])
    for said in (no_database, elsewhere):
        (message,) = told(production, changed(said, ungated), "gate")
        assert "and Job 'api-7-migrate' migrates for it" in message
    (message,) = told(production, changed(no_database, without(JOB)))
    assert "its POSTGRES_DB names one" in message
    assert told(production, changed(elsewhere, without(JOB))) == []
    assert told(production, changed(no_database, without(JOB), running(DEPLOYMENT, env=None))) == []


# Other kinds


@pytest.mark.parametrize(
    "kind", ["core/v1:ReplicationController", "apps/v1:ReplicaSet", "apps/v1:StatefulSet", "apps/v1:DaemonSet"]
)
def test_what_uses_a_database_needs_its_migration_whatever_it_is(kind: str, production: Host) -> None:
    def change(resources: Resources) -> None:
        if "Replication" in kind:
            resources[DEPLOYMENT].props["spec"]["selector"] = {"app": "api"}

    other = [having(DEPLOYMENT, type=f"kubernetes:{kind}"), change]
    assert told(production, changed(*other)) == []
    (message,) = told(production, changed(*other, without(JOB)))
    assert "no migration Job of its module" in message


def test_a_database_and_an_agent_need_no_migration(production: Host) -> None:
    database = [
        having(DEPLOYMENT, type="kubernetes:apps/v1:StatefulSet"),
        without(JOB),
        running(DEPLOYMENT, image="ghcr.io/formancehq/postgres:16.4", ports=[{"containerPort": 5432}]),
    ]
    assert told(production, changed(*database)) == []
    agent = [having(DEPLOYMENT, type="kubernetes:apps/v1:DaemonSet"), without(JOB), running(DEPLOYMENT, env=None)]
    assert told(production, changed(*agent)) == []


def test_a_pod_behind_a_service_needs_its_migration(production: Host) -> None:
    def bare(resources: Resources) -> None:
        old = resources.pop(DEPLOYMENT)
        props = {"metadata": {**old.props["metadata"], "labels": {"app": "api"}}, "spec": pod(old)}
        resources["Pod/api"] = replace(old, type="kubernetes:core/v1:Pod", props=props)

    (message,) = told(production, changed(without(JOB), running(DEPLOYMENT, env=None), bare))
    assert "no migration Job" in message
    assert told(production, changed(without(JOB), running(DEPLOYMENT, env=None), bare, without(SERVICE))) == []


def test_a_kind_of_somebody_elses_with_a_pod_template_is_judged_as_a_deployment(production: Host) -> None:
    rollout = having(DEPLOYMENT, type="kubernetes:argoproj.io/v1alpha1:Rollout")
    assert told(production, changed(rollout)) == []
    bad = running(DEPLOYMENT, image="ghcr.io/formancehq/api:latest", securityContext={"privileged": True})
    found = {d.rule for d in production.judge(changed(rollout, bad, having(DEPLOYMENT, waits=[])))}
    assert {"gate", "images-pinned", "pod-security"} <= found


def test_a_kind_of_somebody_elses_that_has_none_is_left_alone(production: Host) -> None:
    model = "apiVersion: example.com/v1\nkind: Deployment\nmetadata: {name: x, namespace: prod}\nspec: {model: gpt}\n"
    assert production.judge(changed(having_too(model))) == []


def test_a_release_cannot_be_seen_into(production: Host) -> None:
    release = Resource("kubernetes:helm.sh/v3:Release", "api", "urn:release", {"chart": "oci://example.org/api"})
    (message,) = told(production, Program((release,)))
    assert "Release 'api': it deploys what no policy sees" in message


def test_a_list_of_objects_is_not_seen_into(production: Host) -> None:
    items = [r.props for r in changed().resources if r.type.endswith("Deployment")]
    several = Resource("kubernetes:apps/v1:DeploymentList", "several", "urn:list", {"items": items})
    (message,) = told(production, Program((several,)))
    assert "it holds several objects" in message


# Patches


def test_a_patch_is_no_gate(production: Host) -> None:
    (message,) = told(production, changed(having(JOB, type="kubernetes:batch/v1:JobPatch")), "gate")
    assert "no migration Job" in message


@pytest.mark.parametrize(
    ("key", "spec"),
    [(JOB, {"ttlSecondsAfterFinished": 0, "suspend": True}), (SERVICE, {"selector": {"canary": "x"}}), (DEPLOYMENT, {"replicas": 1})],
    ids=["Job", "Service", "Deployment"],
)  # fmt: skip
def test_what_the_program_declares_is_not_patched_behind_the_rules(
    key: str, spec: dict[str, Any], production: Host
) -> None:
    (message,) = told(production, changed(patch_of(key, spec)))
    assert "of this program, which is judged without it" in message


def test_a_patch_of_metadata_or_of_anothers_object_is_left_alone(production: Host) -> None:
    assert told(production, changed(patch_of(DEPLOYMENT, None))) == []
    assert told(production, changed(patch_of(DEPLOYMENT, {"replicas": 3}, name="other"))) == []


def test_a_patch_that_sets_an_image_stands_behind_its_migration(production: Host) -> None:
    image = {"template": {"spec": {"containers": [{"name": "api", "image": NEW}]}}}
    assert "for another" in str(told(production, changed(patch_of(DEPLOYMENT, image, name="other")), "gate"))


# Configuration


def test_configuration_that_a_cron_job_uses_too_still_waits(production: Host) -> None:
    config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: prod}\ndata: {a: b}\n"
    uses: dict[str, Any] = {"envFrom": [{"configMapRef": {"name": "settings"}}]}

    cron = nightly(["report"], **uses)
    (message,) = told(production, changed(having_too(config), running(DEPLOYMENT, **uses), cron))
    assert "it would change before the migration" in message
    assert told(production, changed(having_too(config), running(DEPLOYMENT, **uses), running(JOB, **uses))) == []
    assert told(production, changed(having_too(config, waits=[JOB]), running(DEPLOYMENT, **uses), cron)) == []
