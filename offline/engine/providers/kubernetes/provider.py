"""pulumi-kubernetes, as far as this project uses it: server-side apply, the awaits, the ``pulumi.com/*`` annotations.

Stands in for version 4.34.2 and keeps what a state holds compatible with it. What it does not cover it refuses by name.
"""

# ruff: noqa: ARG002 - the interface is the same for every provider

from __future__ import annotations

import copy
import os
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...values import UNKNOWN, Properties, contains_unknown, unwrap
from .. import base
from ..base import Call, CheckFailure, Diff, InitError, Made, ProviderError
from . import awaits, metadata, state
from .awaits import NotReady, Status
from .client import APPLY, JSON_PATCH, ApiError, Client, Kubeconfig, KubeconfigError, Object, Unreachable
from .diff import at, detailed, prune
from .informers import Informers
from .kinds import Discovery, NoMatch, Resource, force_new
from .metadata import full_name, is_true, name_of, namespace_of
from .normalize import normalize

CREATED_BY = (
    "pulumi-kubernetes"  # field manager of a plain create; updates then apply under a name of the resource's own
)
RETRY_DELAYS = (1, 2, 4, 8, 16)  # seconds, when a namespace or a definition does not exist yet
NOT_COVERED = ("helm.sh/", "yaml/v2", "kustomize/v2", "yaml:", "kustomize:", "helm:")
UNREACHABLE = "configured Kubernetes cluster is unreachable: "
ALREADY_EXISTS = """

The resource already exists in the cluster. This can happen when:

  - Renaming a Pulumi resource: use an alias to preserve the identity,
    or use deleteBeforeReplace if the resource needs replacement.
  - Managing an existing resource: use a Patch resource (e.g. NamespacePatch)
    to manage specific fields without owning the resource lifecycle.
  - Adopting a resource into Pulumi: use `pulumi import`. Note that
    protected resources (e.g. kube-system) cannot be deleted on destroy.
  - Intentional upsert: set upsertExistingObjects on the provider to allow
    server-side apply to update existing objects on create."""  # the real provider's words, which tools match


def _clear(call: Call) -> None:
    call.log("info", "", True)


def _api_version(type: str) -> tuple[str, str]:
    """``kubernetes:core/v1:Pod`` -> ("v1", "Pod")."""
    _, version, kind = type.split(":")
    return version.removeprefix("core/"), kind


def _is_patch(type: str, o: Object) -> bool:
    return type.endswith("Patch") and type.rsplit(":", 1)[1] == f"{o.get('kind')}Patch"


class KubernetesProvider:
    """See :class:`..base.Provider`."""

    def __init__(self) -> None:
        self._flags: dict[str, bool] = {}
        self._namespace = ""
        self._kubeconfig: Kubeconfig | None = None
        self._unreachable = "not configured"
        self._connection: Client | None = None
        self._discovery = Discovery(None)
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

        def flag(name: str, variable: str, default: bool = False) -> bool:
            value = config.get(name, os.environ.get(f"PULUMI_K8S_{variable}", default))
            return value is True or value == "true"

        self._flags = {
            name: flag(name, variable)
            for name, variable in {
                "upsertExistingObjects": "UPSERT_EXISTING_OBJECTS",
                "enablePatchForce": "ENABLE_PATCH_FORCE",
                "enableConfigMapMutable": "ENABLE_CONFIGMAP_MUTABLE",
                "enableSecretMutable": "ENABLE_SECRET_MUTABLE",
                "deleteUnreachable": "DELETE_UNREACHABLE",
                "skipUpdateUnreachable": "SKIP_UPDATE_UNREACHABLE",
            }.items()
        }
        if not flag("enableServerSideApply", "ENABLE_SERVER_SIDE_APPLY", True):
            raise ProviderError(
                "enableServerSideApply=false (client-side apply) is not covered by the offline engine; use the Pulumi CLI"
            )
        if config.get("renderYamlToDirectory"):
            raise ProviderError("renderYamlToDirectory is not covered by the offline engine; use the Pulumi CLI")
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
                self._discovery = Discovery(self._connection)
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

    def _resource(self, o: Object) -> Resource:
        _ = self._client
        return self._discovery.of(o)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._informers is not None:
            self._informers.close()

    def invoke(self, token: str, args: Properties) -> Properties:
        raise ProviderError(f"function {token} is not covered by the offline engine; use the Pulumi CLI")

    # --- check and diff -------------------------------------------------------------------------------------------

    def check(
        self, call: Call, type: str, olds: Properties, news: Properties, *, random_seed: bytes, autonaming: str | None
    ) -> tuple[Properties, list[CheckFailure]]:
        if self._unreachable and self._flags.get("skipUpdateUnreachable"):
            call.log(
                "warning", "Cluster is unreachable but skipUpdateUnreachable flag is set to true, skipping...", False
            )
            return olds, []
        token = type.partition(":")[2]
        if token.startswith(NOT_COVERED):
            raise ProviderError(f"resource type {type} is not covered by the offline engine; use the Pulumi CLI")
        if token.endswith("List") and "items" in news:
            raise ProviderError(
                "list resources exist for compatibility with YAML manifests and Helm charts, and cannot be created directly. "
                "Use the underlying resource type instead"
            )
        new = normalize(state.plain(news))
        patch = _is_patch(type, new)
        if patch and not metadata.named(new):
            raise ProviderError("patch resources require the `.metadata.name` field to be set")
        if olds:
            metadata.adopt_name(new, state.plain(olds))
        else:
            metadata.assign_name(new, call.urn.rsplit("::", 1)[1], random_seed, autonaming)
        if not metadata.named(new) and metadata.section(new, "generateName"):
            raise ProviderError("the `.metadata.generateName` field is not supported in Server-Side Apply mode")
        if (
            self._namespace
            and not metadata.section(new, "namespace")
            and isinstance(new.setdefault("metadata", {}), dict)
        ):
            version, kind = _api_version(type)
            if self._namespaced(version, kind.removesuffix("Patch") if patch else kind):
                new["metadata"]["namespace"] = self._namespace
        return state.with_secrets(new, news), []

    def _namespaced(self, api_version: str, kind: str) -> bool:
        try:
            return self._discovery.resource(api_version, kind).namespaced
        except NoMatch:  # a custom kind: only the server knows
            pass
        try:
            _ = self._client
            return self._discovery.namespaced(api_version, kind)
        except (Unreachable, ApiError):
            return True

    def diff(
        self,
        call: Call,
        type: str,
        id: str,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        *,
        ignore_changes: Sequence[str],
    ) -> Diff:
        made_from, live = state.parse(old_outputs)
        made_from, new = normalize(made_from), normalize(state.plain(news))
        old = prune(live, made_from)
        new["metadata"] = metadata_new = (
            dict(new.get("metadata") or {}) if new.get("metadata") is not UNKNOWN else UNKNOWN
        )
        old["metadata"] = dict(old.get("metadata") or {})
        old["metadata"].pop("resourceVersion", None)
        if isinstance(metadata_new, dict):
            if self._namespaced(new.get("apiVersion", ""), new.get("kind", "")):
                old["metadata"]["namespace"] = old["metadata"].get("namespace") or "default"
                metadata_new["namespace"] = metadata_new.get("namespace") or "default"
            else:
                old["metadata"].pop("namespace", None)
                metadata_new.pop("namespace", None)
            if name_of(new):
                old["metadata"]["name"] = name_of(live)
        old.setdefault("apiVersion", new.get("apiVersion"))
        old.setdefault("kind", new.get("kind"))
        forced = (
            (".metadata.name", ".metadata.namespace")
            if _is_patch(type, new)
            else force_new(
                new,
                mutable_config_maps=self._flags["enableConfigMapMutable"],
                mutable_secrets=self._flags["enableSecretMutable"],
            )
        )
        found = detailed(old, new, forced, ignore_changes)
        replaces = [
            path
            for path, d in found.items()
            if d.kind.endswith("-replace") or (path == "metadata" and d.kind == "delete")
        ]
        if is_true(new, metadata.REPLACE_UNREADY) and self._unready(call, new, live):
            replaces.append(f'.metadata.annotations["{metadata.REPLACE_UNREADY}"]')
        same_object = name_of(new) == name_of(live) and namespace_of(new) == namespace_of(live)
        return Diff(
            changes=bool(found or replaces),
            replaces=sorted(replaces),
            detailed=found,
            delete_before_replace=bool(replaces)
            and metadata.named(new)
            and not is_true(new, metadata.AUTONAMED)
            and same_object,
        )

    def _unready(self, call: Call, new: Object, live: Object) -> bool:
        """Whether a Job that asks for it is to be replaced because it is not complete."""
        if new.get("kind") != "Job":
            call.log("warning", "replaceUnready annotation is not supported for this resource", False)
            return False
        try:
            return not awaits.complete(self._get(live))
        except ApiError:
            return False
        except Unreachable as e:
            self._note(e)
            call.log("warning", "Cluster is unreachable, skipping replaceUnready check", False)
            return False

    def _get(self, o: Object) -> Object:
        return self._client.get(self._resource(o).path(namespace_of(o), name_of(o)))

    # --- create, update, read, delete -----------------------------------------------------------------------------

    def create(self, call: Call, type: str, inputs: Properties) -> Made:
        new = state.plain(inputs)
        patch = _is_patch(type, new)
        as_given = Made("", dict(inputs))
        if call.preview and (patch or contains_unknown(new)):
            return as_given
        manager = metadata.annotation(new, metadata.PATCH_FIELD_MANAGER) or metadata.unique(f"{CREATED_BY}-")
        try:
            if call.preview:
                try:
                    self._resource(new)
                except NoMatch:
                    return as_given
            live = self._make(call, new, manager, apply=patch or self._flags["upsertExistingObjects"])
        except Unreachable as e:
            reason = self._note(e)
            if call.preview:
                return as_given
            raise ProviderError(UNREACHABLE + reason) from e
        except NoMatch as e:
            version, kind = _api_version(type)
            raise ProviderError(
                f'creation of resource "{call.urn}" with kind {version}/{kind} failed because the Kubernetes API server reported that the apiVersion '
                f"for this resource does not exist. Verify that any required CRDs have been created: {e}"
            ) from e
        except ApiError as e:
            if call.preview and (
                e.code == 403 or e.already_exists or e.namespace_missing or (e.code == 400 and "dry run" in str(e))
            ):
                return as_given
            more = ALREADY_EXISTS if e.already_exists else ""
            raise ProviderError(
                f'resource "{call.urn}" was not successfully created by the Kubernetes API server: {_conflict(e, manager)}{more}'
            ) from e

        def made(o: Object) -> Made:
            return Made(
                "" if call.preview else full_name(o), state.outputs(new, o, inputs, new.get("apiVersion", ""), manager)
            )

        if call.preview:
            live.pop("status", None)
            return made(live)
        _clear(call)
        if new.get("kind") == "CustomResourceDefinition":
            self._discovery.forget()
        try:
            live = self._await(call, new, live, None)
        except NotReady as e:
            text = f'resource "{call.urn}" was successfully created, but the Kubernetes API server reported that it failed to fully initialize or become live: {e}'
            raise InitError(made(e.object), [text, *e.reasons]) from e
        _clear(call)
        return made(live)

    def _make(self, call: Call, new: Object, manager: str, *, apply: bool) -> Object:
        """Creates an object, or applies it if it may exist; again when what it needs does not exist yet."""
        dry = "All" if call.preview else None
        for attempt in range(len(RETRY_DELAYS) + 1):
            try:
                resource = self._resource(new)
                if not resource.namespaced:
                    new["metadata"].pop("namespace", None)
                if not apply:
                    return self._client.request(
                        "POST",
                        resource.collection(namespace_of(new) or "default"),
                        new,
                        fieldManager=CREATED_BY,
                        dryRun=dry,
                    )
                force = call.preview or self._forces(new)

                def send(o: Object, resource: Resource = resource, force: bool = force) -> Object:
                    return self._client.request(
                        "PATCH", resource.path(namespace_of(o), name_of(o)), o, content_type=APPLY, fieldManager=manager, force=force, fieldValidation="Warn", dryRun=dry
                    )  # fmt: skip

                try:
                    return send(new)
                except ApiError as e:
                    if not call.preview or e.code != 422 or "field is immutable" not in str(e):
                        raise
                    # A replacement: the dry run cannot leave out the old object, so it makes one beside it.
                    name = name_of(new) + "".join(secrets.choice("bcdfghjklmnpqrstvwxz2456789") for _ in range(5))
                    call.log(
                        "info", f'Preview creation failed due to immutable fields; retrying with name "{name}"', False
                    )
                    return send({**new, "metadata": {**new["metadata"], "name": name}})
            except (ApiError, NoMatch) as e:
                missing = isinstance(e, NoMatch) or e.not_found
                if call.preview and isinstance(e, ApiError) and e.namespace_missing:
                    raise
                call.log("info", f"Retry #{attempt}; creation failed: {e}", True)
                if not missing or attempt == len(RETRY_DELAYS) or call.cancel.wait(RETRY_DELAYS[attempt]):
                    raise
                self._discovery.forget()
        raise AssertionError("unreachable")

    def _forces(self, new: Object) -> bool:
        return is_true(new, metadata.PATCH_FORCE) or self._flags["enablePatchForce"]

    def _await(self, call: Call, new: Object, live: Object, before: Object | None) -> Object:
        """Waits until the object is ready. Raises: NotReady."""
        say = Status(call.log)
        if is_true(new, metadata.SKIP_AWAIT):
            say("info", "Skipping await logic")
            return live
        kind = awaits.AWAITS.get((live["apiVersion"], live["kind"]))
        if metadata.wait_for(live):
            kind = awaits.Custom
        if kind is None:
            return live
        try:
            condition = kind(live, before, say, self._client)
        except awaits.WaitForError as e:
            raise NotReady(str(e), [], live) from e
        if condition.ready() or self._informers is None:
            return live
        seconds = metadata.timeout(new, call.timeout)
        return awaits.until(condition, self._resource(live), self._informers, call.cancel, seconds)

    def update(
        self,
        call: Call,
        type: str,
        id: str,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        *,
        ignore_changes: Sequence[str],
    ) -> Made:
        new = normalize(state.plain(news))
        as_given = Made(id, dict(news))
        if call.preview and contains_unknown(new):
            return as_given
        made_from, old = state.parse(old_outputs)
        before_manager = str(unwrap(old_outputs.get("__fieldManager")) or metadata.unique(f"{CREATED_BY}-"))
        manager = metadata.annotation(new, metadata.PATCH_FIELD_MANAGER) or before_manager
        api_version = str(unwrap(old_outputs.get("__initialApiVersion")) or made_from.get("apiVersion", ""))

        def made(o: Object) -> Made:
            return Made(id, state.outputs(new, o, news, api_version, manager))

        problem: Exception
        reasons: list[str] = []
        try:
            before = self._get({**new, "metadata": old.get("metadata", {})})
            live = self._apply(call, new, before, manager, ignore_changes, patch=_is_patch(type, new))
            if call.preview:
                return made(live)
            live = self._await(call, new, live, before)
            _clear(call)
            if manager != before_manager:
                self._relinquish(live, before_manager)
            return made(live)
        except NoMatch as e:
            if call.preview:
                return as_given
            raise ProviderError(
                f'update of resource "{call.urn}" failed because the Kubernetes API server reported that the apiVersion for this resource does not exist. '
                f"Verify that any required CRDs have been created: {e}"
            ) from e
        except Unreachable as e:
            reason = self._note(e)
            if call.preview:
                return as_given
            raise ProviderError(UNREACHABLE + reason) from e
        except ApiError as e:
            if call.preview and e.code == 403:
                return as_given
            problem, text = e, _conflict(e, manager)
        except NotReady as e:
            problem, text, reasons = e, str(e), e.reasons
        try:
            live = problem.object if isinstance(problem, NotReady) else self._get(old)
        except (ApiError, Unreachable) as e:
            raise ProviderError(
                f'update of resource "{call.urn}" failed: {text}\nunable to get cluster state: {e}'
            ) from problem
        text = f'the Kubernetes API server reported that "{full_name(live)}" failed to fully initialize or become live: {text}'
        raise InitError(made(live), [text, *reasons]) from problem

    def _apply(
        self, call: Call, new: Object, before: Object, manager: str, ignore: Sequence[str], *, patch: bool
    ) -> Object:
        resource, dry = self._resource(new), "All" if call.preview else None
        path = resource.path(namespace_of(before), name_of(before))
        if new.get("kind") == "CustomResourceDefinition":  # replaced as a whole, which keeps the objects of its kind
            body = {**new, "metadata": {**new["metadata"], "resourceVersion": before["metadata"]["resourceVersion"]}}
            self._discovery.forget()
            return self._client.request("PUT", path, body, fieldManager=manager, dryRun=dry)
        managed = before["metadata"].get("managedFields") or []
        force = self._forces(new) or not managed
        if call.preview:
            force = force or any(
                e["operation"] == "Update" and e["manager"] in (CREATED_BY, "pulumi-resource-kubernetes")
                for e in managed
            )
        elif not patch:
            before = self._take_over(path, before, manager)
            managed = before["metadata"].get("managedFields") or []
        body = copy.deepcopy(new) if ignore else new
        for ignored in ignore:
            _keep_ignored(body, before, ignored.split("."), managed, manager)
        return self._client.request(
            "PATCH", path, body, content_type=APPLY, fieldManager=manager, force=force, dryRun=dry
        )

    def _take_over(self, path: str, o: Object, manager: str) -> Object:
        """Gives the manager what a plain create and kubectl wrote, so that an apply can change and remove it."""
        for attempt in range(5):
            entries = metadata.take_over(o["metadata"].get("managedFields") or [], manager)
            if entries is None:
                break
            patches = [
                {"op": "replace", "path": "/metadata/managedFields", "value": entries},
                {"op": "replace", "path": "/metadata/resourceVersion", "value": o["metadata"]["resourceVersion"]},
            ]
            try:
                return self._client.request("PATCH", path, patches, content_type=JSON_PATCH)
            except ApiError as e:
                if not e.conflict or attempt == 4:
                    raise
                o = self._client.get(path)  # a controller was faster
        return o

    def _relinquish(self, o: Object, manager: str) -> None:
        """Gives up every field a manager has set; what no one else manages goes back to its default."""
        body = {
            "apiVersion": o["apiVersion"],
            "kind": o["kind"],
            "metadata": {"name": name_of(o), "namespace": namespace_of(o)},
        }
        self._client.request(
            "PATCH", self._resource(o).path(namespace_of(o), name_of(o)), body, content_type=APPLY, fieldManager=manager
        )

    def read(self, call: Call, type: str, id: str, inputs: Properties, outputs: Properties) -> Made | None:
        namespace, name = metadata.split_id(id)
        _, last = state.parse(outputs)
        shape = normalize(state.plain(inputs))
        never_seen = not shape.get("kind") and not last.get("kind")
        if not shape.get("kind"):
            version, kind = (last["apiVersion"], last["kind"]) if last.get("kind") else _api_version(type)
            shape |= {
                "apiVersion": version,
                "kind": kind,
                "metadata": {"name": name, "namespace": namespace, **(shape.get("metadata") or {})},
            }
        api_version = str(unwrap(outputs.get("__initialApiVersion")) or shape["apiVersion"])
        manager = (
            metadata.annotation(shape, metadata.PATCH_FIELD_MANAGER)
            or str(unwrap(outputs.get("__fieldManager")) or "")
            or metadata.unique(f"{CREATED_BY}-")
        )
        failed: NotReady | None = None
        try:
            live = self._client.get(self._resource(shape).path(namespace or namespace_of(shape), name))
            if not never_seen and not is_true(shape, metadata.SKIP_AWAIT):
                failed = self._look(call, live)
        except Unreachable as e:
            call.log("warning", UNREACHABLE + self._note(e), False)
            if self._flags["deleteUnreachable"]:
                return None
            if self._flags["skipUpdateUnreachable"]:
                return Made(id, outputs, inputs)
            raise ProviderError(
                "failed to read resource state due to unreachable cluster. If the cluster was deleted, you can remove this resource from Pulumi state "
                'by rerunning the operation with the PULUMI_K8S_DELETE_UNREACHABLE environment variable set to "true"'
            ) from e
        except NoMatch:
            return None
        except ApiError as e:
            if e.not_found:
                return None
            raise ProviderError(str(e)) from e
        if never_seen:
            seen = normalize({k: v for k, v in copy.deepcopy(live).items() if k != "status"})
        else:
            seen = prune(live, shape)
        made = Made(id, state.outputs(seen, live, inputs, api_version, manager), state.with_secrets(seen, inputs))
        if failed:
            raise InitError(made, [str(failed), *failed.reasons]) from failed
        return made

    def _look(self, call: Call, live: Object) -> NotReady | None:
        """What is wrong with an object as it is now, for the kinds where that is told."""
        kind = awaits.AWAITS.get((live["apiVersion"], live["kind"]))
        if kind is None or live["kind"] not in awaits.READ:
            return None
        condition = kind(live, None, Status(call.log), self._client)
        try:
            condition.on_object(live)
        except NotReady:
            pass  # its reasons stay with the condition
        condition.load()
        if condition.ready():
            _clear(call)
            return None
        return condition.failed()

    def delete(self, call: Call, type: str, id: str, inputs: Properties, outputs: Properties) -> None:
        made_from, live = state.parse(outputs)
        namespace, name = metadata.split_id(id)
        if not live.get("kind"):
            version, kind = _api_version(type)
            live = {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}}
        try:
            resource = self._resource(live)
            if _is_patch(type, made_from):
                return self._relinquish(live, str(unwrap(outputs.get("__fieldManager"))))
            options = {
                "kind": "DeleteOptions",
                "apiVersion": "v1",
                "propagationPolicy": metadata.propagation(made_from),
            }
            answer = self._client.request("DELETE", resource.path(namespace_of(live), name), options)
        except Unreachable as e:
            call.log("warning", UNREACHABLE + self._note(e), False)
            if self._flags["deleteUnreachable"]:
                return None
            raise ProviderError(
                "configured Kubernetes cluster is unreachable. If the cluster was deleted, you can remove this resource from Pulumi state by rerunning "
                'the operation with the PULUMI_K8S_DELETE_UNREACHABLE environment variable set to "true"'
            ) from e
        except NoMatch:  # its definition is gone, and the object with it
            return None
        except ApiError as e:
            if e.not_found:
                return None
            raise ProviderError(str(e)) from e
        say = Status(call.log)
        if is_true(made_from, metadata.SKIP_AWAIT) and live["kind"] in awaits.SKIP_DELETION:
            say("info", "Skipping await logic")
        elif "uid" in answer.get("metadata", {}) and self._informers is not None:
            seconds = metadata.timeout(made_from, call.timeout)
            gone, last = awaits.until_gone(answer, resource, self._informers, self._client, call.cancel, seconds, say)
            if not gone:
                call.log(
                    "warning",
                    f"finalizers might be preventing deletion ({', '.join(last['metadata'].get('finalizers') or [])})",
                    False,
                )
                raise ProviderError(
                    "context canceled" if call.cancel.is_set() else "timed out waiting for the condition"
                )
        _clear(call)
        return None


def _conflict(e: ApiError, manager: str) -> str:
    if not e.conflict:
        return str(e)
    return (
        "server-side apply field conflict detected, see https://www.pulumi.com/registry/packages/kubernetes/how-to-guides/"
        "managing-resources-with-server-side-apply/#handle-field-conflicts-on-existing-resources for troubleshooting help\n"
        f'The resource managed by field manager "{manager}" had an apply conflict: {e}'
    )


def _keep_ignored(body: Object, live: Object, path: list[str], managed: list[Object], manager: str) -> None:
    """Leaves an ignored field to whoever else sets it, or sends the value it has."""
    mine, others = metadata.manages(managed, path, manager)
    parent, value = at(body, path[:-1]), at(live, path)
    if others and not mine:
        if isinstance(parent, dict):
            parent.pop(path[-1], None)
    elif value is not None and isinstance(parent, dict):
        parent[path[-1]] = copy.deepcopy(value)


_FACTORY: Callable[[], base.Provider] = KubernetesProvider  # checked by mypy: the class is a Provider
