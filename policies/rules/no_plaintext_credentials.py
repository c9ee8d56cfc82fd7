"""Credentials are in Secrets, not in manifests and ConfigMaps."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ..credentials import looks_like
from ..kubernetes import HOOKS, containers, is_workload, kind, named, template_path
from ..rule import Examples, Finding, Options, ResourceRule, texts
from ..values import UNKNOWN, NotKnown, Resource, get

PASSES = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: ledger}
spec:
  selector: {matchLabels: {app: ledger}}
  template:
    metadata: {labels: {app: ledger}}
    spec:
      containers:
        - name: ledger
          image: example.org/ledger:1.1.0
          env:
            - {name: POSTGRES_PASSWORD, valueFrom: {secretKeyRef: {name: postgres, key: password}}}
            - {name: POSTGRES_URI, value: "postgresql://ledger:$(POSTGRES_PASSWORD)@db:5432/ledger"}
"""
FAILS = PASSES.replace("$(POSTGRES_PASSWORD)", "hunter2")
_INSTEAD = "Put it into a Secret and refer to it: valueFrom.secretKeyRef, or $(VARIABLE) of one; a ConfigMap's key becomes one of a Secret"


class _Written(NamedTuple):
    """A text in a manifest: where, under which name if it has one, itself or ``UNKNOWN``, whether the name says what it is."""

    where: str
    name: str
    text: Any
    by_name: bool = True


def _in_containers(resource: Resource, options: Options) -> Iterator[Finding]:
    if is_workload(resource):
        yield from _judged((text for c in containers(resource) for text in _of_container(c)), options)


def _in_config_maps(resource: Resource, options: Options) -> Iterator[Finding]:
    if kind(resource).removesuffix("Patch") == "ConfigMap":
        keys = [_Written(f"the key {key!r}", key, text) for key, text in _items(resource.props, "data")]
        keys += [
            _Written(f"the key {key!r}", key, _decoded(text)) for key, text in _items(resource.props, "binaryData")
        ]
        yield from _judged(keys, options)


def _in_annotations(resource: Resource, options: Options) -> Iterator[Finding]:
    if kind(resource):
        paths: list[tuple[str, ...]] = [("metadata", "annotations")]
        if is_workload(resource) and template_path(resource):
            paths.append((*template_path(resource), "metadata", "annotations"))
        # Judged by what they say only: an annotation named like a credential names a Secret.
        found = [
            _Written(f"the annotation {key}", key, text, by_name=False)
            for path in paths
            for key, text in _items(resource.props, *path)
        ]
        yield from _judged(found, options)


def _judged(written: Iterable[_Written], options: Options) -> Iterator[Finding]:
    """What stands there; then, for a value that is wholly another resource's output, that it is not known."""
    unknown = None
    for where, name, text, by_name in written:
        if text is UNKNOWN:
            unknown = unknown or where
        else:
            what = None if name in options["allowed"] else looks_like(name if by_name else "", text)
            if what:
                yield Finding(f"{what} stands in plain text in {where}", _INSTEAD)
    if unknown:
        raise NotKnown(unknown)


def _of_container(container: Mapping[str, Any]) -> Iterator[_Written]:
    who = named(container)
    for entry in _list(container, "env"):
        if entry is UNKNOWN:
            yield _Written(f"a variable of {who}", "", UNKNOWN)
        else:
            given = _read(entry, "name")
            name = "" if given is UNKNOWN else str(given)
            yield _Written(f"the variable {name} of {who}", name, _read(entry, "value"))
    commands = [(key,) for key in ("command", "args")] + [(*hook, "exec", "command") for hook in HOOKS]
    for path in commands:
        words = _list(container, *path)
        place = f"{'.'.join(path)} of {who}"
        yield _Written(place, "", " ".join(str(w) for w in words if w is not UNKNOWN))
        if UNKNOWN in words:
            yield _Written(place, "", UNKNOWN)
    for hook in HOOKS:
        yield _Written(f"the path of {'.'.join(hook)} of {who}", "", _read(container, *hook, "httpGet", "path"))
        for header in _list(container, *hook, "httpGet", "httpHeaders"):
            given = _read(header, "name")
            yield _Written(f"{'.'.join(hook)} of {who}", "" if given is UNKNOWN else str(given), _read(header, "value"))


def _read(value: Any, *path: str | int) -> Any:
    try:
        return get(value, *path)
    except NotKnown:
        return UNKNOWN


def _list(value: Any, *path: str) -> list[Any]:
    found = _read(value, *path)
    return [UNKNOWN] if found is UNKNOWN else [_read(found, n) for n in range(len(found or ()))]


def _items(value: Any, *path: str) -> list[tuple[str, Any]]:
    found = _read(value, *path)
    return [("?", UNKNOWN)] if found is UNKNOWN else [(key, _read(found, key)) for key in found or ()]


def _decoded(text: Any) -> Any:
    """What is in a key of binaryData, as far as it is text."""
    try:
        return UNKNOWN if text is UNKNOWN else b64decode(text).decode(errors="ignore")
    except ValueError:
        return ""


RULE = ResourceRule(
    name="no-plaintext-credentials",
    description="No credential stands in an environment variable, a command, a probe, an annotation or a ConfigMap.",
    reason="Everybody who may read Deployments and ConfigMaps reads it, it is in the state and in every diff, and it stays in the history of "
    "ReplicaSets. Marking it as a Pulumi secret hides it from the state only. Found by names such as DB_PASSWORD, by `password: ...` in a "
    "text, and by what tokens, keys and URIs look like; one under a name that says nothing, of a form that nobody knows, is not.",
    unseen="a credential of a form that nobody knows under a name that says nothing, one in objects of kinds that are not "
    "Kubernetes' own, and one in an image",
    severity="critical",
    options={
        "allowed": texts("names of variables, keys, headers and annotations whose values only look like credentials")
    },
    examples=Examples(PASSES, FAILS),
    checks=(_in_containers, _in_config_maps, _in_annotations),
)
