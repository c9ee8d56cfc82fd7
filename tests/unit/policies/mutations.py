"""Ways to break the gate in the components, each with the rule that must catch it. docs/policies.md lists them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from policies.values import Provider, Resource
from tests.unit.policies.components_program import depends, rename

JOB, DEPLOYMENT, SERVICE = "Job/ledger-1.1.0-migrate", "Deployment/ledger-1.1.0", "Service/ledger"
Resources = dict[str, Resource]


@dataclass(frozen=True)
class Mutation:
    """One way to break the gate, in words and in code."""

    what: str
    rule: str
    change: Callable[[Resources], None]


def _props(key: str, *path: Any, value: Any = None) -> Callable[[Resources], None]:
    """Sets a property, or removes it where the value is None."""

    def change(resources: Resources) -> None:
        place: Any = resources[key].props
        for step in path[:-1]:
            place = place[step]
        if value is None:
            del place[path[-1]]
        else:
            place[path[-1]] = value

    return change


def _environment(key: str, name: str, value: str) -> Callable[[Resources], None]:
    def change(resources: Resources) -> None:
        env = resources[key].props["spec"]["template"]["spec"]["containers"][0]["env"]
        next(e for e in env if e["name"] == name)["value"] = value

    return change


def _without(key: str, *names: str) -> Callable[[Resources], None]:
    return lambda resources: depends(resources, key, *names)


def _without_job(resources: Resources) -> None:
    depends(resources, DEPLOYMENT, "migrate")
    depends(resources, "PodDisruptionBudget/ledger-1.1.0", "migrate")
    del resources[JOB]


def _without_deployment(resources: Resources) -> None:
    depends(resources, SERVICE, "Deployment")
    del resources[DEPLOYMENT]


def _by_property(resources: Resources) -> None:
    resources[DEPLOYMENT] = replace(resources[DEPLOYMENT], property_dependencies={"metadata": (resources[JOB].urn,)})


def _ungated_configuration(resources: Resources) -> None:
    type_ = "kubernetes:core/v1:ConfigMap"
    metadata = {"name": "ledger-1-1-0", "namespace": "dev"}
    resources["ConfigMap/ledger-1.1.0"] = Resource(
        type_, "ledger-1.1.0", f"{type_}::ledger-1.1.0", {"metadata": metadata}
    )
    container = resources[DEPLOYMENT].props["spec"]["template"]["spec"]["containers"][0]
    container["envFrom"] = [{"configMapRef": {"name": "ledger-1-1-0"}}]


def _both(*changes: Callable[[Resources], None]) -> Callable[[Resources], None]:
    def change(resources: Resources) -> None:
        for each in changes:
            each(resources)

    return change


def _with_a_sidecar(resources: Resources) -> None:
    """The Job and the Deployment have a container of the same image, which has nothing to do with the migration."""
    for key in (JOB, DEPLOYMENT):
        pod = resources[key].props["spec"]["template"]["spec"]
        proxy = {**pod["containers"][0], "name": "proxy", "image": "ghcr.io/formancehq/proxy:2", "args": [key]}
        pod["containers"].append(proxy)


def _without_waiting(*keys: str) -> Callable[[Resources], None]:
    """Resources wait for the Namespace only, of which they and the Job are children."""

    def change(resources: Resources) -> None:
        namespace = resources["Namespace/dev"].urn
        resources[JOB] = replace(resources[JOB], parent=namespace)
        for key in keys:
            resources[key] = replace(resources[key], parent=namespace, dependencies=(namespace,))

    return change


def _elsewhere(resources: Resources) -> None:
    resources[JOB] = replace(resources[JOB], provider=Provider("another", {"context": "another"}))


def _newer_job(resources: Resources) -> None:
    props = copy.deepcopy(dict(resources[JOB].props))
    props["metadata"]["name"] = "ledger-1-2-0-migrate"
    props["spec"]["template"]["spec"]["containers"][0]["image"] = "ghcr.io/formancehq/ledger:1.2.0"
    resources["newer"] = replace(resources[JOB], name="ledger-1.2.0-migrate", urn="newer", props=props)


def _init_container(resources: Resources) -> None:
    migrates = resources[JOB].props["spec"]["template"]["spec"]["containers"][0]
    resources[DEPLOYMENT].props["spec"]["template"]["spec"]["initContainers"] = [{**migrates, "name": "first"}]


def _patched(resources: Resources) -> None:
    metadata = resources[JOB].props["metadata"]
    props = {"metadata": {**metadata}, "spec": {"suspend": True}}
    resources["patch"] = Resource("kubernetes:batch/v1:JobPatch", "patch", "patch", props)


_JOB_POD = ("spec", "template", "spec")
_SELECTOR = {"app.kubernetes.io/name": "ledger", "app.kubernetes.io/version": "1.1.0"}

MUTATIONS = (
    Mutation("The Deployment does not depend on the Job", "gate", _without(DEPLOYMENT, "migrate")),
    Mutation("The Job is not declared at all", "gate", _without_job),
    Mutation(
        "The Job runs the image of the version before",
        "gate",
        _props(JOB, *_JOB_POD, "containers", 0, "image", value="ghcr.io/formancehq/ledger:1.0.0"),
    ),
    Mutation(
        "The Job runs another module's image",
        "gate",
        _props(JOB, *_JOB_POD, "containers", 0, "image", value="ghcr.io/formancehq/payments:1.1.0"),
    ),
    Mutation(
        "The Job runs the image of the version before, beside a sidecar that both have",
        "gate",
        _both(
            _with_a_sidecar,
            _props(JOB, *_JOB_POD, "containers", 0, "image", value="ghcr.io/formancehq/ledger:1.0.0"),
        ),
    ),
    Mutation(
        "The Job runs another module's image, beside a sidecar that both have",
        "gate",
        _both(
            _with_a_sidecar,
            _props(JOB, *_JOB_POD, "containers", 0, "image", value="ghcr.io/formancehq/payments:1.1.0"),
        ),
    ),
    Mutation(
        "The Job is labelled with another version",
        "gate",
        _props(JOB, "metadata", "labels", "rollout.formance.com/version", value="1.0.0"),
    ),
    Mutation("The Deployment waits for the Namespace of the Job only", "gate", _without_waiting(DEPLOYMENT)),
    Mutation("The Job goes to another cluster", "gate", _elsewhere),
    Mutation("An init container of the Deployment migrates", "gate", _init_container),
    Mutation(
        "The Deployment says that it has no database",
        "gate",
        _props(DEPLOYMENT, "metadata", "annotations", "rollout.formance.com/no-database", value="true"),
    ),
    Mutation("A Patch suspends the Job", "nothing-unseen", _patched),
    Mutation("The record of the migration does not wait for it", "gate", _without_waiting("ConfigMap/ledger-migrated")),
    Mutation("The Deployment takes a property from the Job", "gate", _by_property),
    Mutation("A ConfigMap of the version does not wait for the Job", "gate", _ungated_configuration),
    Mutation(
        "The version is not in the Deployment's logical name",
        "versioned-names",
        lambda r: rename(r, DEPLOYMENT, "ledger"),
    ),
    Mutation(
        "The version is not in the Job's logical name", "versioned-names", lambda r: rename(r, JOB, "ledger-migrate")
    ),
    Mutation(
        "The Deployment is by an alias that of the version before",
        "versioned-names",
        lambda r: r.update(
            {DEPLOYMENT: replace(r[DEPLOYMENT], aliases=(r[DEPLOYMENT].urn.replace("1.1.0", "1.0.0"),))}
        ),
    ),
    Mutation("The Deployment of the migrated version is missing", "whole-modules", _without_deployment),
    Mutation("A Job of a newer version has the labels of this one", "whole-modules", _newer_job),
    Mutation(
        "The Job is annotated skipAwait",
        "job-bounded",
        _props(JOB, "metadata", "annotations", "pulumi.com/skipAwait", value="true"),
    ),
    Mutation(
        "The Job waits for its own condition",
        "job-bounded",
        _props(JOB, "metadata", "annotations", "pulumi.com/waitFor", value="condition=Complete"),
    ),
    Mutation("The Job has no deadline", "job-bounded", _props(JOB, "spec", "activeDeadlineSeconds")),
    Mutation("The Job is removed by a TTL", "job-bounded", _props(JOB, "spec", "ttlSecondsAfterFinished", value=30)),
    Mutation("The Job is tried again and again", "job-bounded", _props(JOB, "spec", "backoffLimit", value=10_000)),
    Mutation(
        "The Job's pods carry the Service's labels",
        "job-labels-disjoint",
        _props(JOB, "spec", "template", "metadata", "labels", value=_SELECTOR),
    ),
    Mutation(
        "The Service does not wait for the Deployment",
        "service-selects-one-version",
        _without(SERVICE, "Deployment", "PodDisruptionBudget"),
    ),
    Mutation(
        "The Service selects every version",
        "service-selects-one-version",
        _props(SERVICE, "spec", "selector", "app.kubernetes.io/version"),
    ),
    Mutation(
        "The Service selects a version that is not deployed",
        "service-selects-one-version",
        _props(SERVICE, "spec", "selector", "app.kubernetes.io/version", value="1.2.0"),
    ),
    Mutation("The Job migrates another database", "migration-fits", _environment(JOB, "POSTGRES_DATABASE", "other")),
    Mutation(
        "The Job's URI names another database",
        "migration-fits",
        _environment(JOB, "POSTGRES_URI", "$(POSTGRES_NO_DATABASE_URI)/other"),
    ),
    Mutation(
        "The Job runs the service's command",
        "migration-fits",
        _props(JOB, *_JOB_POD, "containers", 0, "args", value=["serve"]),
    ),
    Mutation("The Job does not wait for the database", "migration-fits", _without(JOB, "ledger-database")),
    Mutation("The Job's pods are none", "job-bounded", _props(JOB, "spec", "completions", value=0)),
    Mutation(
        "A failed Job is not run again",
        "job-bounded",
        _props(JOB, "metadata", "annotations", "pulumi.com/replaceUnready"),
    ),
    Mutation(
        "The Deployment is not waited for",
        "zero-downtime",
        _props(DEPLOYMENT, "metadata", "annotations", "pulumi.com/skipAwait", value="true"),
    ),
    Mutation(
        "The Deployment is deleted before its successor is made",
        "zero-downtime",
        lambda r: r.update({DEPLOYMENT: replace(r[DEPLOYMENT], deleted_first=True)}),
    ),
    Mutation(
        "Two versions' Deployments have one name in Kubernetes",
        "versioned-names",
        _props(DEPLOYMENT, "metadata", "name", value="ledger"),
    ),
    Mutation(
        "The Deployment's selector lacks the version",
        "versioned-names",
        _props(DEPLOYMENT, "spec", "selector", "matchLabels", "app.kubernetes.io/version"),
    ),
)
