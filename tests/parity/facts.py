"""What an engine did, as facts that are the same in every run of one engine: no times, random names or order by chance.

Facts of a step, each by itself:

- ``exit``, ``locks`` (files left behind), ``outcome`` (what the Automation API returned or raised)
- ``operations``: for each resource the sequence of its events, with the properties that differ
- ``order``: what happened before what it depends on (nothing should), and deletions before the end of all creations
- ``diagnostics``: lasting warnings and errors, with the resource they are about
- ``summary``, ``policies``
- ``state``, ``pending``: the checkpoint, resource by resource
- ``objects``: what is in the cluster, with its field managers
- ``text``: what a command that is no update printed, and what ``--diff`` and ``--json`` show
- ``meanwhile``: a second command's exit code and words
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from tests.parity.recordings import Json, Recording, Row
from tests.parity.scenarios import UPDATES

Facts = dict[str, Json]

_SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
_EVENTS: Final = {"resourcePreEvent": "begin", "resOutputsEvent": "end", "resOpFailedEvent": "fail"}
_POLICY_EVENTS: Final = (
    "policyEvent",
    "policyRemediationEvent",
    "policyAnalyzeSummaryEvent",
    "policyAnalyzeStackSummaryEvent",
    "policyRemediateSummaryEvent",
)
# What the API server, its controllers and the clock put into an object or a state.
_VOLATILE: Final = {
    "batch.kubernetes.io/controller-uid", "ciphertext", "clusterIP", "clusterIPs", "controller-uid", "created",
    "creationTimestamp", "generation", "kubeconfig", "managedFields", "modified", "nodeName", "observedGeneration",
    "resourceVersion", "salt", "sourcePosition", "stackTrace", "status", "time", "uid",
}  # fmt: skip
# What depends on when one looks or on what else the machine has, in the documents of commands.
_MACHINE: Final = {
    "duration", "endTime", "installTime", "lastUpdate", "lastUsedTime", "size", "startTime", "user",
}  # fmt: skip

_PROGRESS: Final = {"ready", "succeeded", "failed"}

_RANDOM: Final = (
    (re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<uuid>"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.]+(?:Z| \+0000 UTC)"), "<time>"),
    (re.compile(r"kube-api-access-[a-z0-9]{5}"), "kube-api-access"),
    (re.compile(r'(?<=__main__.py", line )\d+'), "<line>"),
    (re.compile(r"\[Pod [^]]*?-[a-z0-9]{5}\]"), "[Pod]"),
    (re.compile(r"(?<=[a-z0-9])-[0-9a-f]{8}\b"), "-<random>"),
    (re.compile(r"(?<=<random>)-[a-z0-9]{8,10}(?:-[a-z0-9]{5})?\b"), "-<pod>"),
    (re.compile(r"\bhello[0-9a-f]{8}\b"), "hello<random>"),
    (re.compile(r"\(pid \d+\)|(?<=created by )\S+@\S+"), "<who>"),
    (re.compile(r"(?<=last updated: )[^(]*\(|(?<=Last updated: )[^(]*\("), "("),
    (re.compile(r"(?<=Managed by )\S+"), "<who>"),
    (re.compile(r"Duration: \w+"), "Duration"),
    (re.compile(r"file://\S+/"), "file://<state>/"),
)


def facts(recording: Recording) -> list[Facts]:
    """The facts of every step, and of the stack's history if there is any."""
    before: list[Json] = []
    found = []
    for row in recording.steps:
        found.append(_step(row, before))
        before = _resources(row)
    if recording.history:
        found.append({"history": [_known(h) for h in recording.history]})
    return found


def steady(text: str) -> str:
    """A text without random names, times and people."""
    for pattern, word in _RANDOM:
        text = pattern.sub(word, text)
    return text


def _steady(value: Json, volatile: frozenset[str] | set[str] = frozenset()) -> Json:
    if isinstance(value, dict):
        if _SIGNATURE in value:
            return "<secret>"
        return {steady(k): _steady(v, volatile) for k, v in value.items() if k not in volatile}
    if isinstance(value, list):
        return [_steady(v, volatile) for v in value]
    return steady(value) if isinstance(value, str) else value


def _step(row: Row, before: list[Json]) -> Facts:
    out: Facts = {"exit": row["exit"]}
    events = row.get("events") or []
    if events:
        out |= {
            "operations": _operations(events),
            "order": sorted(_disorder(events, [*before, *_resources(row)])),
            "diagnostics": _diagnostics(events),
            "policies": _policies(events),
            "summary": _summary(events),
        }
    if row.get("checkpoint"):
        out |= {"state": _state(row), "pending": _pending(row)}
    if "outcome" in row:
        out["outcome"] = _known(row["outcome"])
    if "objects" in row:
        out |= {"objects": _objects(row), "locks": row["locks"]}
    out["text"] = _text(row)
    if row.get("meanwhile"):
        out["meanwhile"] = {k: _steady(row["meanwhile"][k]) for k in ("exit", "stderr")}
    return out


# --- events -------------------------------------------------------------------------------------------------------


def _steps(events: list[Row]) -> Iterator[tuple[str, Row, Row]]:
    for event in events:
        for kind, word in _EVENTS.items():
            if kind in event:
                yield word, event[kind]["metadata"], event[kind]


def _name(urn: str) -> str:
    return steady(urn.split("::", 2)[2]) if urn else ""


def _operations(events: list[Row]) -> dict[str, list[Json]]:
    out: dict[str, list[Json]] = defaultdict(list)
    for word, step, event in _steps(events):
        said: dict[str, Json] = {"event": word, "op": step["op"]}
        for key in ("keys", "diffs", "detailedDiff", "logical"):
            if step.get(key):
                said[key] = sorted(step[key]) if isinstance(step[key], list) else _steady(step[key])
        if word == "fail":
            said["status"] = event.get("status")
        out[_name(step["urn"])].append(said)
    return dict(sorted(out.items()))


def _needs(resources: list[Json]) -> dict[str, set[str]]:
    needs: dict[str, set[str]] = defaultdict(set)
    for r in resources:
        needs[r["urn"]] |= {*r.get("dependencies", ()), r.get("deletedWith", "")} - {""}
        for urns in r.get("propertyDependencies", {}).values():
            needs[r["urn"]] |= set(urns or ())
    return needs


def _disorder(events: list[Row], resources: list[Json]) -> Iterator[str]:
    """Every resource must begin after what it depends on has ended; deletions go the other way, and last."""
    makes: dict[str, tuple[int, int]] = {}
    deletes: dict[str, tuple[int, int]] = {}
    open_: dict[tuple[str, str], int] = {}
    for at, (word, step, _) in enumerate(_steps(events)):
        urn, op = step["urn"], step["op"]
        if not (step.get("new") or step.get("old") or {}).get("custom"):
            continue  # components end when the program says so
        if word == "begin":
            open_[urn, op] = at
            continue
        if (urn, op) not in open_:
            continue  # the end of a refresh
        span = open_.pop((urn, op)), at
        if op in ("create", "update", "create-replacement"):
            makes[urn] = span
        elif op in ("delete", "delete-replaced"):
            deletes[urn] = span
    never = len(events)
    for (urn, op), at in open_.items():  # cut off
        if op.startswith("delete"):
            deletes[urn] = at, never
        elif op in ("create", "update", "create-replacement"):
            makes[urn] = at, never
    for urn, needs in _needs(resources).items():
        for other in needs:
            if urn in makes and other in makes and makes[urn][0] < makes[other][1]:
                yield f"{_name(urn)} is made before {_name(other)} is there"
            if urn in deletes and other in deletes and deletes[other][0] < deletes[urn][1]:
                yield f"{_name(other)} is deleted before {_name(urn)} is gone"
    last = max((end for start, end in makes.values()), default=-1)
    for urn, (start, _) in deletes.items():
        if start < last:
            yield f"{_name(urn)} is deleted before everything is made"


def _diagnostics(events: list[Row]) -> Json:
    out: dict[str, list[Json]] = defaultdict(list)
    for event in events:
        d = event.get("diagnosticEvent")
        if d and d["severity"] in ("warning", "error") and not d.get("ephemeral") and d["message"].strip():
            out[_name(d.get("urn") or "")].append([d["severity"], *steady(d["message"]).strip().splitlines()])
    return {name: sorted(said) for name, said in out.items()}


def _policies(events: list[Row]) -> list[Json]:
    found = (_steady({k: e[k]}) for e in events for k in _POLICY_EVENTS if k in e)
    return sorted(found, key=lambda v: json.dumps(v, sort_keys=True))


def _summary(events: list[Row]) -> Json:
    wanted = ("resourceChanges", "result", "isPreview", "PolicyPacks", "maybeCorrupt")
    for event in events:
        if "summaryEvent" in event:
            return {k: event["summaryEvent"].get(k) for k in wanted}
    return None


# --- state and cluster ----------------------------------------------------------------------------------------------


def _latest(row: Row) -> Row:
    checkpoint = row.get("checkpoint") or {}
    return (checkpoint.get("checkpoint") or {}).get("latest") or {}


def _resources(row: Row) -> list[Json]:
    return _latest(row).get("resources") or []


def _resource(r: Row) -> Row:
    out: Row = _steady(r, _VOLATILE)
    # Both are sets; the CLI writes them as its maps happen to yield them.
    out["dependencies"] = sorted(out.get("dependencies", ()))
    out["propertyDependencies"] = {k: sorted(v or ()) for k, v in out.get("propertyDependencies", {}).items()}
    return out


def _state(row: Row) -> Json:
    out: dict[str, Json] = {}
    for r in _resources(row):
        name = _name(r["urn"]) + (" (to be deleted)" if r.get("delete") else "")
        out[name] = _resource(r)
    return {"version": row["checkpoint"].get("version"), "features": row["checkpoint"].get("features"), **out}


def _pending(row: Row) -> Json:
    operations = _latest(row).get("pending_operations") or []
    return sorted([p["type"], _name(p["resource"]["urn"])] for p in operations)


def _objects(row: Row) -> Json:
    """Pods are their controllers' business; a field manager is the engine's or a controller's.

    How far a workload has come is compared for those that the update has waited for: in the state, and not pending.
    """
    pending = {p["resource"]["urn"] for p in _latest(row).get("pending_operations") or []}
    settled = {r.get("id", "") for r in _resources(row) if r["urn"] not in pending}
    out: dict[str, list[Json]] = defaultdict(list)
    for o in row["objects"]:
        if o["kind"] == "Pod":
            continue
        kept = {k: v for k, v in o.items() if f"rec/{o['name']}" in settled or k not in _PROGRESS}
        managers = sorted(set(map(steady, o["managers"])))
        out[f"{o['kind']} {steady(o['name'])}"].append({**_steady(kept), "managers": managers})
    return {name: sorted(same, key=lambda o: json.dumps(o, sort_keys=True)) for name, same in sorted(out.items())}


# --- texts ------------------------------------------------------------------------------------------------------------


def _known(outcome: Json) -> Json:
    """What the Automation API said, without the machine: its Python, its variables, times."""
    if isinstance(outcome, list):
        return [_known(v) for v in outcome]
    if not isinstance(outcome, dict):
        return _steady(outcome)
    dropped = {*_VOLATILE, *_MACHINE}
    return {
        k: {x: y for x, y in v.items() if not x.startswith(("pulumi.env.", "runtime."))}
        if k == "environment"
        else _known(v)
        for k, v in outcome.items()
        if k not in dropped
    }


def _text(row: Row) -> Json:
    """A command's words. Those of an update are told by its events, but for ``--diff``, whose text is made of values."""
    errors = sorted(_lines(row.get("stderr") or ""))
    if "document" in row:
        return [_known(_listed(row["document"])), errors]
    if row["run"][0] in UPDATES and "--diff" not in row["run"]:
        return [errors]
    lines = _lines(row.get("stdout") or "")
    if "--show-urns" in row["run"]:  # a tree of resources: what registers at once is in the state in either order
        lines = sorted(line.strip(" │├└─") for line in lines)
    return [lines, errors]


def _lines(text: str) -> list[str]:
    return [line for line in steady(text).split("\n") if line.strip()]


def _listed(document: Json) -> Json:
    """A JSON document with what is in no order sorted: the steps of a preview, the resources of a state."""
    if isinstance(document, dict) and "steps" in document:
        ranked = sorted(document["steps"], key=lambda s: (s["urn"], s["op"]))
        return {**document, "steps": [_stated(s) for s in ranked]}
    if isinstance(document, dict) and "deployment" in document:
        deployment = document["deployment"]
        resources = [_resource(r) for r in sorted(deployment.get("resources", []), key=lambda r: str(r["urn"]))]
        return {**document, "deployment": {**deployment, "resources": resources}}
    return document


def _stated(step: Row) -> Row:
    sides: dict[str, Callable[[Row], Row]] = {"oldState": _resource, "newState": _resource}
    return {k: sides[k](v) if k in sides and v else v for k, v in step.items()}


def difference(name: str, mine: Any, theirs: Any) -> Iterator[tuple[str, str]]:
    """Where two facts differ, as path and words.

    Args:
        name: the path so far.
        mine: what was expected.
        theirs: what was found.
    """
    if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
        for key in sorted({*mine, *theirs}, key=str):
            if key not in mine:
                yield f"{name}/{key}", f"not expected: {_short(theirs[key])}"
            elif key not in theirs:
                yield f"{name}/{key}", f"missing: {_short(mine[key])}"
            else:
                yield from difference(f"{name}/{key}", mine[key], theirs[key])
    elif isinstance(mine, list) and isinstance(theirs, list) and len(mine) == len(theirs):
        for at, (a, b) in enumerate(zip(mine, theirs, strict=True)):
            yield from difference(f"{name}/{at}", a, b)
    elif mine != theirs:
        yield name, f"expected {_short(mine)}, found {_short(theirs)}"


def _short(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 600 else f"{text[:300]} ... {text[-290:]}"
