"""What a pod, a registry or a database may say: strategies and examples for tests of whoever reads it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

# Terminals obey them, pipelines obey them, or readers see something else than what is there.
TRICKS = (
    "\x1b]52;c;cm0gLXJmIH4K\x07",  # OSC 52: writes to the clipboard
    "\x1b[2J\x1b[H",  # CSI: clears the screen
    "\x1bP+q544e\x1b\\",  # DCS
    "\x9b31m",  # CSI as one C1 character
    "\rledger 1.2.0: deployed",
    "\x08\x08\x08",
    "\v\f\x1c\x1d\x1e\x85\u2028\u2029",  # what str.splitlines takes for the end of a line
    "\u202edeyolped\u202c\u2066\u2069\u200f",  # bidirectional controls
    "\ud800\udfff\udc80",  # surrogates that are no pair
    "\ufdd0\uffff\U000e0041",
    "\x00",
    "\n::add-mask::e",
    "\n  ::set-output name=x::y",
    "\n::stop-commands::x",
    "##[set-env name=PATH]/evil",
    "text ##vso[task.setvariable variable=x]y",
    "\nsection_start:1:x\r\x1b[0K",
    "\n```\n</details><script>alert(1)</script> @everyone | cell | `",
    "\n  previous version 1.1.0 still serving (2/2 ready)",
    "\nmigration_failed in 0.0 s",
    "\r\nNothing was changed.",
    "[" * 1000,
    '{"a":' * 1000,
    "[secret]",
    "$(HOME)",
)

hostile = st.lists(
    st.sampled_from(TRICKS)
    | st.text(st.characters(codec=None, categories=None), max_size=20)  # every code point, surrogates too
    | st.sampled_from(["ERROR: ", "password=", "SQLSTATE 22012", '"', "'", "\\", "://u:p@", "\n", " "]),
    max_size=8,
).map("".join)

_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**400), 2**63, -1])
    | st.floats(allow_nan=True, allow_infinity=True)
    | hostile
)
values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(hostile, inner, max_size=4), max_leaves=8
)
_FIELDS = (
    "outcome", "message", "sqlstate", "statement", "file", "line", "hint", "blockers", "unchanged", "changes", "more", "findings",
    "probes", "backup", "backups", "now", "kept", "swap_seconds", "sessions", "level", "rule", "what", "why", "instead",
    "id", "version", "target", "created", "size", "rows", "tables", "bytes",
)  # fmt: skip
_objects = st.dictionaries(
    st.sampled_from(_FIELDS), values | st.lists(st.dictionaries(st.sampled_from(_FIELDS), values))
)


def _json(value: Any) -> str:
    return json.dumps(value, skipkeys=True)


objects = _objects.map(_json)
messages = (
    objects
    | hostile
    | st.builds("{}\n{}".format, hostile, objects)
    | st.builds(lambda text, cut: text[:cut], objects, st.integers(0, 4096))
    | st.sampled_from(
        [
            "[" * 100_000,
            '{"message":' * 20_000,
            '{"message": "m", "line": ' + "9" * 5000 + "}",
            '{"message": "m", "blockers": [' + "[" * 900 + "]" * 900 + "]}",
            '{"unchanged": true, "more": 1e999, "changes": 5, "findings": {"a": 1}}',
            '{"unchanged": NaN, "more": -Infinity, "changes": "abc", "findings": [1, null, {"level": ["breaks"]}]}',
            '{"message": null, "outcome": []}',
            "null",
            "{}",
            "\ufeff{}",
        ]
    )
)
