"""Resource hooks: functions of the running program that the engine calls around its steps."""

from __future__ import annotations

import threading
from typing import Any

import grpc

from . import protocol
from .events import Events
from .model import ResourceState
from .protocol import alias_pb2, callback_pb2, callback_pb2_grpc, resource_pb2
from .values import Properties, to_wire

_POLL = 0.1  # seconds until a running hook notices Ctrl-C


class HookError(Exception):
    """A hook said no, or could not be called."""


def _options(state: ResourceState | None) -> resource_pb2.ResourceOptions | None:
    if state is None:
        return None
    return resource_pb2.ResourceOptions(
        depends_on=state.dependencies,
        protect=state.protect,
        ignore_changes=state.ignore_changes,
        replace_on_changes=state.replace_on_changes,
        aliases=[alias_pb2.Alias(urn=a) for a in state.aliases],
        provider=state.provider,
        retain_on_delete=state.retain_on_delete,
        additional_secret_outputs=state.additional_secret_outputs,
        parent=state.parent,
    )


def _wire(values: Properties | None) -> Any:
    return None if values is None else to_wire(values)


class Hooks:
    """The hooks registered by the program, by name."""

    def __init__(self, events: Events, cancel: threading.Event, *, dry_run: bool) -> None:
        self._events, self._cancel, self._dry_run = events, cancel, dry_run
        self._hooks: dict[str, Any] = {}  # RegisterResourceHookRequest by name
        self._channels: dict[str, grpc.Channel] = {}
        self._lock = threading.Lock()

    def register(self, request: Any) -> None:
        """Takes what the program registers (``RegisterResourceHookRequest``). Raises: HookError: the name is taken."""
        with self._lock:
            if request.name in self._hooks:
                raise HookError(f'resource hook already registered for name "{request.name}"')
            self._hooks[request.name] = request

    def invoke(self, callback: callback_pb2.Callback, request: Any) -> bytes:
        """Calls a function of the program by its token. One that waits is not waited for after Ctrl-C."""
        with self._lock:
            if callback.target not in self._channels:
                self._channels[callback.target] = protocol.channel(callback.target)
            channel = self._channels[callback.target]
        stub = callback_pb2_grpc.CallbacksStub(channel)
        message = callback_pb2.CallbackInvokeRequest(token=callback.token, request=request.SerializeToString())
        call = stub.Invoke.future(message)
        while True:
            try:
                return bytes(call.result(timeout=_POLL).response)
            except grpc.FutureTimeoutError:
                if self._cancel.is_set():
                    call.cancel()
                    raise HookError("the update was cancelled while the hook ran") from None
            except grpc.RpcError as e:
                raise HookError(e.details() or str(e.code())) from e

    def run(
        self,
        kind: str,
        state: ResourceState,
        *,
        old: ResourceState | None = None,
        new: ResourceState | None = None,
        old_outputs: Properties | None = None,
        new_outputs: Properties | None = None,
    ) -> None:
        """Calls the hooks bound to a resource for one kind (``BeforeDelete``, ...), in their order.

        Raises:
            HookError: a hook failed; for a Before hook, the step must not happen.
        """
        for name in state.hooks.get(kind, ()):
            hook = self._hooks.get(name)
            if hook is None:
                raise HookError(f'hook "{name}" was not registered')
            if self._dry_run and not hook.on_dry_run:
                continue
            request = resource_pb2.ResourceHookRequest(
                urn=state.urn,
                id=state.id,
                name=state.name,
                type=state.type,
                new_inputs=_wire(new.inputs if new else None),
                old_inputs=_wire(old.inputs if old else None),
                new_outputs=_wire(new_outputs),
                old_outputs=_wire(old_outputs),
                old_options=_options(old),
                new_options=_options(new),
            )
            try:
                error = resource_pb2.ResourceHookResponse.FromString(self.invoke(hook.callback, request)).error
            except HookError as e:
                error = str(e)
            if not error:
                continue
            if not hook.ignore_errors:
                raise HookError(f'{"before" if kind.startswith("Before") else "after"} hook "{name}" failed: {error}')
            self._events.diagnostic("warning", f'{kind} hook "{name}" failed: {error}', urn=state.urn)

    def close(self) -> None:
        for channel in self._channels.values():
            channel.close()
