"""The SDK's own pack host with this pack, asked over gRPC as an engine asks it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import analyzer_pb2 as wire
from pulumi.runtime.proto import analyzer_pb2_grpc
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE

from policies.values import UNKNOWN, Program, Provider, Resource
from tests.unit.policies.engine import PACK


@dataclass(frozen=True)
class Diagnostic:
    """One violation as the engine gets it."""

    rule: str
    urn: str
    mandatory: bool
    message: str


class Host:
    """A running pack host, configured as its own files say for a stack."""

    def __init__(self, channel: grpc.Channel, pid: int) -> None:
        self._pid = pid
        self._stub: Any = analyzer_pb2_grpc.AnalyzerStub(channel)
        self._info = self._stub.GetAnalyzerInfo(empty_pb2.Empty())
        self._stub.Configure(wire.ConfigureAnalyzerRequest(policyConfig=self._info.initialConfig))

    def disable(self) -> None:
        """Turns every rule off, so that a request costs what the SDK takes to receive and answer it."""
        off = {policy.name: wire.PolicyConfig(enforcementLevel=wire.DISABLED) for policy in self._info.policies}
        self._stub.Configure(wire.ConfigureAnalyzerRequest(policyConfig=off))

    def cpu_seconds(self) -> float:
        """What the host has computed so far; unlike the clock, whatever else the machine does."""
        times = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return sum(int(t) for t in times) / os.sysconf("SC_CLK_TCK")

    def remediate(self, resource: Resource) -> list[dict[str, Any]]:
        """The properties as the pack would have them, as they go over the wire."""
        response = self._stub.Remediate(_analyze(resource))
        return [json_format.MessageToDict(r.properties) for r in response.remediations]

    def judge(self, program: Program) -> list[Diagnostic]:
        """What the pack says of each resource, and of them all."""
        found = [d for r in program.resources for d in self._stub.Analyze(_analyze(r)).diagnostics]
        stack = wire.AnalyzeStackRequest(resources=[_in_stack(r) for r in program.resources])
        found += self._stub.AnalyzeStack(stack).diagnostics
        return [Diagnostic(d.policyName, d.urn, d.enforcementLevel == wire.MANDATORY, d.message) for d in found]


def told(asked: Host, judged: Program, rule: str = "") -> list[str]:
    """What forbids the update, by one rule or by any."""
    return [d.message for d in asked.judge(judged) if d.mandatory and rule in ("", d.rule)]


@contextmanager
def host(stack: str) -> Iterator[Host]:
    """Starts the host as engines do: ``python -m pulumi.policy ENGINE_ADDRESS PACK``."""
    environment = {**os.environ, "PULUMI_PROJECT": "rollout", "PULUMI_STACK": stack, "PULUMI_DRY_RUN": "true"}
    command = [sys.executable, "-u", "-m", "pulumi.policy", "127.0.0.1:1", str(PACK)]
    with subprocess.Popen(command, cwd=PACK, env=environment, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            with grpc.insecure_channel(f"127.0.0.1:{int(process.stdout.readline())}") as channel:
                yield Host(channel, process.pid)
        finally:
            process.kill()


def _wire(value: Any) -> Any:
    if value is UNKNOWN:
        return UNKNOWN_STRING_VALUE
    if isinstance(value, Mapping):
        return {k: _wire(v) for k, v in value.items() if v is not None}
    return [_wire(v) for v in value] if isinstance(value, list | tuple) else value


def _common(r: Resource) -> dict[str, Any]:
    properties = struct_pb2.Struct()
    properties.update(_wire(r.props))
    options = wire.AnalyzerResourceOptions(
        protect=r.protect,
        parent=r.parent,
        aliases=r.aliases,
        customTimeouts=wire.AnalyzerResourceOptions.CustomTimeouts(**r.timeouts),
        deleteBeforeReplace=r.deleted_first,
        deleteBeforeReplaceDefined=r.deleted_first,
    )
    common = {"type": r.type, "urn": r.urn, "name": r.name, "properties": properties, "options": options}
    return common if r.component else {**common, "provider": _provider(r.provider or _DEFAULT)}


_DEFAULT = Provider("urn:pulumi:prod::rollout::pulumi:providers:kubernetes::default_4_24_0", {})


def _provider(p: Provider) -> wire.AnalyzerProviderResource:
    properties = struct_pb2.Struct()
    properties.update(_wire(p.props))
    return wire.AnalyzerProviderResource(
        type="pulumi:providers:kubernetes", urn=p.urn, name=p.urn.rpartition("::")[2], properties=properties
    )


def _analyze(r: Resource) -> wire.AnalyzeRequest:
    return wire.AnalyzeRequest(**_common(r))


def _in_stack(r: Resource) -> wire.AnalyzerResource:
    by_property = {k: wire.AnalyzerPropertyDependencies(urns=urns) for k, urns in r.property_dependencies.items()}
    return wire.AnalyzerResource(
        **_common(r), parent=r.parent, dependencies=r.dependencies, propertyDependencies=by_property
    )
