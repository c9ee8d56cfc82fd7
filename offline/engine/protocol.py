"""The SDK's gRPC messages and stubs, without the SDK: to load all of ``pulumi`` would take 0.15 s of every command."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Final

import grpc

OPTIONS: Final = [("grpc.max_receive_message_length", 400 * 2**20), ("grpc.max_send_message_length", 400 * 2**20)]


def channel(target: str) -> grpc.Channel:
    return grpc.insecure_channel(target, options=OPTIONS)


@contextmanager
def _bare_packages() -> Iterator[None]:
    """Empty packages stand in for ``pulumi`` and ``pulumi.runtime``; whoever imports them afterwards gets the real ones."""
    found = importlib.util.find_spec("pulumi")
    if "pulumi" in sys.modules or found is None or not found.submodule_search_locations:
        yield
        return
    folder = found.submodule_search_locations[0]
    bare = {"pulumi": folder, "pulumi.runtime": f"{folder}/runtime"}
    for name, path in bare.items():
        sys.modules[name] = ModuleType(name)
        sys.modules[name].__path__ = [path]
    try:
        yield
    finally:
        for name in bare:
            del sys.modules[name]


with _bare_packages():
    from pulumi.runtime.proto import (
        alias_pb2,
        analyzer_pb2,
        analyzer_pb2_grpc,
        callback_pb2,
        callback_pb2_grpc,
        engine_pb2,
        engine_pb2_grpc,
        events_pb2,
        events_pb2_grpc,
        language_pb2,
        language_pb2_grpc,
        resource_pb2,
        resource_pb2_grpc,
    )

__all__ = [
    "OPTIONS", "alias_pb2", "analyzer_pb2", "analyzer_pb2_grpc", "callback_pb2", "callback_pb2_grpc", "channel", "engine_pb2",
    "engine_pb2_grpc", "events_pb2", "events_pb2_grpc", "language_pb2", "language_pb2_grpc", "resource_pb2", "resource_pb2_grpc",
]  # fmt: skip
