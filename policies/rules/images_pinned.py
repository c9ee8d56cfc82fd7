"""Images that are the same today and tomorrow, from where they may come."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..images import Image
from ..kubernetes import containers, is_workload, named
from ..rule import Examples, Finding, Options, ResourceRule
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


def _pinned(resource: Resource, options: Options) -> Iterator[Finding]:
    if not is_workload(resource):
        return
    for container in containers(resource):
        text = get(container, "image")
        if not text:
            continue  # a patch that leaves the image alone
        image = Image.parse(str(text))
        if image.tag is None and image.digest is None:
            yield Finding(
                f"{named(container)} runs {text}, which has no tag and so means latest",
                f"Write the version: {text}:1.1.0",
            )
        elif image.digest is None and image.tag and re.fullmatch(options["movingTags"], image.tag, re.IGNORECASE):
            yield Finding(
                f"{named(container)} runs {text}, and the tag {image.tag} is another image tomorrow",
                "Write the tag of one version, or a digest",
            )
        if options["requireDigest"] and image.digest is None:
            yield Finding(
                f"{named(container)} runs {text} without a digest",
                f"Write {image.repository}:{image.tag or 'TAG'}@sha256:...; `crane digest {text}` tells it",
            )
        registries = options["registries"]
        if registries and not any(f"{image.repository}/".startswith(r.rstrip("/") + "/") for r in registries):
            yield Finding(
                f"{named(container)} runs {text}, from a registry that is not allowed",
                f"Use one of: {', '.join(registries)}",
            )


RULE = ResourceRule(
    name="images-pinned",
    description="Every image names one version, by digest where asked, from an allowed registry.",
    reason="A moving tag lets the migration and the service run different code under one version, gives each node its own, and makes going "
    "back impossible: Pulumi sees no change.",
    severity="high",
    options={
        "movingTags": {
            "type": "string",
            "default": "latest|main|master|head|edge|nightly|dev|develop|snapshot|canary|stable|unstable|next",
            "description": "regular expression of the tags that move",
        },
        "requireDigest": {"type": "boolean", "default": False, "description": "whether images must be given by digest"},
        "registries": {
            "type": "array",
            "items": {"type": "string"},
            "default": [],
            "description": "registries or repositories' beginnings that are allowed; empty allows all",
        },
    },
    examples=Examples(PASSES, FAILS),
    checks=(_pinned,),
)
