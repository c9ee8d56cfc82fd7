"""What a command says of migrations, and whether a shell's script fails when its migration does."""

from __future__ import annotations

import json
import time

import pytest

from policies.commands import command
from policies.rules import gate, job_bounded, migration_fits
from policies.shell import LONGEST
from tests.unit.policies.corpus.commands import BACK, FORWARD, IDLE
from tests.unit.policies.corpus.scripts import BACKWARDS, FAILS_TOO, HIDES, NOTHING
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


@pytest.mark.parametrize("script", BACKWARDS)
def test_a_script_whose_text_is_known_goes_back_by_it(script: str) -> None:
    found = command(("sh", "-c", script))
    assert (found.migrates, found.backwards) == (False, True)


def test_in_a_labelled_job_whatever_is_not_known_to_change_nothing_may_be_what_migrates() -> None:
    def labelled(script: str) -> str:
        return in_yaml(script).replace("metadata: {name: ledger-1-1-0-migrate, annotations: {", LABELLED)

    for good in (
        "python backfill.py",
        "set -e; python backfill.py; curl quit",
        "sleep 5; psql -v ON_ERROR_STOP=1 -f schema.sql",
    ):
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


FILES = """
apiVersion: v1
kind: KIND
metadata: {name: scripts}
FIELD:
"""
RUNS = (
    job_bounded.PASSES.replace(
        "containers: [{name: migrate, image: example.org/ledger:1.1.0, args: [migrate]}]",
        "volumes: [{name: scripts, VOLUME}]\n      containers: [{name: migrate, image: example.org/ledger:1.1.0, "
        "command: COMMAND, volumeMounts: [{name: scripts, mountPath: /scripts}]}]",
    )
    .replace(
        "{name: ledger-1-1-0-migrate, ", "{name: ledger-1-1-0-migrate, labels: {rollout.formance.com/job: migrate}, "
    )
    .replace("annotations: {", "annotations: {pulumi.com/replaceUnready: 'true', ")
)
VOLUMES = {
    "ConfigMap": ("data", "configMap: {name: scripts}"),
    "Secret": ("stringData", "secret: {secretName: scripts}"),
}


def mounted(command: str, files: dict[str, str], kind: str = "ConfigMap", **fields: str) -> list[str]:
    """What is said of a Job with these files under /scripts."""
    field, volume = VOLUMES[kind]
    held = "".join(f"  {name}: {json.dumps(text)}\n" for name, text in files.items())
    job = RUNS.replace("COMMAND", command).replace("VOLUME", volume)
    for name, value in fields.items():
        job = job.replace("name: migrate, image", f"name: migrate, {name}: {value}, image")
    text = FILES.replace("KIND", kind).replace("FIELD", field) + held + "---\n" + job
    return [*messages(job_bounded.RULE, text), *messages(migration_fits.RULE, text)]


@pytest.mark.parametrize(
    ("command", "script", "words"),
    [
        ("[sh, /scripts/run.sh]", "api migrate; curl quit", "goes on"),
        ("[/scripts/run.sh]", "#!/bin/sh\napi migrate || true", "ends well"),
        ("[sh, -c, '. /scripts/run.sh']", "api migrate &", "background"),
        ("[sh, /scripts/run.sh]", "echo nothing", "succeeds without one"),
        ("[sh, /scripts/run.sh]", "api migrate down", "takes migrations back"),
        ("[sh, /scripts/run.sh]", "set -e\napi migrate\ncurl quit", None),
        ("[sh, -e, /scripts/run.sh]", "api migrate\ncurl quit", None),
        ("[/scripts/run.sh]", "#!/bin/bash -e\napi migrate\ncurl quit", None),
        ("[/scripts/run.sh]", "#!/usr/bin/env -S bash -e\napi migrate\ncurl quit", None),
        ("[/scripts/run.sh]", "#!/usr/bin/env python3\nimport api; api.migrate(); print('((')", None),
    ],
)
@pytest.mark.parametrize("kind", VOLUMES)
def test_a_script_that_the_program_itself_has_is_read_too(
    command: str, script: str, words: str | None, kind: str
) -> None:
    found = mounted(command, {"run.sh": script}, kind)
    assert [words in m for m in found if words] == ([True] if words else [])


@pytest.mark.parametrize(
    "run", ["[sh, /scripts/run.sh]", "[sh, -ec, 'sh /scripts/run.sh']", "[bash, -ec, /scripts/run.sh]"]
)
def test_set_e_of_a_caller_or_of_a_first_line_that_is_not_read_is_none_of_the_scripts(run: str) -> None:
    first = "" if "bash" in run else "#!/bin/sh -e\n"
    (message,) = mounted(run, {"run.sh": f"{first}api migrate\ncurl quit"})
    assert "goes on" in message


def test_set_e_reaches_what_is_sourced() -> None:
    for source in (".", "source"):
        run = f"[bash, -ec, '{source} /scripts/lib.sh; echo done']"
        assert mounted(run, {"lib.sh": "api migrate\necho migrated"}) == []
    assert mounted("[sh, -c, '. /scripts/lib.sh; api migrate; echo done']", {"lib.sh": "set -e"}) == []


@pytest.mark.parametrize(
    "run",
    [
        "[sh, //scripts//run.sh]",
        "[sh, /scripts/../scripts/./run.sh]",
        "[sh, /scripts/..data/run.sh]",
        "[sh, /proc/self/root/scripts/run.sh]",
        "[sh, -c, 'cd /scripts; ./run.sh']",
        "[sh, -c, 'cd /scripts && sh run.sh']",
        "[sh, -c, 'D=/scripts; exec $D/run.sh']",
        "[sh, -c, 'cd \"$(dirname /scripts/run.sh)\"; ./run.sh']",
        "[sh, -c, '$UNKNOWN/run.sh']",
        "[sh, -c, 'cp /scripts/run.sh /tmp/x && chmod +x /tmp/x && /tmp/x']",
        "[sh, -c, 'cat /scripts/run.sh > /tmp/x; sh /tmp/x']",
        "[sh, -c, 'sh < /scripts/run.sh']",
        "[sh, -c, 'sh -c \"$(cat /scripts/run.sh)\"']",
        "[sh, -c, 'eval \"$(cat /scripts/run.sh)\"']",
        "[bash, -c, 'eval \"$(< /scripts/run.sh)\"']",
        "[bash, -c, 'source <(cat /scripts/run.sh)']",
        "[sh, -c, 'S=`cat /scripts/run.sh`; eval \"$S\"']",
        "[bash, -c, 'bash <(cat /scripts/run.sh)']",
        "[env, A=b, sh, /scripts/run.sh]",
        "[tini, --, run-it, /scripts/run.sh]",
        "[sh, /scripts/first.sh]",
        "[sh, -c, 'if true; then bash -x /scripts/run.sh; fi']",
    ],
)
def test_a_script_is_read_by_whatever_path_it_is_run(run: str) -> None:
    first = "#!/bin/sh\nexec /scripts/run.sh"
    (message,) = mounted(run, {"run.sh": "#!/bin/sh\napi migrate || true", "first.sh": first})
    assert "ends well" in message
    assert mounted(run, {"run.sh": "#!/bin/sh\napi migrate || exit 1", "first.sh": first}) == []


def test_a_script_is_read_in_the_folder_that_the_container_begins_in() -> None:
    for folder, run in (("/scripts", "[./run.sh]"), ("/", "[sh, scripts/run.sh]"), ("/scripts/", "[sh, run.sh]")):
        (message,) = mounted(run, {"run.sh": "#!/bin/sh\napi migrate || true"}, workingDir=folder)
        assert "ends well" in message
        assert mounted(run, {"run.sh": "#!/bin/sh\napi migrate"}, workingDir=folder) == []


@pytest.mark.parametrize(
    "run",
    [
        "[sh, -c, '/scripts/wait.sh && api migrate']",
        "[sh, -c, 'set -e; . /scripts/lib.sh; wait_for db; api migrate; echo done']",
        "[sh, -c, 'set -e; /scripts/wait.sh db; exec api migrate']",
        "[sh, /scripts/run.sh]",
    ],
)
def test_not_every_script_that_is_mounted_must_migrate(run: str) -> None:
    files = {
        "wait.sh": "#!/bin/sh\nuntil nc -z $1 5432; do sleep 1; done",
        "lib.sh": 'wait_for() {\n  until nc -z "$1" 5432; do sleep 1; done\n}\n',
        "run.sh": "set -e\n. /scripts/lib.sh\nwait_for db\napi migrate\necho done",
    }
    assert mounted(run, files) == []


@pytest.mark.parametrize(
    ("run", "name", "text"),
    [
        (
            "[alembic, -c, /scripts/alembic.ini, upgrade, head]",
            "alembic.ini",
            "[alembic]\nscript_location = migrations",
        ),
        ("[migrate, --config, /scripts/c.yaml]", "c.yaml", "a: 1\nb: [x]"),
        ("[liquibase, --changelog-file=/scripts/changelog.xml, update]", "changelog.xml", "<databaseChangeLog/>"),
        ("[python, /scripts/run.py]", "run.py", "import os\nprint(1)"),
        ("[sh, -c, 'set -e; alembic -c /scripts/alembic.ini upgrade head']", "alembic.ini", "[alembic]\nx = (1"),
    ],
)
def test_a_file_that_a_program_reads_is_no_script(run: str, name: str, text: str) -> None:
    assert mounted(run, {name: text}) == []


def test_scripts_that_call_each_other_without_end_are_no_gate() -> None:
    (message,) = mounted("[sh, /scripts/a.sh]", {"a.sh": "sh /scripts/b.sh", "b.sh": "sh /scripts/a.sh"})
    assert "cannot be followed (scripts that run each other)" in message


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
        *(
            "a=(",
            "${a:-",
            "x=$y;",
            "x=$x$x;",
            "for i in $x; do ",
            "f $@;",
            "case $x in a) ",
            "echo >(a);",
            "<<<a ",
            ". a;",
            "cd x;",
        ),
        *(
            "env -S ",
            "sh -c ",
            "exec ",
            "a=b ",
            "export A=b;",
            "alias a=b;a;",
            "`a`",
            "`\\",
            "$'",
            "<<a\n",
            "$(case x in ",
            "$(<<a ",
            "set -- a;",
        ),
        *(
            "psql -c 'select 1;'",
            "python -c ",
            "pwsh -c a;",
            "[ $a = $b ];",
            "x=`cat a`;",
            "if a;then x=$x;fi;",
            "echo a>b;",
            "tini -- ",
        ),
    ],
)
def test_a_megabyte_of_anything_is_read_in_a_second(piece: str) -> None:
    text = (piece * 1_000_000)[:1_000_000]
    for words in (("sh", "-c", text), (text,), ("api", text, "migrate"), tuple(text[:200_000].split(" "))):
        begun = time.process_time()
        command(words)
        assert time.process_time() - begun < 1
