"""A foreign program that keeps every rule of production, and ways to change it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from policies.values import Program, Resource
from tests.unit.policies.manifests import program

JOB, DEPLOYMENT, SERVICE, BUDGET = "Job/api-7-migrate", "Deployment/api", "Service/api", "PodDisruptionBudget/api"
Resources = dict[str, Resource]
Change = Callable[[Resources], Any]

_CONTAINER = """
          resources: {requests: {cpu: 25m, memory: 64Mi}, limits: {memory: 256Mi}}
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
          env: [{name: POSTGRES_DB, value: api}]"""
_POD = """
      automountServiceAccountToken: false
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}"""
TEXT = f"""
apiVersion: batch/v1
kind: Job
metadata: {{name: api-7-migrate, namespace: prod, annotations: {{pulumi.com/timeoutSeconds: "660"}}}}
spec:
  activeDeadlineSeconds: 600
  backoffLimit: 0
  template:
    metadata: {{labels: {{job: api-migrate}}, annotations: {{rollout.formance.com/backup: pvc}}}}
    spec:
      restartPolicy: Never{_POD}
      containers:
        - name: migrate
          image: ghcr.io/formancehq/api:7.0.0
          args: [migrate]{_CONTAINER}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: api, namespace: prod}}
pulumi: {{dependsOn: [api-7-migrate]}}
spec:
  replicas: 2
  strategy: {{type: RollingUpdate, rollingUpdate: {{maxUnavailable: 0, maxSurge: 1}}}}
  selector: {{matchLabels: {{app: api}}}}
  template:
    metadata: {{labels: {{app: api}}}}
    spec:{_POD}
      containers:
        - name: api
          image: ghcr.io/formancehq/api:7.0.0
          args: [serve]{_CONTAINER}
          ports: [{{containerPort: 8080}}]
          readinessProbe: {{httpGet: {{path: /, port: 8080}}}}
          livenessProbe: {{httpGet: {{path: /, port: 8080}}}}
          lifecycle: {{preStop: {{sleep: {{seconds: 3}}}}}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{name: api, namespace: prod}}
spec: {{maxUnavailable: 1, selector: {{matchLabels: {{app: api}}}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: api, namespace: prod}}
pulumi: {{dependsOn: [api]}}
spec: {{selector: {{app: api}}, ports: [{{port: 80}}]}}
"""


def changed(*changes: Change) -> Program:
    """The program after these changes, which see its resources by "Kind/name"."""
    every = program(TEXT).resources
    resources = {f"{r.type.rpartition(':')[2]}/{r.name}": replace(r, props=copy.deepcopy(dict(r.props))) for r in every}
    for change in changes:
        change(resources)
    return Program(tuple(resources.values()))


def pod(r: Resource) -> dict[str, Any]:
    found: dict[str, Any] = r.props["spec"]["template"]["spec"]
    return found


def container(r: Resource) -> dict[str, Any]:
    found: dict[str, Any] = pod(r)["containers"][0]
    return found


def having(key: str, **changes: Any) -> Change:
    """Replaces what Pulumi knows of a resource: its type, its parent, what it waits for (by key), ..."""

    def change(resources: Resources) -> None:
        if "waits" in changes:
            urns = tuple(resources[k].urn if k in resources else k for k in changes["waits"])
            changes["dependencies"] = urns
        resources[key] = replace(resources[key], **{k: v for k, v in changes.items() if k != "waits"})

    return change


def running(key: str, **fields: Any) -> Change:
    """Sets fields of a workload's container, or removes them where the value is None."""

    def change(resources: Resources) -> None:
        own = container(resources[key])
        own |= fields
        for name in [n for n, v in fields.items() if v is None]:
            own.pop(name, None)

    return change


def annotated(key: str, **annotations: str) -> Change:
    """Annotations, those without a slash of ours, such as no_database."""

    def change(resources: Resources) -> None:
        own = resources[key].props["metadata"].setdefault("annotations", {})
        own |= {n if "/" in n else f"rollout.formance.com/{n.replace('_', '-')}": v for n, v in annotations.items()}

    return change


def without(*keys: str) -> Change:
    """Takes resources out, and what waits for them waits for them no more."""

    def change(resources: Resources) -> None:
        gone = {resources.pop(key).urn for key in keys}
        for key, r in resources.items():
            resources[key] = replace(r, dependencies=tuple(d for d in r.dependencies if d not in gone))

    return change


def having_too(text: str, **changes: Any) -> Change:
    """Adds the resources of manifests."""

    def change(resources: Resources) -> None:
        for r in program(text).resources:
            key = f"{r.type.rpartition(':')[2]}/{r.name}"
            resources[key] = r
            if changes:
                having(key, **changes)(resources)

    return change


def copied(key: str, name: str, change: Change | None = None) -> Change:
    """Adds a copy of a resource under another name, changed."""

    def add(resources: Resources) -> None:
        old = resources[key]
        props = copy.deepcopy(dict(old.props))
        props["metadata"]["name"] = name
        new = {key: replace(old, name=name, urn=f"{old.urn.rpartition('::')[0]}::{name}", props=props)}
        if change:
            change(new)
        resources[f"{key.partition('/')[0]}/{name}"] = new[key]

    return add
