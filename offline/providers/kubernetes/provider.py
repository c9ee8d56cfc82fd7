"""pulumi-kubernetes, as far as this project uses it: server-side apply, the awaits, the ``pulumi.com/*`` annotations.

Stands in for version 4.34.2 and keeps what a state holds compatible with it. What it does not cover it refuses by name.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

from offline.engine.provider import Call, CheckFailure, Diff, InitError, Made, Provider, ProviderError, Seen
from offline.engine.values import UNKNOWN, Properties, contains_unknown, unwrap

from ..diff import detailed, prune
from . import awaits, metadata, state
from .awaits import NotReady, Status
from .client import ApiError, Object, Unreachable
from .kinds import NoMatch, force_new
from .metadata import full_name, is_true, name_of, namespace_of
from .normalize import normalize
from .writes import CREATED_BY, Writes, conflict

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


class KubernetesProvider(Writes):
    """See :class:`offline.engine.provider.Provider`."""

    # --- check and diff -------------------------------------------------------------------------------------------

    def check(self, call: Call, type: str, olds: Properties, news: Properties) -> tuple[Properties, list[CheckFailure]]:
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
            metadata.assign_name(new, call.urn.rsplit("::", 1)[1])
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

    def diff(self, call: Call, type: str, old: Seen, news: Properties, ignore_changes: Sequence[str] = ()) -> Diff:
        made_from, live = state.parse(old.outputs)
        made_from, new = normalize(made_from), normalize(state.plain(news))
        before = prune(live, made_from)
        new["metadata"] = metadata_new = (
            dict(new.get("metadata") or {}) if new.get("metadata") is not UNKNOWN else UNKNOWN
        )
        before["metadata"] = dict(before.get("metadata") or {})
        before["metadata"].pop("resourceVersion", None)
        if isinstance(metadata_new, dict):
            if self._namespaced(new.get("apiVersion", ""), new.get("kind", "")):
                before["metadata"]["namespace"] = before["metadata"].get("namespace") or "default"
                metadata_new["namespace"] = metadata_new.get("namespace") or "default"
            else:
                before["metadata"].pop("namespace", None)
                metadata_new.pop("namespace", None)
            if name_of(new):
                before["metadata"]["name"] = name_of(live)
        before.setdefault("apiVersion", new.get("apiVersion"))
        before.setdefault("kind", new.get("kind"))
        forced = (
            (".metadata.name", ".metadata.namespace")
            if _is_patch(type, new)
            else force_new(
                new,
                mutable_config_maps=self._flags["enableConfigMapMutable"],
                mutable_secrets=self._flags["enableSecretMutable"],
            )
        )
        found = detailed(before, new, forced, ignore_changes)
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
                f'resource "{call.urn}" was not successfully created by the Kubernetes API server: {conflict(e, manager)}{more}'
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

    def update(self, call: Call, type: str, old: Seen, news: Properties, ignore_changes: Sequence[str] = ()) -> Made:
        new = normalize(state.plain(news))
        as_given = Made(old.id, dict(news))
        if call.preview and contains_unknown(new):
            return as_given
        made_from, last = state.parse(old.outputs)
        before_manager = str(unwrap(old.outputs.get("__fieldManager")) or metadata.unique(f"{CREATED_BY}-"))
        manager = metadata.annotation(new, metadata.PATCH_FIELD_MANAGER) or before_manager
        api_version = str(unwrap(old.outputs.get("__initialApiVersion")) or made_from.get("apiVersion", ""))

        def made(o: Object) -> Made:
            return Made(old.id, state.outputs(new, o, news, api_version, manager))

        problem: Exception
        reasons: list[str] = []
        try:
            before = self._get({**new, "metadata": last.get("metadata", {})})
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
            problem, text = e, conflict(e, manager)
        except NotReady as e:
            problem, text, reasons = e, str(e), e.reasons
        try:
            live = problem.object if isinstance(problem, NotReady) else self._get(last)
        except (ApiError, Unreachable) as e:
            raise ProviderError(
                f'update of resource "{call.urn}" failed: {text}\nunable to get cluster state: {e}'
            ) from problem
        text = f'the Kubernetes API server reported that "{full_name(live)}" failed to fully initialize or become live: {text}'
        raise InitError(made(live), [text, *reasons]) from problem

    def read(self, call: Call, type: str, old: Seen) -> Made | None:
        inputs, outputs = old.inputs, old.outputs
        namespace, name = metadata.split_id(old.id)
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
                return Made(old.id, outputs, inputs)
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
        made = Made(old.id, state.outputs(seen, live, inputs, api_version, manager), state.with_secrets(seen, inputs))
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

    def delete(self, call: Call, type: str, old: Seen) -> None:
        made_from, live = state.parse(old.outputs)
        namespace, name = metadata.split_id(old.id)
        if not live.get("kind"):
            version, kind = _api_version(type)
            live = {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}}
        try:
            resource = self._resource(live)
            if _is_patch(type, made_from):
                return self._relinquish(live, str(unwrap(old.outputs.get("__fieldManager"))))
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


_FACTORY: Callable[[], Provider] = KubernetesProvider  # checked by mypy: the class is a Provider
