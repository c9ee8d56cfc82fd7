"""Kubernetes manifests in YAML as the resources that a program of them would declare."""

from __future__ import annotations

from typing import Any

import yaml

from policies.rule import ResourceRule, StackRule, Unknowable, Violation
from policies.values import Program, Resource

_GROUPS = {"v1": "core/v1"}


def declared(text: str) -> list[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    """Type, logical name, inputs and options of each manifest, in order."""
    out = []
    for manifest in yaml.safe_load_all(text):
        options = manifest.pop("pulumi", {})
        if manifest["kind"] == "Outputs":
            out.append(("pulumi:pulumi:Stack", "stack", {k: v for k, v in manifest.items() if k != "kind"}, options))
            continue
        group = manifest["apiVersion"]
        name = options.pop("name", None) or manifest["metadata"]["name"]
        out.append((f"kubernetes:{_GROUPS.get(group, group)}:{manifest['kind']}", name, manifest, options))
    return out


def program(text: str) -> Program:
    """The program that declares the manifests; ``dependsOn`` names are those of earlier ones."""
    resources: list[Resource] = []
    for type_, name, inputs, options in declared(text):
        waits = [r.urn for r in resources if r.name in options.get("dependsOn", ())]
        resources.append(
            Resource(
                type_,
                name,
                f"urn:pulumi:dev::rollout::{type_}::{name}",
                inputs,
                dependencies=tuple(waits),
                protect=options.get("protect", False),
                aliases=tuple(options.get("aliases", ())),
                timeouts=options.get("timeouts", {}),
            )
        )
    return Program(tuple(resources))


def judge(rule: ResourceRule | StackRule, judged: Program, **options: Any) -> list[Violation | Unknowable]:
    if isinstance(rule, StackRule):
        return list(rule.judge(judged, options))
    found = [f for r in judged.resources for f in rule.judge(r, options)]
    if rule.defaults:
        found += [Violation(r.urn, str(d)) for r in judged.resources for d in rule.defaults(r)]
    return found


def messages(rule: ResourceRule | StackRule, text: str, **options: Any) -> list[str]:
    return [
        f.message if isinstance(f, Violation) else f"unknown: {f.path}" for f in judge(rule, program(text), **options)
    ]
