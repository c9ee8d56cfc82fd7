"""Whoever pastes what is to be done, in its order, has a stack that `rollout check` lets pass."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from automation.check import check
from automation.operator import import_files
from automation.operator.translate import MIGRATOR
from policies import levels
from tests.unit.automation.operator.objects import Document, ledger, made, module, setting, stack

# Sets a value as `pulumi config set --path` does, https://www.pulumi.com/docs/iac/cli/commands/pulumi_config_set/.
PULUMI = """
import re, sys, yaml
if sys.argv[1:3] == ["config", "set"]:
    stack, path, value = sys.argv[4], sys.argv[6], sys.argv[7]
    file = f"Pulumi.{stack}.yaml"
    content = yaml.safe_load(open(file))
    place = content["config"]
    *steps, last = [quoted or plain for quoted, plain in re.findall(r'\\["([^"]*)"\\]|([^.\\[]+)', path)]
    for step in steps:
        place = place.setdefault(step, {})
    place[last] = value
    open(file, "w").write(yaml.safe_dump(content))
elif sys.argv[1:3] != ["stack", "init"]:
    sys.exit("not known: " + " ".join(sys.argv))
"""
KUBECTL = """#!/bin/sh
echo "$*" >> "$LOG"
case "$*" in
*create*) ;;
*deployments*) echo '        - --licence-secret=formance-licence' ;;
*role-arn*) printf arn:aws:iam::1:role/stack ;;
*.data.*) printf %s YXBw ;;  # app
*) printf app ;;
esac
"""

KAFKA = "kafka://k:9092?saslEnabled=true&saslUsername=u&saslPassword=canary&saslMechanism=PLAIN"
STACKS: dict[str, list[Document]] = {
    "kubectl get": list(yaml.safe_load_all((Path(__file__).parent / "kubectl_get.yaml").read_text())),
    "mirror": ledger(
        setting("registries.*.endpoint", "mirror.example.org/formance?pullSecret=zot", name="e"),
        setting('registries.*.images."formancehq/ledger".rewrite', "other/ledger", name="r"),
    ),
    "aws": ledger(setting("aws.service-account", "formance", name="aws")),
    "variables": ledger(
        setting("deployments.ledger.containers.ledger.env-vars", "POSTGRES_PASSWORD=hunter2,API_TOKEN=s3cr3t,LEVEL=1")
    ),
    "payments": [
        stack(version="v3.4.0"), module("Payments", "p", encryptionKey="ClaptonIsGod"),
        setting("postgres.*.uri", "postgresql://u:p@pg:5432", name="pg"), setting("temporal.dsn", "temporal://t:7233/ns", name="t"),
        setting("temporal.tls.crt", "C", name="c"), setting("temporal.tls.key", "K", name="k"), setting("broker.dsn", KAFKA, name="b"),
    ],
    "no broker": ledger(module("Webhooks", "w"), module("Orchestration", "o")),
    "no server": [stack(), module("Ledger", "l"), module("Auth", "a"), setting("postgres.ledger.uri", "postgresql://pg:5432?secret=pg")],
    "gateway": [stack(version="v2.3.1"), module("Gateway", "g", ingress={"host": "a.example.org", "scheme": "https"})],
    "staging": [stack("staging-a"), module("Ledger", "l", "staging-a"), setting("postgres.*.uri", "postgresql://pg:5432?secret=pg")],
    "migrated": ledger(
        made("Database", "s1-ledger", {"stack": "s1", "service": "ledger"}, metadata={"annotations": {"formance.com/module-version": "v2.4.12"}}),
    ),
    "client": ledger(module("Auth", "a"), made("AuthClient", "c", {"stack": "s1", "id": "c", "secretFromSecret": {"name": "n", "key": "k"}})),
}  # fmt: skip


@pytest.mark.parametrize("name", STACKS)
def test_check_passes_once_everything_is_done(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: rollout\nruntime: python\n")
    shutil.copytree(levels.CONFIG, tmp_path / "policies/config")
    monkeypatch.setattr(levels, "CONFIG", tmp_path / "policies/config")
    (tmp_path / "in.yaml").write_text(yaml.safe_dump_all(STACKS[name]))
    written = import_files([tmp_path / "in.yaml"], tmp_path)
    script = [c for step in written.todo for c in step.commands if not c.startswith("bin/rollout")]
    said = run(script, tmp_path)
    (checked,) = check(tmp_path, [written.imported.stack])
    assert (checked.error, [f.message for f in checked.findings if f.mandatory]) == ("", [])
    # Each Secret that the settings refer to was made, in the stack's namespace.
    namespace = written.imported.config["namespace"]["name"]
    made = {line.split("generic ")[1].split()[0] for line in said if f"-n {namespace} create secret generic" in line}
    assert made >= referred(yaml.safe_load(written.files[0].read_text()))


def run(script: list[str], folder: Path) -> list[str]:
    """What kubectl was called with."""
    stubs = folder / "bin"
    stubs.mkdir()
    (stubs / "pulumi.py").write_text(PULUMI)
    (stubs / "pulumi").write_text(f'#!/bin/sh\nexec {sys.executable} {stubs}/pulumi.py "$@"\n')
    (stubs / "kubectl").write_text(KUBECTL)
    (stubs / "docker").write_text("#!/bin/sh\n")
    for stub in stubs.iterdir():
        stub.chmod(0o755)
    environment = {"PATH": f"{stubs}:{os.environ['PATH']}", "LOG": str(folder / "log")}
    command = ["bash", "-euc", "\n".join(script)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return (folder / "log").read_text().splitlines()


def referred(value: object) -> set[str]:
    """The Secrets that settings refer to."""
    if isinstance(value, dict):
        if set(value) == {"name", "key"}:
            return {value["name"]}
        own = {value[name] for name in ("pullSecret", "tlsSecret") if name in value}
        return own.union(*map(referred, value.values())) if value else own
    if isinstance(value, list):
        return set().union(*map(referred, value))
    uri = str(value)
    return {uri.split("secret=")[1].split("&")[0]} if "?" in uri and "secret=" in uri and "NAME" not in uri else set()


def test_the_steps_of_one_stack_are_in_the_order_to_do_them(tmp_path: Path) -> None:
    (tmp_path / "in.yaml").write_text(yaml.safe_dump_all(STACKS["payments"]))
    commands = [c for step in import_files([tmp_path / "in.yaml"], tmp_path).todo for c in step.commands]
    order = [
        "pulumi stack init",
        "create namespace",
        "create secret",
        "docker push",
        "rollout:migratorImage",
        "sed -i",
        "bin/rollout check",
        "bin/rollout preview",
    ]
    places = [next(n for n, command in enumerate(commands) if what in command) for what in order]
    assert places == sorted(places)


def test_the_file_that_builds_the_migrator_is_there() -> None:
    assert Path(MIGRATOR).is_file()


def test_the_policies_file_is_still_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test_check_passes_once_everything_is_done("mirror", tmp_path, monkeypatch)
    content = json.loads((tmp_path / "policies/config/prod.json").read_text())
    assert set(content["images-pinned"]["registries"]) == {
        "ghcr.io/formancehq",
        "mirror.example.org/formance/other",
        "registry.example.org/rollout",
    }
