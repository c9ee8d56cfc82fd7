"""What an engine did, one file a scenario: events, state, cluster and screen, trimmed to what is compared.

Nothing is masked here but names of this machine: what differs between two runs of one engine is left out in
:mod:`tests.parity.facts`, so that the recordings stay what the CLI really wrote. In a file, values that occur more than
once stand once, in ``pool``, and are referred to by ``{"$": index}``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent / "recorded"
PASSPHRASE: Final = "recorded"

Json = Any
Row = dict[str, Json]
"""One step: run, exit, stdout, stderr, events, checkpoint, objects, locks; of two commands at once, ``meanwhile``."""

_NEVER: Final = {"managedFields", "sourcePosition", "stackTrace"}  # times and line numbers; objects tell the managers
_NEVER_IN_STATE: Final = {*_NEVER, "status"}  # as read at some moment
_STEP_EVENTS: Final = ("resourcePreEvent", "resOutputsEvent", "resOpFailedEvent")
_SHOWN: Final = ("custom", "delete", "parent", "protect", "external", "retainOnDelete", "provider")
_SHORT: Final = 60  # characters of JSON below which a reference is no gain


@dataclass(frozen=True)
class Recording:
    """One scenario on one engine.

    Attributes:
        engine: its name and version, and its providers'.
        steps: a row for each step.
        history: what the Automation API told of the stack's history at the end.
    """

    scenario: str
    engine: dict[str, str]
    steps: list[Row]
    history: list[Row]


def load(scenario: str) -> Recording:
    """The recording of the Pulumi CLI.

    Raises:
        FileNotFoundError: there is none of this scenario.
    """
    file = json.loads((HERE / f"{scenario}.json").read_text(encoding="utf-8"))
    data = _unpacked(file)
    return Recording(scenario, file["engine"], data["steps"], data["history"])


def save(recording: Recording) -> None:
    pool, data = _packed({"steps": recording.steps, "history": recording.history})
    lines = ",\n".join(map(_dumps, pool))
    head = f'{{"engine":{_dumps(recording.engine)},\n"data":{_dumps(data)},\n"pool":[\n'
    (HERE / f"{recording.scenario}.json").write_text(f"{head}{lines}\n]}}\n", encoding="utf-8")


def recorded() -> list[str]:
    return sorted(f.stem for f in HERE.glob("*.json"))


def trimmed(row: Row) -> Row:
    """What is kept of a step. States in events are cut to what a screen shows, except where all of them is shown."""
    whole = "--diff" in row["run"]
    events = [_event(e, whole=whole) for e in row.get("events") or [] if not _is_debug(e)]
    out = {k: v for k, v in row.items() if k in ("run", "exit", "stderr", "objects", "locks", "meanwhile", "outcome")}
    stdout = row.get("stdout", "")
    try:
        out["document"] = _without(json.loads(stdout), _NEVER)
    except ValueError:
        out["stdout"] = stdout
    return {**out, "events": events, "checkpoint": _without(row.get("checkpoint"), _NEVER_IN_STATE)}


def _is_debug(event: Mapping[str, Json]) -> bool:
    return bool(event.get("diagnosticEvent", {}).get("severity") == "debug")


def _event(event: Mapping[str, Json], *, whole: bool) -> Row:
    out = {k: v for k, v in event.items() if k not in ("sequence", "timestamp")}
    for kind in _STEP_EVENTS:
        if kind in out:
            step = dict(out[kind]["metadata"])
            shown = _without(step, _NEVER) if whole else _cut(step)
            out[kind] = {**out[kind], "metadata": shown}
    return out


def _cut(step: Row) -> Row:
    root = step["type"] == "pulumi:pulumi:Stack"
    compared = step.get("detailedDiff") is None and step["op"] not in ("same", "create", "delete", "refresh")
    for side in ("old", "new"):
        if state := step.get(side):
            kept = {k: state[k] for k in _SHOWN if state.get(k)}
            if root:
                kept["outputs"] = state.get("outputs") or {}
            if compared:
                kept["inputs"] = state.get("inputs") or {}
            step[side] = kept
    return step


def _without(value: Json, names: set[str]) -> Json:
    if isinstance(value, dict):
        return {k: _without(v, names) for k, v in value.items() if k not in names}
    return [_without(v, names) for v in value] if isinstance(value, list) else value


def _dumps(value: Json) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _packed(value: Json) -> tuple[list[Json], Json]:
    seen: Counter[str] = Counter()

    def count(v: Json) -> None:
        if isinstance(v, (dict, list)):
            text = _dumps(v)
            if len(text) > _SHORT:
                seen[text] += 1
                if seen[text] > 1:
                    return
            for part in v.values() if isinstance(v, dict) else v:
                count(part)

    pool: list[Json] = []
    places: dict[str, int] = {}

    def pack(v: Json) -> Json:
        if not isinstance(v, (dict, list)):
            return v
        text = _dumps(v)
        if seen[text] > 1:
            if text not in places:
                pool.append(parts(v))
                places[text] = len(pool) - 1
            return {"$": places[text]}
        return parts(v)

    def parts(v: Json) -> Json:
        return {k: pack(x) for k, x in v.items()} if isinstance(v, dict) else [pack(x) for x in v]

    count(value)
    return pool, pack(value)


def _unpacked(file: Mapping[str, Json]) -> Json:
    pool: list[Json] = []

    def unpack(v: Json) -> Json:
        if isinstance(v, dict):
            return pool[v["$"]] if v.keys() == {"$"} else {k: unpack(x) for k, x in v.items()}
        return [unpack(x) for x in v] if isinstance(v, list) else v

    for entry in file["pool"]:  # an entry refers to earlier ones only
        pool.append(unpack(entry))
    return unpack(file["data"])
