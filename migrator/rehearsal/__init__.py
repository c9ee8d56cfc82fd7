"""A migration rehearsed on a scratch database beside the real one: what the containers of the rehearsal's pod run.

prepare   makes the scratch database, fills it with the schema or all of the real one, and looks at the statements in use
warm      waits for the serving version to be up on the copy, with its connections open, before the migration
judge     after the new version's `migrate`: is the change safe for the version that serves, and does that still work?
hold      asks the serving version all the while, and drops the scratch database at SIGTERM, whatever happened before

`components/rehearsal.py` has the pod that puts them together.
"""

from __future__ import annotations

from migrator.rehearsal.database import Databases, hold, prepare
from migrator.rehearsal.evidence import statements_from
from migrator.rehearsal.judge import Refused, judge
from migrator.rehearsal.serving import Probe, Serving, Unanswered, probes_from
from migrator.rehearsal.weighing import Policy

__all__ = [
    "Databases",
    "Policy",
    "Probe",
    "Refused",
    "Serving",
    "Unanswered",
    "hold",
    "judge",
    "prepare",
    "probes_from",
    "statements_from",
]
