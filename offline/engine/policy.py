"""Policy packs, asked over the Analyzer service."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import empty_pb2, json_format, struct_pb2

from .errors import PolicyError
from .events import Events, masked
from .language import Language
from .model import STACK_TYPE, PolicyPackRef, ResourceState, UpdateRequest
from .protocol import analyzer_pb2, analyzer_pb2_grpc, channel
from .values import Properties, from_wire, to_wire

if TYPE_CHECKING:
    from .planner import Planner

_LEVELS = {name.lower(): level for name, level in analyzer_pb2.EnforcementLevel.items()}
_SEVERITIES = {1: "low", 2: "medium", 3: "high", 4: "critical"}


class _Pack:
    def __init__(self, language: Language, ref: PolicyPackRef, request: UpdateRequest, engine: str) -> None:
        self.ref, self._request, self._engine = ref, request, engine
        self._host = language.pack(ref, request, engine)
        self._channel: grpc.Channel | None = None
        self.info = analyzer_pb2.AnalyzerInfo()
        self._levels: dict[str, Any] = {}

    def connect(self) -> None:
        self._channel = channel(self._host.address())
        self._stub = analyzer_pb2_grpc.AnalyzerStub(self._channel)
        request, root = self._request, str(self.ref.path.resolve())
        try:
            self._optional(
                "Handshake",
                analyzer_pb2.AnalyzerHandshakeRequest(
                    engine_address=self._engine, root_directory=root, program_directory=root
                ),
            )
            self._optional(
                "ConfigureStack",
                analyzer_pb2.AnalyzerStackConfigureRequest(
                    stack=request.stack,
                    project=request.project.name,
                    organization=request.organization,
                    dry_run=request.dry_run,
                    config=dict(request.config),
                    config_secret_keys=sorted(request.secret_keys),
                ),
            )
            self.info = self._stub.GetAnalyzerInfo(empty_pb2.Empty())
            self._levels = {p.name: p.enforcementLevel for p in self.info.policies}
            self._configure()
        except grpc.RpcError as e:
            raise PolicyError(f"the policy pack {self.ref.path} could not be configured: {e.details()}") from e

    def _optional(self, method: str, message: Any) -> None:
        try:
            getattr(self._stub, method)(message)
        except grpc.RpcError as e:
            if e.code() != grpc.StatusCode.UNIMPLEMENTED:
                raise

    def _configure(self) -> None:
        """Defaults of the schemas, then what the pack says, then the file of ``--policy-pack-config``."""
        if not self.info.supportsConfig:
            if self.ref.config:
                raise PolicyError(f'policy pack "{self.info.name}" at "{self.ref.path}" does not support config')
            return
        levels = dict(self._levels)
        values: dict[str, dict[str, Any]] = {p.name: {} for p in self.info.policies}
        for p in self.info.policies:
            for key, schema in json_format.MessageToDict(p.configSchema.properties).items():
                if "default" in schema:
                    values[p.name][key] = schema["default"]
        initial = {
            n: (c.enforcementLevel, json_format.MessageToDict(c.properties)) for n, c in self.info.initialConfig.items()
        }
        for given in (initial, _config_file(self.ref.config)):
            everywhere = given.get("all", (None, {}))[0]
            if everywhere is not None:
                levels = dict.fromkeys(levels, everywhere)
            for name, (level, properties) in given.items():
                if level is not None:
                    levels[name] = level
                values.setdefault(name, {}).update(properties)
        problems = [
            f"{p.name}: {key} is required"
            for p in self.info.policies
            for key in p.configSchema.required
            if key not in values[p.name]
        ]
        if problems:
            raise PolicyError(f'validating policy config for "{self.info.name}": ' + "; ".join(problems))
        self._levels = levels
        configs = {
            name: analyzer_pb2.PolicyConfig(
                enforcementLevel=levels.get(name, analyzer_pb2.ADVISORY),
                properties=json_format.ParseDict(given, struct_pb2.Struct()),
            )
            for name, given in values.items()
        }
        self._stub.Configure(analyzer_pb2.ConfigureAnalyzerRequest(policyConfig=configs))

    def ask(self, method: str, message: Any) -> Any:
        try:
            return getattr(self._stub, method)(message)
        except grpc.RpcError as e:
            raise PolicyError(f'failed to run policy pack "{self.info.name}": {e.details()}') from e

    @property
    def remediates(self) -> bool:
        """Whether any of its policies may change what is declared."""
        return analyzer_pb2.REMEDIATE in self._levels.values()

    def summary(self, kind: int, failed: set[str], response: Any) -> dict[str, Any]:
        left_out = failed | {n.policy_name for n in response.not_applicable}
        passed = {
            p.name
            for p in self.info.policies
            if p.policy_type in (kind, analyzer_pb2.POLICY_TYPE_UNKNOWN)
            and self._levels[p.name] != analyzer_pb2.DISABLED
        } - left_out
        out: dict[str, Any] = self.identity()
        if passed:
            out["passed"] = sorted(passed)
        if failed:
            out["failed"] = sorted(failed)
        return out

    def identity(self) -> dict[str, Any]:
        version = self.info.version
        return {"policyPackName": self.info.name, "policyPackVersion": version, "policyPackVersionTag": version}

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()
        self._host.close()


def _config_file(path: Path | None) -> dict[str, tuple[int | None, dict[str, Any]]]:
    """``{"policy": "mandatory"}`` or ``{"policy": {"enforcementLevel": "mandatory", "property": ...}}``."""
    if path is None:
        return {}
    try:
        content = json.loads(path.read_text() or "{}")
    except (OSError, ValueError) as e:
        raise PolicyError(f"the policy configuration {path} cannot be read: {e}") from e
    out: dict[str, tuple[int | None, dict[str, Any]]] = {}
    for name, value in content.items():
        if not isinstance(value, (str, dict)):
            raise PolicyError(f'parsing "{name}": {value} is not a valid value; must be a string or object')
        properties = dict(value) if isinstance(value, dict) else {}
        level = properties.pop("enforcementLevel", None) if isinstance(value, dict) else value
        if level is not None and level not in _LEVELS:
            raise PolicyError(f'parsing enforcement level for "{name}": "{level}" is not a valid enforcement level')
        out[name] = (None if level is None else _LEVELS[level], properties)
    return out


def _visible(properties: Properties) -> struct_pb2.Struct:
    return to_wire({k: v for k, v in properties.items() if not k.startswith("__")})


class Packs:
    """The packs of one update."""

    def __init__(self, language: Language, request: UpdateRequest, events: Events) -> None:
        self._language, self._request, self._events = language, request, events
        self._packs: list[_Pack] = []
        self.errored = False

    @property
    def versions(self) -> dict[str, str]:
        return {f"{p.info.name}|local|{p.ref.path}": p.info.version for p in self._packs if p.info.name}

    def load(self, engine: str) -> None:
        for ref in self._request.options.policy_packs:
            self._packs.append(_Pack(self._language, ref, self._request, engine))
        for pack in self._packs:
            pack.connect()

    def check(self, state: ResourceState, provider: ResourceState | None) -> bool:
        """Lets the packs remediate ``state.inputs`` and judge them. True if a mandatory rule forbids the step."""
        if not self._packs:
            return False
        request = self._described(analyzer_pb2.AnalyzeRequest, state, provider, state.inputs)
        for pack in self._packs:
            # The answer of a pack in which nothing is remediated is known; asking would cost as much as the judging.
            response = pack.ask("Remediate", request) if pack.remediates else analyzer_pb2.RemediateResponse()
            for r in response.remediations:
                if r.diagnostic:
                    self._violation(pack, r, state.urn, analyzer_pb2.ADVISORY, r.diagnostic)
                    continue
                before, after = state.inputs, from_wire(r.properties)
                after |= {k: v for k, v in before.items() if k.startswith("__")}
                event = {"resourceUrn": state.urn, "color": "never", "policyName": r.policyName, **pack.identity()}
                self._events.send("policyRemediationEvent", event | {"before": masked(before), "after": masked(after)})
                state.inputs = after
                request = self._described(analyzer_pb2.AnalyzeRequest, state, provider, after)
            failed = {r.policyName for r in response.remediations}
            self._summary("policyRemediateSummaryEvent", pack, state, failed, response)
        forbidden = False
        for pack in self._packs:
            response = pack.ask("Analyze", request)
            forbidden = self._report(pack, response.diagnostics, state.urn) or forbidden
            failed = {d.policyName for d in response.diagnostics}
            self._summary("policyAnalyzeSummaryEvent", pack, state, failed, response)
        return forbidden and not self._request.dry_run

    def check_stack(self, states: Iterable[ResourceState], planner: Planner) -> bool:
        """Lets the packs judge the whole stack. True if a mandatory rule was violated."""
        states = list(states)
        message = analyzer_pb2.AnalyzeStackRequest()
        for s in states:
            resource = self._described(analyzer_pb2.AnalyzerResource, s, planner.provider_state(s.provider), s.outputs)
            resource.parent = s.parent
            resource.dependencies.extend(s.dependencies)
            for key, needed in s.property_dependencies.items():
                resource.propertyDependencies[key].urns.extend(needed)
            message.resources.append(resource)
        root = next((s.urn for s in states if s.type == STACK_TYPE), "")
        urns = {s.urn for s in states}
        violated = False
        for pack in self._packs:
            response = pack.ask("AnalyzeStack", message)
            for d in response.diagnostics:
                violated = self._report(pack, [d], d.urn if d.urn in urns else root) or violated
            failed = {d.policyName for d in response.diagnostics}
            self._events.send(
                "policyAnalyzeStackSummaryEvent", pack.summary(analyzer_pb2.POLICY_TYPE_STACK, failed, response)
            )
        return violated

    @staticmethod
    def _described(message: Any, state: ResourceState, provider: ResourceState | None, properties: Properties) -> Any:
        """A resource as a message of one of the Analyzer's types."""
        options = analyzer_pb2.AnalyzerResourceOptions(
            protect=state.protect,
            ignoreChanges=state.ignore_changes,
            additionalSecretOutputs=state.additional_secret_outputs,
            aliases=state.aliases,
            customTimeouts=analyzer_pb2.AnalyzerResourceOptions.CustomTimeouts(**state.custom_timeouts),
            parent=state.parent,
        )
        described = message(
            type=state.type, properties=_visible(properties), urn=state.urn, name=state.name, options=options
        )
        if provider is not None:
            described.provider.MergeFrom(
                analyzer_pb2.AnalyzerProviderResource(
                    type=provider.type, properties=_visible(provider.inputs), urn=provider.urn, name=provider.name
                )
            )
        return described

    def _summary(self, kind: str, pack: _Pack, state: ResourceState, failed: set[str], response: Any) -> None:
        summary = pack.summary(analyzer_pb2.POLICY_TYPE_RESOURCE, failed, response)
        self._events.send(kind, {"resourceUrn": state.urn} | summary)

    def _report(self, pack: _Pack, diagnostics: Iterable[Any], urn: str) -> bool:
        mandatory = False
        for d in diagnostics:
            level = analyzer_pb2.MANDATORY if d.enforcementLevel == analyzer_pb2.REMEDIATE else d.enforcementLevel
            mandatory = mandatory or level == analyzer_pb2.MANDATORY
            self._violation(pack, d, urn, level, d.message)
        self.errored = self.errored or mandatory
        return mandatory

    def _violation(self, pack: _Pack, diagnostic: Any, urn: str, level: int, message: str) -> None:
        event: dict[str, Any] = {
            "resourceUrn": urn,
            "message": self._events.redact(message) + "\n",
            "color": "never",
            "policyName": diagnostic.policyName,
            **pack.identity(),
            "enforcementLevel": analyzer_pb2.EnforcementLevel.Name(level).lower(),
        }
        if severity := _SEVERITIES.get(getattr(diagnostic, "severity", 0)):
            event["severity"] = severity
        self._events.send("policyEvent", event)

    def close(self) -> None:
        for pack in self._packs:
            pack.close()
