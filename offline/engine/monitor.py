# ruff: noqa: ARG002 - gRPC gives every method its request and context
"""The services the program talks to: ``ResourceMonitor`` and ``Engine`` of the Pulumi protocol, on one local port."""

from __future__ import annotations

import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

import grpc
from google.protobuf import empty_pb2

from .errors import NotCovered
from .hooks import HookError
from .model import ResourceState, Urn
from .paths import is_provider, make_urn
from .protocol import OPTIONS, engine_pb2, engine_pb2_grpc, resource_pb2, resource_pb2_grpc
from .provider import ProviderError
from .registry import INTERNAL
from .values import contains_unknown, from_wire, to_wire

if TYPE_CHECKING:
    from .update import Update

# Without "aliasSpecs" the SDK itself works out which URNs the aliases stand for.
_FEATURES = {
    "secrets": resource_pb2.RESOURCE_MONITOR_FEATURE_SECRETS,
    "resourceReferences": resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_REFERENCES,
    "outputValues": resource_pb2.RESOURCE_MONITOR_FEATURE_OUTPUT_VALUES,
    "replacementTrigger": resource_pb2.RESOURCE_MONITOR_FEATURE_REPLACEMENT_TRIGGER,
    "deletedWith": resource_pb2.RESOURCE_MONITOR_FEATURE_DELETED_WITH,
    "replaceWith": resource_pb2.RESOURCE_MONITOR_FEATURE_REPLACE_WITH,
    "resourceHooks": resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_HOOKS,
    "errorHooks": resource_pb2.RESOURCE_MONITOR_FEATURE_ERROR_HOOKS,
}
_NOT_COVERED = {  # fields of a registration
    "remote": "a remote component",
    "packageRef": "a parameterized package",
    "importId": "the option import",
    "transforms": "the option transforms",
    "state_migrations": "a state migration",
    "deleteBeforeReplace": "the option delete_before_replace",
    "deletedWith": "the option deleted_with",
    "replace_with": "the option replace_with",
    "replacement_trigger": "the option replacement_trigger",
}
_RESULT = {"success": resource_pb2.SUCCESS, "fail": resource_pb2.FAIL, "skip": resource_pb2.FAIL}
_HOOKS = ("before_create", "after_create", "before_update", "after_update", "before_delete", "after_delete")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = r"([\d.]+)(h|ms|m|s|us|µs|ns)"


class MonitorDown(Exception):
    """The update has ended; the program is told to end too."""


def seconds(duration: str) -> float:
    """A duration as Go writes it (``1h30m``, ``90s``) in seconds."""
    if not re.fullmatch(f"({_PART})+", duration):
        raise ValueError(f"unable to parse customTimeouts value {duration!r}")
    return sum(float(part[1]) * _UNITS[part[2]] for part in re.finditer(_PART, duration))


def _refusal(what: str) -> Any:
    """A method that is not covered; ``what`` names it from its request."""

    def method(_: Monitor, request: Any, context: Any) -> Any:
        with _Answer(context):
            raise NotCovered(what.format(request))

    return method


class Monitor(resource_pb2_grpc.ResourceMonitorServicer, engine_pb2_grpc.EngineServicer):
    def __init__(self, update: Update) -> None:
        self._update = update
        self._root = update.request.project.root
        self._retained: set[Urn] = set()  # whose children are retained too
        self._root_urn = ""
        self._shutdown = threading.Event()
        # Every registration holds a thread until its step has ended: threads are made as needed, none is ever short.
        self._server = grpc.server(ThreadPoolExecutor(10_000, thread_name_prefix="rpc"), options=OPTIONS)
        resource_pb2_grpc.add_ResourceMonitorServicer_to_server(self, self._server)
        engine_pb2_grpc.add_EngineServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def release(self) -> None:
        """Lets a program that waits for the end of the update go."""
        self._shutdown.set()

    def close(self) -> None:
        self.release()
        self._server.stop(0.5).wait(5)  # a graceful end: a client that is cut off says so on its own stderr

    # --- ResourceMonitor ---

    def SupportsFeature(self, request: Any, context: Any) -> Any:
        return resource_pb2.SupportsFeatureResponse(hasSupport=request.id in _FEATURES)

    def GetDeploymentInfo(self, request: Any, context: Any) -> Any:
        r = self._update.request
        return resource_pb2.DeploymentInfo(
            project=r.project.name,
            stack=r.stack,
            organization=r.organization,
            config=dict(r.config),
            configSecretKeys=sorted(r.secret_keys),
            dryRun=r.dry_run,
            parallel=r.options.parallel,
            supportedFeatures=list(_FEATURES.values()),
        )

    def RegisterResource(self, request: Any, context: Any) -> Any:
        with _Answer(context):
            for field, _ in request.ListFields():
                if field.name in _NOT_COVERED:
                    raise NotCovered(f"{_NOT_COVERED[field.name]} ({request.type} {request.name})")
            registered = self._update.register(self._resource(request))
            state = registered.state
            if state.retain_on_delete:
                self._retained.add(state.urn)
            if registered.result != "success" and not request.supportsResultReporting:
                context.abort(grpc.StatusCode.INTERNAL, "resource registration failed")
            # What begins with "__" is the provider's own: the SDK would read it, at some cost, and use none of it.
            outputs = {k: v for k, v in state.outputs.items() if state.custom and not k.startswith("__")}
            if not request.supportsPartialValues:
                outputs = {k: v for k, v in outputs.items() if not contains_unknown(v)}
            return resource_pb2.RegisterResourceResponse(
                urn=state.urn,
                id=state.id,
                object=to_wire(outputs, keep_secrets=request.acceptSecrets),
                result=_RESULT[registered.result],
                unknown=registered.unknown,
            )

    def RegisterResourceOutputs(self, request: Any, context: Any) -> Any:
        with _Answer(context):
            self._update.register_outputs(request.urn, from_wire(request.outputs))
            return empty_pb2.Empty()

    def RegisterResourceHook(self, request: Any, context: Any) -> Any:
        with _Answer(context):
            self._update.hooks.register(request)
            return empty_pb2.Empty()

    ReadResource = _refusal("looking up {0.type} {0.name} by its id")
    Invoke = _refusal("the function {0.tok}")
    Call = _refusal("the method {0.tok}")
    RegisterPackage = _refusal("the parameterized package {0.name}")
    RegisterStackTransform = _refusal("a stack transform")
    RegisterStackInvokeTransform = _refusal("an invoke transform")
    RegisterErrorHook = _refusal("the error hook {0.name}")

    def SignalAndWaitForShutdown(self, request: Any, context: Any) -> Any:
        self._update.program_done()
        self._shutdown.wait()
        return empty_pb2.Empty()

    # --- Engine ---

    def Log(self, request: Any, context: Any) -> Any:
        events = self._update.events
        if not events.muted:
            events.diagnostic(
                engine_pb2.LogSeverity.Name(request.severity).lower(),
                request.message,
                urn=request.urn,
                ephemeral=request.ephemeral,
            )
        return empty_pb2.Empty()

    def GetRootResource(self, request: Any, context: Any) -> Any:
        return engine_pb2.GetRootResourceResponse(urn=self._root_urn)

    def SetRootResource(self, request: Any, context: Any) -> Any:
        self._root_urn = request.urn
        return engine_pb2.SetRootResourceResponse()

    def RequirePulumiVersion(self, request: Any, context: Any) -> Any:
        return engine_pb2.RequirePulumiVersionResponse()

    # --- messages to values ---

    def _resource(self, request: Any) -> ResourceState:
        """What the program declares."""
        inputs = from_wire(request.object)
        dependencies = sorted(set(request.dependencies))
        per_property = {k: sorted(set(d.urns)) for k, d in request.propertyDependencies.items()}
        if not per_property:
            per_property = {k: list(dependencies) for k in inputs}
        for key in inputs:
            per_property.setdefault(key, [])
        provider = ""
        if is_provider(request.type):
            if request.version:
                inputs["version"] = request.version
            if request.version or request.pluginDownloadURL:
                url = {"pluginDownloadURL": request.pluginDownloadURL} if request.pluginDownloadURL else {}
                inputs[INTERNAL] = url
        elif request.custom:
            provider = request.provider or self._update.default_provider(
                request.type.split(":")[0], request.version, request.pluginDownloadURL
            )
        timeouts = request.customTimeouts
        names = [(n, list(getattr(request.hooks, n))) for n in _HOOKS]
        update = self._update.request
        return ResourceState(
            make_urn(update.stack, update.project.name, request.parent, request.type, request.name),
            request.type,
            request.custom,
            inputs=inputs,
            parent=request.parent,
            provider=provider,
            dependencies=dependencies,
            property_dependencies=per_property,
            protect=request.protect,
            retain_on_delete=request.retainOnDelete
            if request.HasField("retainOnDelete")
            else request.parent in self._retained,
            ignore_changes=list(request.ignoreChanges),
            replace_on_changes=list(request.replaceOnChanges),
            custom_timeouts={k: seconds(v) for k in ("create", "update", "delete") if (v := getattr(timeouts, k, ""))},
            aliases=list(request.aliasURNs),
            additional_secret_outputs=list(request.additionalSecretOutputs),
            hooks={"".join(part.title() for part in n.split("_")): hooks for n, hooks in names if hooks},
            raw=self._positions(request) | ({"hideDiff": list(request.hideDiffs)} if request.hideDiffs else {}),
        )

    def _positions(self, request: Any) -> dict[str, Any]:
        """Where in the program the request came from, relative to the project, as the state holds it."""
        out: dict[str, Any] = {}
        if position := self._position(request.sourcePosition):
            out["sourcePosition"] = position
        if frames := request.stackTrace.frames:
            places = [self._position(f.pc) for f in frames]
            out["stackTrace"] = [{"sourcePosition": p} if p else {} for p in places]
        return out

    def _position(self, position: Any) -> str:
        file = _relative(position.uri, self._root)
        column = f",{position.column}" if position.column else ""
        return f"project:///{file}#{position.line}{column}" if file else ""


@cache
def _relative(uri: str, root: Path) -> str:
    """The path of a ``file:`` URL within the project; every request names the same few, a dozen at a time."""
    url = urlparse(uri)
    return os.path.relpath(url.path, root) if url.scheme == "file" and url.path.startswith("/") else ""


class _Answer:
    """Turns what goes wrong while answering into a gRPC status."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, tb: Any) -> None:
        if isinstance(error, MonitorDown):
            self._context.abort(grpc.StatusCode.UNAVAILABLE, "resource monitor shut down")
        if isinstance(error, NotCovered):
            self._context.abort(grpc.StatusCode.UNIMPLEMENTED, str(error))
        if isinstance(error, (ProviderError, HookError, ValueError)):
            self._context.abort(grpc.StatusCode.UNKNOWN, str(error))
