"""A sidecar that a migration Job and a workload share is neither what migrates nor what serves."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from policies.databases import databases
from policies.migration import migrations_of, pairs, serving
from policies.rule import Unknowable
from policies.rules import gate, job_bounded, migration_fits, versioned_names, whole_modules
from policies.values import UNKNOWN, Program
from tests.unit.policies.manifests import judge, messages, program

JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: shop-db}
spec:
  template:
    spec:
      initContainers: []
      containers:
        - {name: db, image: shop/api:7, command: [rake, "db:migrate"]}
        - {name: proxy, image: gcr.io/sql/cloud-sql-proxy:2.14.1, args: [--quitquitquit, shop]}
---
"""
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
pulumi: {dependsOn: [shop-db]}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec:
      containers:
        - {name: api, image: shop/api:7, command: [puma]}
        - {name: proxy, image: gcr.io/sql/cloud-sql-proxy:2.14.1, args: [shop]}
"""
RULES = (gate.RULE, migration_fits.RULE, whole_modules.RULE)
# A Job that only its label makes a migration.
LABELLED = JOB.replace(
    "{name: shop-db}",
    "{name: shop-db, labels: {rollout.formance.com/job: migrate, rollout.formance.com/module: api}}",
).replace('[rake, "db:migrate"]', "[api, upgrade-schema]")
NAMED = DEPLOYMENT.replace("labels: {app: api}", "labels: {app: api, app.kubernetes.io/name: api}")


def found(text: str) -> dict[str, str]:
    """What the rules about migrations say, by rule."""
    said = {rule.name: "\n".join(messages(rule, text)) for rule in RULES}
    return {name: text for name, text in said.items() if text}


def first_last(text: str, image: str) -> str:
    """The manifest with its proxy before the container of an image."""
    lines = text.splitlines(keepends=True)
    one, two = (next(n for n, line in enumerate(lines) if i in line) for i in (image, "cloud-sql-proxy"))
    lines[one], lines[two] = lines[two], lines[one]
    return "".join(lines)


BOTH = pytest.mark.parametrize(
    ("job", "deployment"),
    [
        (JOB, DEPLOYMENT),
        (first_last(JOB, "shop/api"), first_last(DEPLOYMENT, "shop/api")),
        (LABELLED, NAMED),
        (first_last(LABELLED, "shop/api"), first_last(NAMED, "shop/api")),
    ],
    ids=["says migrate", "says migrate, proxy first", "labelled", "labelled, proxy first"],
)


@BOTH
def test_a_migration_with_the_sidecar_of_its_deployment_is_its_gate(job: str, deployment: str) -> None:
    assert found(job + deployment) == {}


@BOTH
def test_a_sidecar_of_one_image_does_not_hide_that_the_job_is_of_another_version(job: str, deployment: str) -> None:
    said = found(job.replace("shop/api:7", "shop/api:6") + deployment)
    assert "runs docker.io/shop/api:7, but its migration Job 'shop-db' is for another: " in said["gate"]
    assert "docker.io/shop/api:6" in said["gate"]


@BOTH
def test_a_sidecar_of_one_image_does_not_make_a_migration_of_another_products_job(job: str, deployment: str) -> None:
    said = found(job.replace("shop/api:7", "shop/other:3") + deployment)
    assert "no migration Job" in said["gate"] or "docker.io/shop/other:3" in said["gate"]


@pytest.mark.parametrize("image", ["shop/api:6", "shop/other:3"])
@pytest.mark.parametrize("command", ['[rake, "db:migrate"]', "[upgrade]"], ids=["says migrate", "labelled"])
def test_a_sidecar_of_one_image_is_no_deployment_that_follows(image: str, command: str) -> None:
    job = JOB.replace("shop/api:7", image).replace('[rake, "db:migrate"]', command)
    labels = "labels: {rollout.formance.com/job: migrate}"
    text = job.replace("{name: shop-db}", f"{{name: shop-db, {labels}}}") + DEPLOYMENT
    assert "no Deployment of that image" in found(text)["whole-modules"]
    assert "whole-modules" not in found(text.replace(image, "shop/api:7"))


@BOTH
def test_a_sidecar_may_have_another_version_in_the_job(job: str, deployment: str) -> None:
    assert found(job.replace("2.14.1", "2.13.0") + deployment) == {}


@BOTH
def test_a_sidecar_may_run_the_same_command_in_both(job: str, deployment: str) -> None:
    assert found(job.replace("--quitquitquit, ", "") + deployment) == {}


def test_a_job_that_serves_is_told_beside_a_sidecar_of_another_command() -> None:
    said = found(LABELLED.replace("[api, upgrade-schema]", "[puma]") + NAMED)
    assert list(said) == ["migration-fits"]
    assert "runs the same command as it does" in said["migration-fits"]


def test_a_command_that_is_not_known_may_be_the_same() -> None:
    text = LABELLED.replace("[api, upgrade-schema]", "[puma, LATER]") + NAMED.replace("[puma]", "[puma, -C]")
    (unknowable,) = judge(migration_fits.RULE, with_unknown(program(text)))
    assert isinstance(unknowable, Unknowable)
    assert judge(migration_fits.RULE, with_unknown(program(text.replace("[puma, -C]", "[serve, -C]")))) == []


def test_a_container_named_after_migrations_is_what_migrates() -> None:
    job = LABELLED.replace("name: db,", "name: schema-migration,")
    nginx_first = NAMED.replace(
        "- {name: api,", "- {name: nginx, image: nginx:1.27.2, ports: [{containerPort: 80}]}\n        - {name: app,"
    )
    assert found(job + nginx_first) == {}
    assert "for another: docker.io/shop/api:6" in found(job.replace("api:7", "api:6") + nginx_first)["gate"]


def test_where_nothing_says_what_migrates_the_message_tells_how_to() -> None:
    proxy_serves = DEPLOYMENT.replace("{name: proxy,", "{name: proxy, ports: [{containerPort: 5432}],")
    labels = "labels: {app: api, app.kubernetes.io/name: shop}"
    text = LABELLED.replace("module: api", "module: shop").replace("cloud-sql-proxy", "fluent-bit")
    text += proxy_serves.replace("labels: {app: api}", labels)
    assert "kubectl.kubernetes.io/default-container" in found(text)["gate"]
    chosen = text.replace(labels, labels + ", annotations: {kubectl.kubernetes.io/default-container: api}")
    assert found(chosen) == {}
    assert found(text.replace("name: db,", "name: migrate,")) == {}


def test_a_proxy_with_the_port_does_not_hide_the_application_that_is_migrated() -> None:
    proxied = DEPLOYMENT.replace("{name: proxy,", "{name: proxy, ports: [{containerPort: 80}],")
    assert found(JOB + proxied) == {}
    assert "does not wait" in found(JOB + proxied.replace("[shop-db]", "[]"))["gate"]
    assert "for another" in found(JOB.replace("api:7", "api:6") + proxied)["gate"]


def test_a_sidecars_own_migration_is_not_that_of_the_workload() -> None:
    sidecars = JOB.replace("shop-db", "proxy-db").replace("shop/api:7", "gcr.io/sql/cloud-sql-proxy:2.14.1")
    text = JOB.replace("api:7", "api:6") + sidecars + DEPLOYMENT.replace("[shop-db]", "[shop-db, proxy-db]")
    assert "for another: docker.io/shop/api:6" in found(text)["gate"]


@pytest.mark.parametrize("restart", ["restartPolicy: Always, ", ""], ids=["native sidecar", "runs before"])
def test_init_containers_that_do_not_end_migrate_nothing(restart: str) -> None:
    job = JOB.replace('[rake, "db:migrate"]', "[report]").replace(
        "initContainers: []", f"initContainers: [{{{restart}name: a, image: shop/api:7, args: [migrate]}}]"
    )
    judged = program(job + DEPLOYMENT)
    assert bool(migrations_of(judged.resources[1], judged)) is not bool(restart)
    assert bool(judge(job_bounded.RULE, judged)) is not bool(restart)


def test_a_job_that_migrates_before_it_reports_is_a_gate() -> None:
    job = JOB.replace('shop/api:7, command: [rake, "db:migrate"]', "shop/report:1").replace(
        "initContainers: []", "initContainers: [{name: a, image: shop/api:7, args: [migrate]}]"
    )
    assert found(job + DEPLOYMENT) == {}
    assert "docker.io/shop/api:6" in found(job.replace("api:7", "api:6") + DEPLOYMENT)["gate"]


def test_arguments_of_a_sidecar_that_are_not_known_hide_no_migration() -> None:
    judged = with_unknown(program((JOB + DEPLOYMENT).replace("[--quitquitquit, shop]", "[LATER]")))
    for rule in RULES:
        assert judge(rule, judged) == []


def test_a_stateful_set_with_the_sidecar_of_a_migration_needs_none() -> None:
    cache = DEPLOYMENT.replace("Deployment", "StatefulSet").replace("shop/api:7", "valkey/valkey:8.0")
    assert found(JOB + DEPLOYMENT + "---" + cache.replace("name: api", "name: cache").replace("[shop-db]", "[]")) == {}


def test_a_sidecars_version_in_the_name_is_not_that_of_the_module() -> None:
    text = (
        (LABELLED + NAMED)
        .replace("name: shop-db", "name: api-2-14-1-migrate")
        .replace("name: db,", "name: migrate,")
        .replace("[shop-db]", "[api-2-14-1-migrate]")
    )
    told = messages(versioned_names.RULE, text.replace("metadata: {name: api}", "metadata: {name: api-2-14-1}"))
    # In Pulumi's state and in Kubernetes, of the Job and of the Deployment.
    assert len([m for m in told if "does not have its version 7" in m]) == 4


@pytest.mark.parametrize(
    ("deployment", "serves"),
    [
        (DEPLOYMENT, "api"),
        (first_last(DEPLOYMENT, "shop/api"), "proxy"),
        (first_last(NAMED, "shop/api"), "api"),
        (first_last(DEPLOYMENT, "shop/api").replace("{name: api, image", "{ports: [{containerPort: 80}], name: api, image"), "api"),
    ],
    ids=["the first", "the first, a proxy", "that of its module's name", "that with a port"],
)  # fmt: skip
def test_one_container_serves(deployment: str, serves: str) -> None:
    main = serving(program(deployment).resources[0])
    assert main is not None
    assert main["name"] == serves


def test_only_containers_of_one_image_repository_are_compared() -> None:
    job, deployment = program(JOB + DEPLOYMENT).resources
    assert [(m["name"], s["name"]) for m, s in pairs(deployment, job)] == [("db", "api")]


# What each names as its database: the Job, and the Deployment.


def with_variables(job: str, deployment: str) -> str:
    return JOB.replace('"db:migrate"]', f'"db:migrate"], env: [{job}]') + DEPLOYMENT.replace(
        "[puma]", f"[puma], env: [{deployment}]"
    )


def variable(name: str, value: str) -> str:
    return f"{{name: {name}, value: {json.dumps(value)}}}"


def with_unknown(judged: Program) -> Program:
    """The program with every text LATER replaced by what is not known yet."""

    def new(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: new(v) for k, v in value.items()}
        if isinstance(value, list):
            return [new(v) for v in value]
        return UNKNOWN if value == "LATER" else value

    return Program(tuple(replace(r, props=new(r.props)) for r in judged.resources))


@pytest.mark.parametrize(
    ("job", "deployment"),
    [
        ("postgresql://u@db:5432/test", "postgresql://u@db:5432/prod"),
        ("postgresql://u:$(PASSWORD)@db/test", "postgresql://u:$(PASSWORD)@db/prod"),
        ("pgx5://db/test", "postgres://pooler:6432/prod?sslmode=require"),
        ("postgresql+psycopg://db/test", "postgresql+asyncpg://db/prod"),
        ("mysql://db/test", "mysql://db/prod"),
        ("jdbc:postgresql://db/test", "jdbc:postgresql://db/prod"),
        ("mongodb+srv://a,b/test", "mongodb+srv://a,b/prod"),
        ("postgres://db/prod?dbname=test", "postgres://db/prod"),
    ],
)
@pytest.mark.parametrize("name", ["DATABASE_URL", "POSTGRES_URI"])
def test_a_uri_of_another_database_is_refused(name: str, job: str, deployment: str) -> None:
    said = found(with_variables(variable(name, job), variable(name, deployment)))
    assert list(said) == ["migration-fits"]
    assert f"the database in its {name} is another than in its migration Job 'shop-db'" in said["migration-fits"]
    assert "prod" not in said["migration-fits"], "a URI may be a secret"


@pytest.mark.parametrize(
    ("job", "deployment"),
    [
        ("postgresql://db:5432/prod", "postgresql://pooler:6432/prod?sslmode=require"),
        ("postgresql://owner:$(A)@db/prod", "postgresql://user:$(B)@db/prod"),
        ("postgres:///prod?host=/cloudsql/x", "postgres://localhost/prod"),
        ("postgres://db/a%2Db", "postgres://db/a-b"),
        ("postgres://db", "postgres://db/prod"),
        ("postgres://db/$(NAME)", "postgres://db/prod"),
        ("$(URI)/test", "$(URI)/prod"),
        ("postgres://u:pass/word@db/prod", "postgres://v:pass/wort@db/prod"),
        ("postgres://a/x,postgres://b/x", "postgres://c/x,postgres://d/x"),
        ("https://shop.example/admin", "https://shop.example/shop"),
        ("redis://cache/1", "redis://cache/0"),
    ],
)
def test_a_uri_that_may_be_of_the_same_database_is_not_refused(job: str, deployment: str) -> None:
    assert found(with_variables(variable("DATABASE_URL", job), variable("DATABASE_URL", deployment))) == {}


def test_variables_of_other_names_are_not_compared() -> None:
    text = with_variables(
        variable("REPORTS_URL", "postgres://db/reports"), variable("DATABASE_URL", "postgres://db/prod")
    )
    assert found(text) == {}


def test_a_uri_in_a_secret_is_not_known() -> None:
    secret = "{name: DATABASE_URL, valueFrom: {secretKeyRef: {name: %s, key: uri}}}"
    assert found(with_variables(secret % "owner", secret % "user")) == {}
    assert found(with_variables(variable("DATABASE_URL", "postgres://db/prod"), secret % "user")) == {}


def test_variables_in_a_uri_are_replaced_by_those_before_it() -> None:
    uri = variable("DATABASE_URL", "$(SERVER)/$(NAME)?sslmode=require")
    server = "{name: PASSWORD, valueFrom: {secretKeyRef: {name: a, key: b}}}, " + variable(
        "SERVER", "postgres://u:$(PASSWORD)@db"
    )
    test, prod = (", ".join([server, variable("NAME", name), uri]) for name in ("test", "prod"))
    assert found(with_variables(prod, prod)) == {}
    assert "its DATABASE_URL is another" in found(with_variables(test, prod))["migration-fits"]
    late = ", ".join([server, uri, variable("NAME", "test")])
    assert found(with_variables(late, prod)) == {}, "Kubernetes does not replace it either"


def test_the_database_of_a_sidecar_is_its_own() -> None:
    exporter = f"{{name: exporter, image: exporter:1, env: [{variable('DATABASE_URL', 'postgres://db/postgres')}]}}"
    prod = variable("DATABASE_URL", "postgres://db/prod")
    text = with_variables(prod, prod).replace(
        "        - {name: proxy", f"        - {exporter}\n        - {{name: proxy"
    )
    assert text.count("exporter:1") == 2
    assert found(text) == {}
    worker = f"        - {{name: worker, image: shop/api:7, args: [work], env: [{prod}]}}\n"
    other = with_variables(prod, variable("DATABASE_URL", "postgres://db/cache")) + worker
    assert found(other) == {}, "one of its containers uses the database"


@pytest.mark.parametrize(
    ("job", "deployment", "told"),
    [
        ("LATER", "postgres://db/prod", True),
        ("postgres://db/prod", "LATER", True),
        ("LATER", "LATER", False),
        ("LATER", "https://shop.example", False),
    ],
)
def test_a_uri_that_is_not_known_is_told_where_the_other_one_is(job: str, deployment: str, told: bool) -> None:
    text = with_variables(variable("DATABASE_URL", job), variable("DATABASE_URL", deployment))
    judged = with_unknown(program(text))
    expected = [Unknowable(judged.resources[1].urn, "env.DATABASE_URL")] if told else []
    assert judge(migration_fits.RULE, judged) == expected


def test_what_is_not_known_hides_no_other_database() -> None:
    rest = ", " + variable("DATABASE_URL", "postgres://db/%s")
    known = with_variables(
        variable("PGDATABASE", "LATER") + rest.replace("%s", "test"),
        variable("PGDATABASE", "x") + rest.replace("%s", "prod"),
    )
    wrong, unknowable = judge(migration_fits.RULE, with_unknown(program(known)))
    assert "DATABASE_URL" in str(wrong)
    assert unknowable == Unknowable(wrong.urn, "env.PGDATABASE")


def test_an_image_that_only_migrates_has_the_database_of_any_container() -> None:
    labels = "labels: {rollout.formance.com/job: migrate, rollout.formance.com/module: api}"
    text = with_variables(
        variable("DATABASE_URL", "postgres://db/test"), variable("DATABASE_URL", "postgres://db/prod")
    )
    text = text.replace("{name: shop-db}", f"{{name: shop-db, {labels}}}").replace(
        "db, image: shop/api:7", "db, image: shop/sql:7"
    )
    text = text.replace("labels: {app: api}", "labels: {app: api, app.kubernetes.io/name: api}")
    assert "DATABASE_URL" in found(text)["migration-fits"]
    assert "migration-fits" not in found(text.replace("db/test", "db/prod"))


def test_a_value_that_is_no_text_is_one() -> None:
    assert databases({"env": [{"name": "DB_NAME", "value": 7}, {"name": "A", "value": 7}]}) == {"DB_NAME": "7"}
