"""docs/parity.md, made of the scenarios, the recordings and the reasons."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.parity import recordings
from tests.parity.compare import NEVER_EXCUSED, beyond, reasons
from tests.parity.scenarios import SCENARIOS, Scenario

FILE: Final = Path(__file__).resolve().parents[2] / "docs" / "parity.md"

_TEXT: Final = """\
<!-- Made by `python -m tests.parity docs` from tests/parity: change it there. -->
# The offline engine and the Pulumi CLI

`offline/cli` stands in for the Pulumi CLI where there is none (tests, the demo). How far it does the same is compared, not
claimed:

    make parity               # every scenario on every engine of this machine; JSON=file, K=pattern
    make test-all             # runs some of them (in bold below); `make test` what needs no cluster
    make record               # writes the expectations anew, from the Pulumi CLI on the PATH

Expected is what {recorded} did on a real Kubernetes: events, checkpoints, cluster objects, exit codes and
texts, in `tests/parity/recorded`, one file a scenario. `make parity` runs each scenario in a project and a namespace of its
own and compares, step by step:

| fact | what |
|---|---|
| `exit`, `locks` | the exit code; lock files left behind |
| `operations` | for each resource, by URN: the events of its steps with operation and result, the properties that differ, what forces a replacement |
| `order` | nothing begins before what it depends on has ended, nothing is deleted before what depends on it or before all is made: violations |
| `diagnostics` | lasting warnings and errors, whole, with their resource |
| `summary`, `policies` | counts and result; violations, levels, packs |
| `state`, `pending` | the checkpoint, resource by resource, with inputs, outputs, dependencies, secrets, and operations noted as pending |
| `objects` | what is in the cluster, with its generation and field managers |
| `outcome`, `history` | what the Automation API returned or raised, and the stack's history |
| `text` | what other commands print, JSON documents, stderr, and `--diff` |
| `meanwhile` | what a second command at the same time was told |

Not compared, because it differs between two runs of one engine: times, UIDs, random suffixes, ciphertexts (they are decrypted
in the tests of the state), statuses as read at some moment, addresses; the order of sets (`dependencies`: the CLI writes them
as its maps yield them) and of steps that do not depend on each other; pods, which are their controllers'; what the
Python program prints while it is being interrupted. Time limits that a scenario is not about are wider than recorded while it
runs and are compared as recorded, so that a busy machine meets none.

What needs no cluster is tested beside it (`tests/parity/test_recordings.py`): the offline engine shows the CLI's recorded events in the
CLI's words, and writes every recorded state back as it was. `tests/parity/test_compare.py` plants each kind of difference and
sees that it is found.

## The CLI itself

With a `pulumi` on the PATH and `ENGINE=pulumi`, the demo, the tests on the cluster and every scenario run on that CLI and its own
Kubernetes provider. Seen with the CLI 3.260.0 and pulumi-kubernetes 4.34.2, built from their sources, on the offline cluster:

    ENGINE=pulumi make demo             # as it should be in all eight steps: 17,174 requests, 0 lost, sum of all balances 0
    ENGINE=pulumi make test-cluster     # the 124 tests that drive an engine pass, ten modules at once and the pipelines' scripts among them
    make parity                         # what was recorded happens again

Of 46 scenarios (`command` needs a plugin that was not there) 42 agree with what was recorded. In three only texts differ that no two
runs share (addresses, plugins, a stack trace); in `deletion-times-out` Kubernetes had removed the pods before the limit of the third update.

## One state

{one_state}

## Differences that stay

{excuses}

What an engine does beyond the CLI:{beyond}

What a scenario leaves open, because the CLI may do either:{open}

No reason is accepted for {never}.

## Scenarios

In **bold**: part of `make test-all`.

| scenario | commands |
|---|---|
{scenarios}
"""

_ONE_STATE: Final = """\
The state is a Pulumi file backend: a stack made by one engine is the other's.

- *Made by the CLI, taken by the offline engine* (`tests/parity/test_one_state.py`, on the cluster): recorded checkpoints are put into a
  backend as they are, secrets included, and their objects into the cluster with the field managers they had. `preview --expect-no-changes`,
  the same with `--refresh`, `refresh` and `up --expect-no-changes` find nothing to do; and where the recorded scenario goes on (upgrade,
  revert after a failed migration, outputs, destroy), every fact of the offline engine's steps on the CLI's state is that of the CLI's own.
- *Made by the offline engine, taken by the CLI* (the same file, skipped where there is no CLI): stacks that the offline engine has installed,
  upgraded, failed to upgrade and reverted are handed to the CLI, which previews, refreshes, exports, imports and updates them, finds
  nothing to do, gives them back, and destroys them in the end. Without a CLI: each state the offline engine writes equals the CLI's of
  the same step (`state` and `pending` above, in every scenario); every recorded state is read and written back as it was; what the
  engine writes on top of the CLI's state has only fields of the CLI's schema with their types, keeps its rules of integrity
  (`VerifyIntegrity`), and its secrets open with the published algorithm alone, without any code of the engine
  (`tests/parity/states.py`; the same rules hold for all of the CLI's own states)."""


def text() -> str:
    """Raises: FileNotFoundError: a scenario has no recording."""
    known = reasons()
    excuses = [f"| {r.engine} | `{r.scenarios}` | `{r.place}` | {r.why} |" for r in known]
    table = "\n".join(["| engine | scenarios | where | why |", "|---|---|---|---|", *excuses]) if known else "None."
    return _TEXT.format(
        recorded="; ".join(sorted({_engine(name) for name in SCENARIOS})),
        one_state=_ONE_STATE,
        excuses=table,
        beyond="".join(f"\n\n- {b['engine']}: {b['why']}" for b in beyond()),
        open="".join(f"\n\n- {s.name}: {why}" for s in SCENARIOS.values() for why in s.open.values()),
        never=", ".join(f"`{fact}`" for fact in NEVER_EXCUSED),
        scenarios="\n".join(map(_row, SCENARIOS.values())),
    )


def _engine(scenario: str) -> str:
    e = recordings.load(scenario).engine
    providers = f"pulumi-kubernetes {e['kubernetes']}, pulumi-command {e['command']}"
    return f"the Pulumi CLI {e['version']} with {providers} and the Python SDK {e['sdk']}"


def _row(scenario: Scenario) -> str:
    name = f"**{scenario.name}**" if scenario.quick else scenario.name
    how = {"command": "", "local": " (Automation API)", "inline": " (Automation API, inline program)"}[scenario.via]
    done = []
    for step in scenario.steps:
        words = [w for w in step.run if w not in ("--yes", "--skip-preview")]
        what = " ".join(words if len(words) < 6 else [*words[:3], "..."])
        m = step.meanwhile
        done.append(what + (f" ({m.signal or 'with ' + m.run[0]})" if m else ""))
    return f"| {name} | `{'`, `'.join(done)}`{how} |"
