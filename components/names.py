"""Labels and names of everything the program makes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from settings import Version

NAME = "app.kubernetes.io/name"
VERSION = "app.kubernetes.io/version"
PART_OF = "app.kubernetes.io/part-of"
MANAGED_BY = "app.kubernetes.io/managed-by"
OWNER = "rollout.formance.com/owner"
MODULE = "rollout.formance.com/module"
REVISION = "rollout.formance.com/revision"
MODULE_VERSION = "rollout.formance.com/version"
JOB = "rollout.formance.com/job"
RECORD = "rollout.formance.com/record"
MODULE_DATABASE = "database"  # the kind of a Job that makes one
MIGRATED = "migrated"  # what is recorded: the version of a database
NO_DATABASE = "rollout.formance.com/no-database"
ELSEWHERE = "elsewhere"  # another program has migrated the database
SINGLETON = "rollout.formance.com/singleton"
DRAINS = "rollout.formance.com/drains"
SQL = "rollout.formance.com/sql"
CREDENTIALS = "rollout.formance.com/credentials"
# How a warning begins that a version gets fewer replicas than the one that serves has.
FEWER = "fewer replicas: "
# Digits that change with the pods of a module's worker: on those pods, and on the Deployment that comes after them.
WORKER = "rollout.formance.com/worker"


@dataclass(frozen=True)
class Owner:
    """The stack that makes an object, told apart from every other by organization, project and stack."""

    organization: str
    project: str
    stack: str

    @property
    def label(self) -> str:
        """At most 63 characters, as labels must be; two stacks of the same name in other projects differ."""
        digest = hashlib.sha256(f"{self.organization}/{self.project}/{self.stack}".encode()).hexdigest()[:8]
        return f"{self.project[:26].rstrip('-._')}.{self.stack[:26].rstrip('-._')}.{digest}"

    @property
    def labels(self) -> dict[str, str]:
        return {MANAGED_BY: "pulumi", PART_OF: self.stack[:63], OWNER: self.label}


def owner_env(stack: str, module: str) -> list[dict[str, str]]:
    """What tells the migrator to whom the databases belong that it makes, marks and drops.

    Args:
        stack: label of the owner.
        module: name.
    """
    return [{"name": "ROLLOUT_STACK", "value": stack}, {"name": "ROLLOUT_MODULE", "value": module}]


def pod_labels(module: str, version: Version, revision: str = "") -> dict[str, str]:
    """What a Deployment and the Service select: one module at one version, and with one configuration where it has such."""
    return {NAME: module, VERSION: version.label} | ({REVISION: revision} if revision else {})


def job_labels(module: str, kind: str, version: Version | None = None) -> dict[str, str]:
    """Labels of a Job and its pods. None of them is in any selector, so a migration's pod can never get traffic."""
    labels = {MODULE: module, JOB: kind}
    return labels | {MODULE_VERSION: version.label} if version else labels


def migrated_name(module: str) -> str:
    """The ConfigMap that records which version a module's database was migrated to."""
    return f"{module}-migrated"


def digest(value: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits that change when the value does; keys may come in any order, lists not."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]
