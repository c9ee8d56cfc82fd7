"""Programs that know nothing of our components are judged by what they declare."""

from __future__ import annotations

from policies.rules import gate, whole_modules
from tests.unit.policies.manifests import messages

JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: shop-db}
spec:
  template:
    spec:
      containers: [{name: db, image: shop/api:7, command: [sh, -c, "bundle exec rake db:migrate"]}]
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
      containers: [{name: api, image: shop/api:7}, {name: proxy, image: envoyproxy/envoy:v1.31.0}]
"""


def gate_says(text: str) -> list[str]:
    return messages(gate.RULE, text)


def test_a_job_of_the_same_image_that_migrates_is_the_gate() -> None:
    assert gate_says(JOB + DEPLOYMENT) == []


def test_a_job_of_the_same_image_that_does_not_migrate_is_no_gate() -> None:
    (message,) = gate_says(JOB.replace("db:migrate", "db:seed") + DEPLOYMENT)
    assert "no migration Job" in message


def test_a_registry_left_out_is_docker_hub() -> None:
    assert gate_says(JOB.replace("shop/api:7", "docker.io/shop/api:7") + DEPLOYMENT) == []


def test_the_job_must_run_the_same_tag() -> None:
    (message,) = gate_says(JOB.replace("api:7", "api:6") + DEPLOYMENT)
    assert "docker.io/shop/api:6" in message
    assert "same image" in message


def test_a_dependency_through_another_resource_counts() -> None:
    between = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: between}\npulumi: {dependsOn: [shop-db]}\n---\n"
    assert gate_says(JOB + between + DEPLOYMENT.replace("[shop-db]", "[between]")) == []


def test_a_job_in_another_namespace_is_no_gate() -> None:
    (message,) = gate_says(JOB.replace("{name: shop-db}", "{name: shop-db, namespace: other}") + DEPLOYMENT)
    assert "no migration Job" in message


def test_a_deployment_without_a_database_says_so() -> None:
    text = DEPLOYMENT.replace(
        "{name: api}\npulumi: {dependsOn: [shop-db]}",
        '{name: api, annotations: {rollout.formance.com/no-database: "true"}}',
    )
    assert gate_says(text) == []


def test_a_migration_image_of_its_own_is_allowed_by_configuration_and_labels() -> None:
    labels = "labels: {rollout.formance.com/job: migrate, rollout.formance.com/module: api}"
    job = JOB.replace("shop/api:7", "shop/sql:7").replace("{name: shop-db}", f"{{name: shop-db, {labels}}}")
    deployment = DEPLOYMENT.replace("labels: {app: api}", "labels: {app: api, app.kubernetes.io/name: api}")
    assert messages(gate.RULE, job + deployment, migrationImages=["shop/sql"]) == []
    (message,) = gate_says(job + deployment)
    assert "same image" in message


def test_two_deployments_of_one_image_share_its_migration() -> None:
    worker = DEPLOYMENT.replace("name: api", "name: worker").replace("app: api", "app: worker")
    assert gate_says(JOB + DEPLOYMENT + "---" + worker) == []


def test_a_config_map_that_the_job_uses_too_need_not_wait_for_it() -> None:
    config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n---\n"
    source = "envFrom: [{configMapRef: {name: settings}}]"
    deployment = DEPLOYMENT.replace("image: shop/api:7}", f"image: shop/api:7, {source}}}")
    (message,) = gate_says(config + JOB + deployment)
    assert "ConfigMap 'settings'" in message
    assert gate_says(config + JOB.replace("image: shop/api:7,", f"image: shop/api:7, {source},") + deployment) == []


def test_a_stateful_set_is_gated_where_its_image_has_a_migration() -> None:
    database = (
        DEPLOYMENT.replace("Deployment", "StatefulSet")
        .replace("shop/api:7", "postgres:16.4")
        .replace("[shop-db]", "[]")
    )
    assert gate_says(JOB + DEPLOYMENT + "---" + database.replace("name: api", "name: db")) == []
    (message,) = gate_says(JOB + DEPLOYMENT.replace("Deployment", "StatefulSet").replace("[shop-db]", "[]"))
    assert "does not wait" in message


def test_a_migration_that_no_deployment_follows_is_told() -> None:
    (message,) = messages(whole_modules.RULE, JOB + DEPLOYMENT.replace("api:7", "api:6"))
    assert "--target" in message
