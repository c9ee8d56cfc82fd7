"""pulumi-kubernetes, as far as this project uses it: server-side apply, the awaits, the ``pulumi.com/*`` annotations.

Stands in for version 4.34.2 and keeps what a state holds compatible with it. What it does not cover it refuses by name.
"""

# ruff: noqa: ARG002 - the interface is the same for every provider

from __future__ import annotations

from collections.abc import Callable, Sequence

from offline.engine.errors import NotCovered
from offline.engine.provider import Call, CheckFailure, Diff, InitError, Made, Provider, ProviderError, Seen
from offline.engine.values import UNKNOWN, Properties, contains_unknown, unwrap

from ..diff import detailed, prune
from . import awaits, metadata, state
from .awaits import NotReady, Status
from .client import ApiError, Unreachable
from .kinds import Object, force_new, of_type, resource
from .metadata import full_name, is_true, name_of, namespace_of
from .normalize import normalize
from .writes import CREATED_BY, Writes, conflict

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
FORGET = (
    "If the cluster was deleted, you can remove this resource from Pulumi state by rerunning the operation with the "
    'PULUMI_K8S_DELETE_UNREACHABLE environment variable set to "true"'
)


def _clear(call: Call) -> None:
    call.log("info", "", True)


class KubernetesProvider(Writes):
    """See :class:`offline.engine.provider.Provider`."""

    # --- check and diff -------------------------------------------------------------------------------------------

    def check(self, call: Call, type: str, olds: Properties, news: Properties) -> tuple[Properties, list[CheckFailure]]:
        kind = of_type(type)
        new = normalize(state.plain(news))
        _refuse_uncovered(new)
        if olds:
            metadata.adopt_name(new, {"metadata": unwrap(olds.get("metadata"))})
        else:
            metadata.assign_name(new, call.urn.rsplit("::", 1)[1])
        given = new.setdefault("metadata", {})
        if self._namespace and kind.namespaced and isinstance(given, dict) and not given.get("namespace"):
            given["namespace"] = self._namespace
        return state.with_secrets(new, news), []

    def diff(self, call: Call, type: str, old: Seen, news: Properties, ignore_changes: Sequence[str] = ()) -> Diff:
        made_from, live = state.parse(old.outputs)
        made_from, new = normalize(made_from), normalize(state.plain(news))
        before = prune(live, made_from)
        before["metadata"] = _comparable(before.get("metadata") or {}, new)
        if new.get("metadata") is not UNKNOWN:
            new["metadata"] = _comparable(new.get("metadata") or {}, new)
            if name_of(new):
                before["metadata"]["name"] = name_of(live)
        before.setdefault("apiVersion", new.get("apiVersion"))
        before.setdefault("kind", new.get("kind"))
        found = detailed(before, new, force_new(new), ignore_changes)
        replaces = [
            path
            for path, d in found.items()
            if d.kind.endswith("-replace") or (path == "metadata" and d.kind == "delete")
        ]
        if is_true(new, metadata.REPLACE_UNREADY) and self._unready(call, new, live):
            replaces.append(f'.metadata.annotations["{metadata.REPLACE_UNREADY}"]')
        same_object = name_of(new) == name_of(live) and namespace_of(new) == namespace_of(live)
        named_by_program = metadata.named(new) and not is_true(new, metadata.AUTONAMED)
        return Diff(
            changes=bool(found or replaces),
            replaces=sorted(replaces),
            detailed=found,
            delete_before_replace=bool(replaces) and named_by_program and same_object,
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
        as_given = Made("", dict(inputs))
        if call.preview and contains_unknown(new):
            return as_given
        if not call.preview:
            _refuse_unawaited(new)
        manager = metadata.unique(f"{CREATED_BY}-")

        def made(o: Object) -> Made:
            outputs = state.outputs(new, o, inputs, new.get("apiVersion", ""), manager)
            return Made("" if call.preview else full_name(o), outputs)

        try:
            live = self._make(call, new, manager)
        except Unreachable as e:
            reason = self._note(e)
            if call.preview:
                return as_given
            raise ProviderError(UNREACHABLE + reason) from e
        except ApiError as e:
            refused_dry_run = e.code == 403 or (e.code == 400 and "dry run" in str(e))
            if call.preview and (refused_dry_run or e.already_exists or e.namespace_missing):
                return as_given
            more = ALREADY_EXISTS if e.already_exists else ""
            raise ProviderError(
                f'resource "{call.urn}" was not successfully created by the Kubernetes API server: {conflict(e, manager)}{more}'
            ) from e
        if call.preview:
            live.pop("status", None)
            return made(live)
        _clear(call)
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
        if live["kind"] not in awaits.AWAITS:
            return live
        condition = awaits.AWAITS[live["kind"]](live, before, say, self._client)
        if condition.ready() or self._informers is None:
            return live
        seconds = metadata.timeout(new, call.timeout)
        return awaits.until(condition, resource(live), self._informers, call.cancel, seconds)

    def update(self, call: Call, type: str, old: Seen, news: Properties, ignore_changes: Sequence[str] = ()) -> Made:
        new = normalize(state.plain(news))
        as_given = Made(old.id, dict(news))
        if call.preview and contains_unknown(new):
            return as_given
        if not call.preview:
            _refuse_unawaited(new)
        _, last = state.parse(old.outputs)
        api_version, manager = state.origin(old.outputs)

        def made(o: Object) -> Made:
            return Made(old.id, state.outputs(new, o, news, api_version, manager))

        problem: Exception
        reasons: list[str] = []
        try:
            before = self._get({**new, "metadata": last.get("metadata", {})})
            live = self._apply(call, new, before, manager, ignore_changes)
            if call.preview:
                return made(live)
            live = self._await(call, new, live, before)
            _clear(call)
            return made(live)
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
        shape = normalize(state.plain(old.inputs))
        namespace, name = metadata.split_id(old.id)
        failed: NotReady | None = None
        try:
            live = self._client.get(resource(shape).path(namespace or namespace_of(shape), name))
            if not is_true(shape, metadata.SKIP_AWAIT):
                failed = self._look(call, live)
        except Unreachable as e:
            call.log("warning", UNREACHABLE + self._note(e), False)
            raise ProviderError(f"failed to read resource state due to unreachable cluster. {FORGET}") from e
        except ApiError as e:
            if e.not_found:
                return None
            raise ProviderError(str(e)) from e
        seen = prune(live, shape)
        outputs = state.outputs(seen, live, old.inputs, *state.origin(old.outputs))
        made = Made(old.id, outputs, state.with_secrets(seen, old.inputs))
        if failed:
            raise InitError(made, [str(failed), *failed.reasons]) from failed
        return made

    def _look(self, call: Call, live: Object) -> NotReady | None:
        """What is wrong with an object as it is now, for the kinds where that is told."""
        if live["kind"] not in awaits.AWAITS:
            return None
        condition = awaits.AWAITS[live["kind"]](live, None, Status(call.log), self._client)
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
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground"}
        kind = resource(live)
        try:
            answer = self._client.request("DELETE", kind.path(namespace_of(live), name_of(live)), options)
        except Unreachable as e:
            call.log("warning", UNREACHABLE + self._note(e), False)
            raise ProviderError(f"configured Kubernetes cluster is unreachable. {FORGET}") from e
        except ApiError as e:
            if e.not_found:
                return
            raise ProviderError(str(e)) from e
        say = Status(call.log)
        if is_true(made_from, metadata.SKIP_AWAIT) and live["kind"] in awaits.SKIP_DELETION:
            say("info", "Skipping await logic")
        elif "uid" in answer.get("metadata", {}) and self._informers is not None:
            seconds = metadata.timeout(made_from, call.timeout)
            gone, last = awaits.until_gone(answer, kind, self._informers, self._client, call.cancel, seconds, say)
            if not gone:
                holders = ", ".join(last["metadata"].get("finalizers") or [])
                call.log("warning", f"finalizers might be preventing deletion ({holders})", False)
                raise ProviderError(
                    "context canceled" if call.cancel.is_set() else "timed out waiting for the condition"
                )
        _clear(call)


def _comparable(given: Object, new: Object) -> Object:
    """Metadata without what the server alone sets, and with the namespace that it stands for."""
    out = {k: v for k, v in given.items() if k not in ("resourceVersion", "namespace")}
    if resource(new).namespaced:
        out["namespace"] = given.get("namespace") or "default"
    return out


def _refuse_uncovered(o: Object) -> None:
    """Raises: NotCovered: what the real provider would act on, and this one would silently leave out."""
    for key in metadata.NOT_COVERED:
        if metadata.annotation(o, key):
            raise NotCovered(f"the annotation {key}")
    if metadata.section(o, "generateName"):
        raise NotCovered("metadata.generateName")


def _refuse_unawaited(o: Object) -> None:
    """Raises: NotCovered: the object would count as ready before it is. A preview, which waits for nothing, goes on."""
    if metadata.annotation(o, metadata.WAIT_FOR):
        raise NotCovered(f"the annotation {metadata.WAIT_FOR}")
    if o.get("type") == "kubernetes.io/service-account-token":
        raise NotCovered("a Secret with the token of a ServiceAccount")
    balanced = o.get("kind") == "Service" and o["spec"].get("type") == "LoadBalancer"
    if (balanced or o.get("kind") in awaits.NOT_COVERED) and not is_true(o, metadata.SKIP_AWAIT):
        what = "a Service of type LoadBalancer" if balanced else f"the kind {o['kind']}"
        raise NotCovered(f"{what} without {metadata.SKIP_AWAIT}")


_FACTORY: Callable[[], Provider] = KubernetesProvider  # checked by mypy: the class is a Provider
