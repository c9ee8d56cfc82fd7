"""Each version of a module has resources of its own in Pulumi's state."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256

from ..images import Image
from ..kubernetes import annotation, kind, label, object_name, selector
from ..migration import (
    JOB,
    MODULE,
    MODULE_VERSION,
    NAME,
    SINGLETON,
    VERSION,
    images_of,
    is_migration,
    migrated,
    migrating,
    migrations_of,
    needs_gate,
)
from ..rule import Examples, Finding, Options, StackRule
from ..selection import tells_version
from ..values import Program, Resource, get
from .gate import PASSES as _GATED

PASSES = _GATED.replace(
    "metadata: {name: ledger-1-1-0-migrate}",
    "metadata: {name: ledger-1-1-0-migrate, labels: {rollout.formance.com/job: migrate}}",
)
FAILS = PASSES.replace("ledger-1.1.0-migrate", "ledger-migrate").replace("name: ledger-1.1.0,", "name: ledger,")


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _ours(resource: Resource, program: Program) -> bool:
    if kind(resource) == "Deployment":
        if annotation(resource, SINGLETON) == "true":
            return False  # one for all versions: it is stopped before its next version starts
        return needs_gate(resource, program) and any(label(j, JOB) for j in migrations_of(resource, program))
    return is_migration(resource) and label(resource, JOB) is not None


def _versioned(resource: Resource, program: Program, options: Options) -> Iterator[Finding]:
    if not _ours(resource, program):
        return
    moved = migrating(resource) if kind(resource) == "Job" else migrated(resource, program)
    named = [i for i in images_of(moved) if i.tag or i.digest]
    if not named:
        return
    # An image that only migrates has a version of its own; whose it migrates to is told by the Job's label.
    said = label(resource, MODULE_VERSION) if kind(resource) == "Job" else None
    versions = [text for text in (said, *map(_text, named)) if text]
    version = said or named[0].tag or "VERSION"
    other = (
        f", or label it {MODULE_VERSION} where its image only migrates" if kind(resource) == "Job" and not said else ""
    )
    module = label(resource, NAME) or label(resource, MODULE) or resource.name
    example = f"{module}-{version}{'-migrate' if kind(resource) == 'Job' else ''}"
    if not any(_is_in(text, resource.name) for text in versions):
        yield Finding(
            f"its name in Pulumi's state does not have its version {version}, so an update changes or replaces the one that serves",
            f"Name it {example}{other}",
        )
    name = object_name(resource)
    if name is not None and not any(_is_in(text, name) for text in versions):
        yield Finding(
            f"its name in Kubernetes, {name}, does not have its version {version}: two versions would be one object, which the old one's deletion takes away",
            f"Name it {_slug(example)}{other}, or leave metadata.name out",
        )


def _selects_its_own(resource: Resource, program: Program, options: Options) -> Iterator[Finding]:
    if kind(resource) == "Deployment" and _ours(resource, program):
        labels = get(selector(resource), "matchLabels") or {}
        if not any(name in labels for name in (VERSION, "version")):
            yield Finding(
                "its selector does not have its version, so that two versions' Deployments would fight over each other's pods",
                f"Add {VERSION} to its selector and to the labels of its pods",
            )


def _same_as_before(resource: Resource, program: Program, options: Options) -> Iterator[Finding]:
    """An alias makes one resource of two versions' in Pulumi's state. One of the same name only moves it, into a component."""
    if _ours(resource, program):
        before = next((n for n in (urn.rpartition("::")[2] for urn in resource.aliases) if n != resource.name), None)
        if before is not None:
            yield Finding(
                f"by its alias it is what was named {before}, so an update changes or replaces the one that serves",
                "Remove the alias; a version is a resource of its own",
            )


# Kinds whose selector cannot be changed: Pulumi replaces the object and, as its name is taken, deletes the one that serves first.
_IMMUTABLE = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")


def _kept_by_its_selector(resource: Resource, program: Program, options: Options) -> Iterator[Finding]:
    if kind(resource) not in _IMMUTABLE:
        return
    told = tells_version(resource)
    if not told:
        return
    name = object_name(resource)
    if name is None or any(_slug(str(value)) in _slug(name) for value in told.values()):
        return
    if annotation(resource, SINGLETON) != "true":
        label_, value = next(iter(told.items()))
        yield Finding(
            f"its selector has {label_}: {value} and its name in Kubernetes, {name}, has not: a selector cannot be changed, so the next version "
            "deletes the one that serves before it starts",
            f"Take {label_} out of its selector, or name it {_slug(f'{name}-{value}')}, or leave metadata.name out",
        )


# A commit's hash, which names have as many digits of as they like, from twelve.
_COMMIT = re.compile(r"((?:sha|git)-)?(?=[0-9]*[a-f])([0-9a-f]{12})[0-9a-f]*")
# What makes another version of one, behind it in a name: 1.1.0 is not in ledger-1.1.0-rc.1, nor 1 in ledger-1.9.9.
_GOES_ON = r"-(\d{1,4}|(alpha|beta|rc|pre|preview|snapshot)(-?\d+)?|(dev|post|build|hotfix|patch|p|m|b)-?\d+)(-|$)"


def _text(image: Image) -> str:
    return image.tag or (image.digest or "").removeprefix("sha256:")


def _is_in(text: str, name: str) -> bool:
    """Whether a name has a version as a part of its own, or six digits of its SHA-256 where it is too long for a name."""
    slug, digits = _slug(text), sha256(text.encode()).hexdigest()[:6]
    commit = _COMMIT.fullmatch(slug)
    whole = f"{commit[1] or ''}{commit[2]}[0-9a-f]*" if commit else re.escape(slug)
    return re.search(rf"(^|-)({whole}|{digits})(?!{_GOES_ON})(-|$)", _slug(name)) is not None


RULE = StackRule(
    name="versioned-names",
    description="The Deployment and the migration Job of a labelled module have their whole version in their names, and it in its selector; no alias makes them those of another.",
    reason="Then a version's resources are new ones to Pulumi: made first, the old ones deleted only after everything succeeded, and going back "
    "after a failure changes nothing. Programs that do not use the labels of migration Jobs are left to update in place, unless a selector has the version: "
    "it cannot be changed, and an object of the same name is deleted first.",
    unseen="a version under a label of another name whose value is not the image's tag, a selector that an operator fills "
    "in, and names that are not known yet",
    severity="high",
    examples=Examples(PASSES, FAILS),
    checks=(_versioned, _same_as_before, _selects_its_own, _kept_by_its_selector),
)
