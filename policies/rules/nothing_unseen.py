"""What the cluster gets is what the rules see: no object inside another resource, none changed by a second one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from ..kubernetes import Nearby, kind, object_name, patched, place
from ..rule import Examples, Finding, Options, StackRule, title
from ..values import Program, Resource

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
FAILS = """
apiVersion: helm.sh/v3
kind: Release
metadata: {name: ledger}
chart: oci://example.org/charts/ledger
"""


def _not_patched(resource: Resource, program: Program, options: Options) -> Iterator[Finding]:
    """A Patch of what this program declares itself: the rules judge the one, and the cluster gets both."""
    if not patched(resource) or resource.get("spec") is None:
        return
    made_of = {u for urns in resource.property_dependencies.values() for u in urns}
    for other in _declared(program).nearest(place(resource), patched(resource)):
        if other.urn in made_of or object_name(other) == object_name(resource):
            yield Finding(
                f"it changes {title(other)} of this program, which is judged without it",
                f"Write it in {title(other)} itself",
            )


@lru_cache(maxsize=4)
def _declared(program: Program) -> Nearby[Resource]:
    found: Nearby[Resource] = Nearby()
    if any(map(patched, program.resources)):
        for r in program.resources:
            found.add(place(r), kind(r), r)
    return found


def _seen_into(resource: Resource, program: Program, options: Options) -> Iterator[Finding]:
    if kind(resource) == "helm.sh/Release" and resource.get("chart") not in options["releases"]:
        yield Finding(
            "it deploys what no policy sees: the provider renders the chart in the cluster",
            "Use kubernetes.helm.sh/v4.Chart, whose objects are resources of their own; or add its chart to releases of this rule",
        )
    if "/" not in kind(resource) and kind(resource).endswith("List") and resource.get("items"):
        yield Finding("it holds several objects, of which no policy sees any", "Declare each as a resource of its own")


RULE = StackRule(
    name="nothing-unseen",
    description="Every object is a resource of its own, and of one resource only.",
    reason="The objects of a Helm Release are rendered in the cluster and those of a List are one resource, so no rule sees them; a Patch "
    "of what the same program declares changes what was judged without it.",
    severity="high",
    options={
        "releases": {
            "type": "array",
            "items": {"type": "string"},
            "default": [],
            "description": "charts of Helm Releases that may deploy what is not seen",
        }
    },
    examples=Examples(PASSES, FAILS),
    checks=(_not_patched, _seen_into),
)
