"""A Pulumi program that has nothing of ours: it declares the manifests of a file."""

import os
from pathlib import Path

import pulumi
import yaml

made: dict[str, pulumi.Resource] = {}
for manifest in yaml.safe_load_all(Path(os.environ["MANIFESTS"]).read_text()):
    options = manifest.pop("pulumi", {})
    if manifest["kind"] == "Outputs":
        for key, value in manifest.items():
            pulumi.export(key, value)
        continue
    name = options.get("name", manifest["metadata"]["name"])
    made[name] = pulumi.CustomResource(
        f"kubernetes:{manifest['apiVersion'].replace('v1', 'core/v1') if '/' not in manifest['apiVersion'] else manifest['apiVersion']}:{manifest['kind']}",
        name,
        manifest,
        pulumi.ResourceOptions(
            depends_on=[made[other] for other in options.get("dependsOn", ())], protect=options.get("protect")
        ),
    )
