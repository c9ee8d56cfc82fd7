"""Images that are the same today and tomorrow, from where they may come."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..images import Image
from ..kubernetes import containers, is_workload, named, pod
from ..rule import Examples, Finding, Options, ResourceRule, texts
from ..values import Resource, get

PASSES = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: ledger}
spec:
  selector: {matchLabels: {app: ledger}}
  template:
    metadata: {labels: {app: ledger}}
    spec:
      containers: [{name: ledger, image: example.org/ledger:1.1.0}]
"""
FAILS = PASSES.replace("ledger:1.1.0", "ledger:latest")


# latest-alpine moves as latest does; main-1a2b3c4 is of one commit, and main-20240115 of one day.
_FLAVOUR = r"([-_](?!g?[0-9a-f]{7,}([-_]|$))[a-z][a-z0-9.]*)*"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


def _references(resource: Resource) -> Iterator[tuple[str, Any]]:
    """Who runs or mounts which image; a patch may leave it alone."""
    for container in containers(resource):
        yield f"{named(container)} runs", get(container, "image")
    spec = pod(resource)
    for n in range(len(get(spec, "volumes") or ())):
        yield f"volume {get(spec, 'volumes', n, 'name')!r} holds", get(spec, "volumes", n, "image", "reference")


def _pinned(resource: Resource, options: Options) -> Iterator[Finding]:
    if not is_workload(resource):
        return
    moving = re.compile(f"({options['movingTags']}){_FLAVOUR}", re.IGNORECASE)
    for who, text in _references(resource):
        if not text:
            continue
        image = Image.parse(str(text))
        if image.digest is not None and not _DIGEST.fullmatch(image.digest):
            yield Finding(
                f"{who} {text}, and {image.digest} is no digest",
                "Write sha256: and 64 hexadecimal digits; `crane digest IMAGE` tells them",
            )
        elif image.tag is None and image.digest is None:
            yield Finding(
                f"{who} {text}, which has no tag and so means latest",
                f"Write the version: {text}:1.1.0",
            )
        elif image.digest is None and image.tag and moving.fullmatch(image.tag):
            yield Finding(
                f"{who} {text}, and the tag {image.tag} is another image tomorrow",
                "Write the tag of one version, or a digest",
            )
        if options["requireDigest"] and image.digest is None:
            yield Finding(
                f"{who} {text} without a digest",
                f"Write {image.repository}:{image.tag or 'TAG'}@sha256:...; `crane digest {text}` tells it",
            )
        registries = options["registries"]
        if registries and not any(f"{image.repository}/".startswith(r.rstrip("/") + "/") for r in registries):
            yield Finding(
                f"{who} {text}, from a registry that is not allowed",
                f"Use one of: {', '.join(registries)}",
            )


RULE = ResourceRule(
    name="images-pinned",
    description="Every image names one version, by digest where asked, from an allowed registry.",
    reason="A moving tag lets the migration and the service run different code under one version, gives each node its own, and makes going "
    "back impossible: Pulumi sees no change.",
    unseen="a tag of one version that is pushed again; a digest alone helps against that",
    severity="high",
    options={
        "movingTags": {
            "type": "string",
            "default": r"latest|main|mainline|master|trunk|head|tip|edge|nightly|rolling|current|dev|develop|development|snapshot|canary"
            r"|alpha|beta|rc|preview|test|testing|qa|staging|stable|unstable|next|lts|release|prod|production|v\d{1,2}|\d{1,2}-[a-z]+[0-9.]*",
            "description": "regular expression of the tags that move, with or without words behind them (`latest-alpine`); `v2` and `16-alpine` are among them, a number alone is not, as it may be that of a build",
        },
        "requireDigest": {"type": "boolean", "default": False, "description": "whether images must be given by digest"},
        "registries": texts("registries or repositories' beginnings that are allowed; empty allows all"),
    },
    examples=Examples(PASSES, FAILS),
    checks=(_pinned,),
)
