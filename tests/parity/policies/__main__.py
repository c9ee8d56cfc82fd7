"""Rules of every kind and level: about one resource and about the stack, advisory and mandatory, one with a configuration."""

from __future__ import annotations

from collections.abc import Callable

from pulumi_policy import (
    EnforcementLevel,
    PolicyConfigSchema,
    PolicyPack,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)

Report = Callable[..., None]
DEPLOYMENT, JOB = "kubernetes:apps/v1:Deployment", "kubernetes:batch/v1:Job"


def two_replicas(args: ResourceValidationArgs, report: Report) -> None:
    if args.resource_type == DEPLOYMENT and args.props["spec"]["replicas"] < 2:
        report("fewer than 2 replicas")


def no_hang(args: ResourceValidationArgs, report: Report) -> None:
    longest = args.get_config().get("maxDeadline", 600)
    if args.resource_type == JOB and args.props["spec"]["activeDeadlineSeconds"] > longest:
        report("deadline too long")


def gated(args: StackValidationArgs, report: Report) -> None:
    for resource in args.resources:
        waits = any(dependency.resource_type == JOB for dependency in resource.dependencies)
        if resource.resource_type == DEPLOYMENT and not waits:
            report("not gated by a Job", resource.urn)


PolicyPack(
    "rec-rules",
    policies=[
        ResourceValidationPolicy(
            "two-replicas", "At least two replicas", two_replicas, enforcement_level=EnforcementLevel.ADVISORY
        ),
        ResourceValidationPolicy(
            "no-hang",
            "Jobs end",
            no_hang,
            enforcement_level=EnforcementLevel.MANDATORY,
            config_schema=PolicyConfigSchema(properties={"maxDeadline": {"type": "integer"}}),
        ),
        StackValidationPolicy(
            "gated", "Every Deployment waits for its migration", gated, enforcement_level=EnforcementLevel.MANDATORY
        ),
    ],
)
