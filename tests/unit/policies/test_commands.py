"""What a command says of migrations, and whether a shell's script fails when its migration does."""

from __future__ import annotations

import time

import pytest

from policies.commands import command, of_file
from policies.rules import gate, job_bounded, migration_fits
from policies.shell import LONGEST
from tests.unit.policies.corpus.commands import BACK, FORWARD, IDLE
from tests.unit.policies.corpus.scripts import FAILS_TOO, HIDES, NOTHING
from tests.unit.policies.manifests import messages


def reads(line: str) -> tuple[bool, bool]:
    """Whether a command migrates, and whether it goes back."""
    found = command(tuple(line.split()))
    return found.migrates, found.backwards


# From the documentation of the tools; the charts that run them are on Artifact Hub.
@pytest.mark.parametrize("line", FORWARD)
def test_what_brings_a_database_forward_migrates(line: str) -> None:
    assert reads(line) == (True, False)


@pytest.mark.parametrize(
    "line",
    IDLE,
)
def test_what_looks_talks_or_waits_does_not(line: str) -> None:
    assert reads(line) == (False, False)


@pytest.mark.parametrize(
    "line",
    BACK,
)
def test_what_takes_a_migration_back_is_known(line: str) -> None:
    assert reads(line) == (False, True)


def in_yaml(script: str) -> str:
    escaped = script.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return job_bounded.PASSES.replace("args: [migrate]", f'command: [sh, -c], args: ["{escaped}"]')


@pytest.mark.parametrize("script", FAILS_TOO)
def test_a_script_that_fails_with_its_migration_passes(script: str) -> None:
    for rule in (job_bounded.RULE, migration_fits.RULE):
        assert messages(rule, in_yaml(script)) == []


@pytest.mark.parametrize("script", HIDES)
def test_a_script_that_may_end_well_without_its_migration_is_refused(script: str) -> None:
    (message,) = messages(job_bounded.RULE, in_yaml(script))
    assert "so a failed migration ends as a successful one" in message


LABELLED = "metadata: {name: ledger-1-1-0-migrate, labels: {rollout.formance.com/job: migrate}, annotations: {pulumi.com/replaceUnready: 'true', "


@pytest.mark.parametrize("script", NOTHING)
def test_a_script_that_never_comes_to_its_migration_is_none(script: str) -> None:
    assert not command(("sh", "-c", script)).migrates
    labelled = in_yaml(script).replace("metadata: {name: ledger-1-1-0-migrate, annotations: {", LABELLED)
    (message,) = messages(migration_fits.RULE, labelled)
    assert "succeeds without one" in message


def test_in_a_labelled_job_whatever_is_not_known_to_change_nothing_may_be_what_migrates() -> None:
    def labelled(script: str) -> str:
        return in_yaml(script).replace("metadata: {name: ledger-1-1-0-migrate, annotations: {", LABELLED)

    for good in ("python backfill.py", "set -e; python backfill.py; curl quit", "sleep 5; psql -f schema.sql"):
        assert messages(job_bounded.RULE, labelled(good)) == messages(migration_fits.RULE, labelled(good)) == []
    assert "goes on" in str(messages(job_bounded.RULE, labelled("python backfill.py; curl quit")))


def test_a_script_that_cannot_be_followed_is_no_gate() -> None:
    for script in (
        "api migrate; fi",
        "api migrate; echo 'unclosed",
        "( " * 900 + "api migrate" + " )" * 900,
        "api migrate;" * LONGEST,
    ):
        (message,) = messages(job_bounded.RULE, in_yaml(script))
        assert "cannot be followed" in message


SCRIPT = """
apiVersion: v1
kind: ConfigMap
metadata: {name: scripts}
data:
  run.sh: "SCRIPT"
---
"""
RUNS = job_bounded.PASSES.replace(
    "containers: [{name: migrate, image: example.org/ledger:1.1.0, args: [migrate]}]",
    "volumes: [{name: scripts, configMap: {name: scripts}}]\n      containers: [{name: migrate, image: example.org/ledger:1.1.0, "
    "command: COMMAND, volumeMounts: [{name: scripts, mountPath: /scripts}]}]",
).replace("{name: ledger-1-1-0-migrate, ", "{name: ledger-1-1-0-migrate, labels: {rollout.formance.com/job: migrate}, ")


@pytest.mark.parametrize(
    ("command", "script", "words"),
    [
        ("[sh, /scripts/run.sh]", "api migrate; curl quit", "goes on"),
        ("[/scripts/run.sh]", "#!/bin/sh\\napi migrate || true", "ends well"),
        ("[sh, -c, '. /scripts/run.sh']", "api migrate &", "background"),
        ("[sh, /scripts/run.sh]", "echo nothing", "does not migrate"),
        ("[sh, /scripts/run.sh]", "api migrate down", "does not migrate"),
        ("[sh, /scripts/run.sh]", "set -e\\napi migrate\\ncurl quit", None),
        ("[sh, -e, /scripts/run.sh]", "api migrate\\ncurl quit", None),
        ("[/scripts/run.sh]", "#!/bin/bash -e\\napi migrate\\ncurl quit", None),
        ("[/scripts/run.sh]", "#!/usr/bin/env python3\\nimport api; api.migrate(); print('((')", None),
    ],
)
def test_a_script_in_a_config_map_of_the_program_is_read_too(command: str, script: str, words: str | None) -> None:
    found = messages(migration_fits.RULE, SCRIPT.replace("SCRIPT", script) + RUNS.replace("COMMAND", command))
    assert [words in m for m in found if words] == ([True] if words else [])


def test_a_file_of_another_language_is_not_read_as_a_shells() -> None:
    assert of_file(["/run"], "/run", "#!/usr/bin/env python3\nimport os") is None


@pytest.mark.parametrize(
    ("words", "path", "text"),
    [
        (["alembic", "-c", "/s/alembic.ini"], "/s/alembic.ini", "[alembic]\nscript_location = migrations"),
        (["migrate", "--config", "/s/c.yaml"], "/s/c.yaml", "a: 1\nb: [x]"),
        (["liquibase", "--changelog-file=/s/changelog.xml"], "/s/changelog.xml", "<databaseChangeLog/>"),
        (["python", "/s/run.py"], "/s/run.py", "import os\nprint(1)"),
        (["sh", "-c", "set -e; alembic -c /s/alembic.ini upgrade head"], "/s/alembic.ini", "[alembic]\nx = (1"),
    ],
)
def test_a_file_that_a_program_reads_is_no_script(words: list[str], path: str, text: str) -> None:
    assert of_file(words, path, text) is None


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (["/s/run"], "/s/run"),
        (["sh", "/s/run"], "/s/run"),
        (["bash", "-e", "/s/run"], "/s/run"),
        (["sh", "-c", "cd /; /s/run"], "/s/run"),
        (["sh", "-c", "set -e\n. /s/run && exit"], "/s/run"),
        (["sh", "-c", "if true; then bash -x '/s/run'; fi"], "/s/run"),
        (["tini", "--", "run-it", "/s/run.sh"], "/s/run.sh"),
    ],
)
def test_a_file_that_a_shell_runs_is_one(words: list[str], path: str) -> None:
    found = of_file(words, path, "api migrate || true")
    assert found is not None
    assert found.hides


@pytest.mark.parametrize(
    "hook", ["lifecycle: {postStart: {exec: {command: COMMAND}}}", "startupProbe: {exec: {command: COMMAND}}"]
)
def test_a_hook_that_migrates_is_a_migration_that_nobody_waits_for(hook: str) -> None:
    def says(command: str) -> list[str]:
        return messages(
            gate.RULE,
            gate.PASSES.replace("{name: ledger, image", f"{{name: ledger, {hook.replace('COMMAND', command)}, image"),
        )

    (message,) = says("[api, migrate]")
    assert "of container 'ledger' migrates, whenever one of its pods starts" in message
    assert says("[api, migrate, status]") == says("[sh, -c, 'sleep 3']") == []


@pytest.mark.measures
@pytest.mark.parametrize(
    "piece",
    [
        *(
            "set ",
            "a;",
            "(",
            "$(",
            "'",
            '"',
            "`",
            "a|",
            "a&&",
            "{ ",
            "if a; then ",
            "f(){ ",
            "a||b;",
            "x=$?;api migrate||y=$?;",
        ),
        *(
            "for i in a; do ",
            "case x in a) ",
            "<<a ",
            "\\",
            "$((",
            "[[ ",
            "!",
            "until a; do ",
            "a&",
            "api migrate;",
            "api migrate $A;",
        ),
        *(
            "f(){ f;f; };f;",
            "trap 'exit 0' ERR;api migrate;",
            "migrate-",
            "--migrate ",
            "migrate:",
            "${",
            "$",
            "<",
            "\n",
            " ",
            "#",
        ),
    ],
)
def test_a_megabyte_of_anything_is_read_in_a_second(piece: str) -> None:
    text = (piece * 1_000_000)[:1_000_000]
    for words in (("sh", "-c", text), (text,), ("api", text, "migrate"), tuple(text[:200_000].split(" "))):
        begun = time.process_time()
        command(words)
        assert time.process_time() - begun < 1
