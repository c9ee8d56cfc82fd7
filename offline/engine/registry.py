# ruff: noqa: ARG002 - one interface for all providers; the provider of providers needs little of it
"""The providers of an update: loaded by package, configured by the ``pulumi:providers:*`` resources that stand for them."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping, Sequence

from .errors import NotCovered
from .model import PROVIDER_PREFIX, UNKNOWN_WIRE, ResourceState, Urn
from .paths import is_provider, split_reference, type_of
from .provider import Call, CheckFailure, Diff, Factory, Made, Manager, Provider, ProviderError, Seen
from .values import Properties, contains_unknown

INTERNAL = "__internal"


def config_of(properties: Properties) -> Properties:
    """A provider resource's inputs without what is only the engine's."""
    return {k: v for k, v in properties.items() if k != INTERNAL}


class Providers:
    """Hands out configured providers by reference, and is itself the provider of the provider resources."""

    def __init__(self, factories: Mapping[str, Factory]) -> None:
        self._factories = factories
        self._lock = threading.RLock()
        self._plugins: dict[str, Provider] = {}  # one unconfigured instance a package, for check_config and diff_config
        self._configured: dict[str, Provider] = {}  # by reference

    def plugin(self, type: str) -> Provider:
        with self._lock:
            package = type.removeprefix(PROVIDER_PREFIX)
            if package not in self._plugins:
                self._plugins[package] = self._factory(package)()
            return self._plugins[package]

    def _factory(self, package: str) -> Factory:
        if package not in self._factories:
            raise NotCovered(f"the package {package!r}")
        return self._factories[package]

    def load(self, reference: str, inputs: Properties) -> Provider:
        with self._lock:
            if reference not in self._configured:
                provider = self._factory(type_of(split_reference(reference)[0]).removeprefix(PROVIDER_PREFIX))()
                provider.configure(config_of(inputs))
                self._configured[reference] = provider
            return self._configured[reference]

    def of(self, state: ResourceState, known: Callable[[Urn, str], ResourceState | None]) -> Manager:
        """The provider that manages a resource.

        Args:
            state: the resource.
            known: finds a provider resource by URN and id, for one that this update has not registered.
        Raises:
            ProviderError: it is in neither the program nor the state.
        """
        if is_provider(state.type):
            return self
        with self._lock:
            found = self._configured.get(state.provider)
        if found is not None:
            return found
        resource = known(*split_reference(state.provider))
        if resource is None:
            raise ProviderError(f"could not find provider {state.provider} of {state.urn}")
        return self.load(state.provider, resource.inputs)

    def close(self) -> None:
        for provider in (*self._plugins.values(), *self._configured.values()):
            provider.close()

    # --- Manager of the provider resources themselves ---

    def check(self, call: Call, type: str, olds: Properties, news: Properties) -> tuple[Properties, list[CheckFailure]]:
        inputs, failures = self.plugin(type).check_config(config_of(olds), config_of(news))
        kept = {k: news[k] for k in ("version", INTERNAL) if k in news}
        return {**inputs, **kept}, failures

    def diff(self, call: Call, type: str, old: Seen, news: Properties, ignore_changes: Sequence[str] = ()) -> Diff:
        olds, wanted = config_of(old.inputs), config_of(news)
        diff = self.plugin(type).diff_config(olds, wanted)
        if not diff.changes and olds.get("version") != wanted.get("version"):
            return Diff(changes=True, diffs=["version"])
        return diff

    def create(self, call: Call, type: str, inputs: Properties) -> Made:
        id = UNKNOWN_WIRE if call.preview else str(uuid.uuid4())
        if not contains_unknown(inputs):
            self.load(f"{call.urn}::{id}", inputs)
        return Made(id, config_of(inputs))

    def read(self, call: Call, type: str, old: Seen) -> Made | None:
        return Made(old.id, old.outputs, old.inputs)

    def update(self, call: Call, type: str, old: Seen, news: Properties, ignore_changes: Sequence[str] = ()) -> Made:
        with self._lock:
            self._configured.pop(f"{call.urn}::{old.id}", None)
        self.load(f"{call.urn}::{old.id}", news)
        return Made(old.id, config_of(news))

    def delete(self, call: Call, type: str, old: Seen) -> None:
        """A provider resource is nothing outside the state."""
