"""The provider's configuration, and the cluster behind it: connected to when first needed, remembered when unreachable."""

# ruff: noqa: ARG002 - the interface is the same for every provider

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

from offline.engine.errors import NotCovered
from offline.engine.provider import CheckFailure, Diff
from offline.engine.values import Properties, contains_unknown, unwrap

from .client import Client, Unreachable
from .informers import Informers
from .kinds import Object, resource
from .kubeconfig import Kubeconfig, KubeconfigError
from .metadata import name_of, namespace_of

_NOT_COVERED = {  # settings of the provider, and the variables that stand for them
    "deleteUnreachable": "DELETE_UNREACHABLE",
    "enableConfigMapMutable": "ENABLE_CONFIGMAP_MUTABLE",
    "enablePatchForce": "ENABLE_PATCH_FORCE",
    "enableSecretMutable": "ENABLE_SECRET_MUTABLE",
    "renderYamlToDirectory": "RENDER_YAML_TO_DIRECTORY",
    "skipUpdateUnreachable": "SKIP_UPDATE_UNREACHABLE",
}


class Connection:
    def __init__(self) -> None:
        self._upsert = False
        self._namespace = ""
        self._kubeconfig: Kubeconfig | None = None
        self._unreachable = "not configured"
        self._connection: Client | None = None
        self._informers: Informers | None = None
        self._lock = threading.Lock()

    # --- configuration --------------------------------------------------------------------------------------------

    def check_config(self, olds: Properties, news: Properties) -> tuple[Properties, list[CheckFailure]]:
        return news, []

    def diff_config(self, olds: Properties, news: Properties) -> Diff:
        old, new = unwrap(olds), unwrap(news)
        changed = sorted(k for k in {**old, **new} if old.get(k) != new.get(k))
        if not changed:
            return Diff(False)
        where = [k for k in ("kubeconfig", "context", "cluster") if k in changed]
        moved = contains_unknown([new.get(k) for k in where])
        if where and not moved:
            try:
                moved = self._load(old).cluster != self._load(new).cluster
            except KubeconfigError:
                moved = False  # cannot be told
        identity = "clusterIdentifier"
        if new.get(identity) and old.get(identity):
            return Diff(True, replaces=(identity,) if old[identity] != new[identity] else (), diffs=changed)
        return Diff(True, replaces=where if moved else (), diffs=changed)

    @staticmethod
    def _load(config: Mapping[str, Any]) -> Kubeconfig:
        return Kubeconfig(
            config.get("kubeconfig") or None, str(config.get("context") or ""), str(config.get("cluster") or "")
        )

    def configure(self, inputs: Properties) -> None:
        config = unwrap(inputs)

        def given(name: str, variable: str, default: str = "") -> str:
            value = config.get(name, os.environ.get(f"PULUMI_K8S_{variable}", default))
            return str(value).lower() if isinstance(value, bool) else str(value)

        for name, variable in _NOT_COVERED.items():
            if given(name, variable) not in ("", "false"):
                raise NotCovered(f"the Kubernetes provider's {name}")
        if given("enableServerSideApply", "ENABLE_SERVER_SIDE_APPLY", "true") != "true":
            raise NotCovered("the Kubernetes provider without enableServerSideApply")
        self._upsert = given("upsertExistingObjects", "UPSERT_EXISTING_OBJECTS") == "true"
        self._namespace = str(config.get("namespace") or "")
        if contains_unknown(config):
            self._unreachable = "the provider's configuration is not known yet"
            return
        try:
            self._kubeconfig = self._load(config)
        except KubeconfigError as e:
            self._unreachable = (
                f"failed to parse kubeconfig data in `kubernetes:config:kubeconfig`- {e}"
                if config.get("kubeconfig")
                else "unable to load Kubernetes client configuration from kubeconfig file. Make sure you have: \n\n \t • set up the provider as per "
                f"https://www.pulumi.com/registry/packages/kubernetes/installation-configuration/ \n\n {e}"
            )
            return
        self._unreachable = ""
        self._namespace = self._namespace or self._kubeconfig.namespace or "default"

    @property
    def _client(self) -> Client:
        """The connection, made when first needed. Raises: Unreachable."""
        with self._lock:
            if self._unreachable or self._kubeconfig is None:
                raise Unreachable(self._unreachable)
            if self._connection is None:
                try:
                    self._connection = Client(self._kubeconfig)
                except (KubeconfigError, OSError, ValueError) as e:
                    self._unreachable = f"unable to load Kubernetes client configuration from kubeconfig file: {e}"
                    raise Unreachable(self._unreachable) from e
                self._informers = Informers(self._connection)
            return self._connection

    def _note(self, e: Unreachable) -> str:
        """Why the cluster is unreachable; remembered if it never answered, so that not every resource waits for it."""
        if self._unreachable:
            return self._unreachable
        reason = f"unable to load schema information from the API server: {e}"
        if self._connection is None or not self._connection.answered:
            self._unreachable = reason
        return reason

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._informers is not None:
            self._informers.close()

    def _get(self, o: Object) -> Object:
        return self._client.get(resource(o).path(namespace_of(o), name_of(o)))
