"""A backup stands before each migration: without one nothing is migrated, and nothing else changes."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lightkube import Client
from lightkube.models.core_v1 import HostPathVolumeSource, PersistentVolumeSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap, Namespace, PersistentVolume, PersistentVolumeClaim, Pod, Secret

from tests.cluster.s3_server import BUCKET, S3Server
from tests.cluster.stacks import Stack, wait_for

BOOKED = """
INSERT INTO accounts SELECT 'a' || n, 0 FROM generate_series(1, 20) n;
INSERT INTO transactions (idempotency_key, request_hash, description)
    SELECT n::text, sha256(n::text::bytea), 'sale ' || n FROM generate_series(1, 300) n;
INSERT INTO postings SELECT id, side, 'a' || (id + side) % 20 + 1, (id * 7 + 3) * CASE side WHEN 0 THEN 1 ELSE -1 END
    FROM transactions, generate_series(0, 1) side;
UPDATE accounts SET balance = (SELECT coalesce(sum(amount), 0) FROM postings WHERE account = address)
"""
SUMS = """
SELECT account, sum(amount), count(*), (SELECT balance FROM accounts WHERE address = account), (SELECT count(*) FROM transactions)
FROM postings GROUP BY account ORDER BY account
"""

pytestmark = [pytest.mark.cluster, pytest.mark.stacks]


@pytest.fixture
def volume(api: Client, tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Makes volumes of a class of their own: the cluster of the tests makes none by itself."""
    made: list[str] = []

    def make(name: str) -> Path:
        folder = tmp_path / "volume"
        folder.mkdir()
        folder.chmod(0o777)  # a hostPath volume has the rights of its folder, whatever the pod's fsGroup
        made.append(name)
        spec = PersistentVolumeSpec(
            capacity={"storage": "10Gi"},
            accessModes=["ReadWriteOnce"],
            storageClassName=name,
            persistentVolumeReclaimPolicy="Retain",
            hostPath=HostPathVolumeSource(path=str(folder)),
        )
        api.create(PersistentVolume(metadata=ObjectMeta(name=name), spec=spec))
        return folder

    yield make
    for name in made:
        api.delete(PersistentVolume, name)


@pytest.fixture
def backed(stack: Stack, volume: Callable[[str], Path]) -> tuple[Stack, Path]:
    """A stack that backs its ledger up, and the folder of the volume."""
    folder = volume(stack.name)
    stack.configure(backup="pvc", backups={"storageClass": stack.name, "keep": 2, "size": "1Gi"})
    return stack, folder


def backup(verdict: dict[str, Any]) -> Any:
    return verdict["modules"][0]["backup"]


def ids(folder: Path) -> list[str]:
    """The complete backups, by their manifests."""
    return sorted(path.stem for path in folder.glob("*.json"))


def test_each_migration_has_a_backup_before_it_and_nothing_else_has(backed: tuple[Stack, Path]) -> None:
    stack, folder = backed
    verdict = stack.deployed("1.0.0")
    assert backup(verdict)["outcome"] == "skipped", "there was nothing to back up, and that is said"
    assert ids(folder) == []
    verdict = stack.deployed("1.1.0")
    [made] = ids(folder)
    assert (backup(verdict)["outcome"], backup(verdict)["id"]) == ("backed up", made)
    assert made.endswith("-1.0.0-to-1.1.0")
    before = stack.job_uids()
    stack.configure(replicas=2, backups={"storageClass": stack.name, "keep": 1, "size": "1Gi"})
    verdict = stack.deployed("1.1.0")
    assert (verdict["outcome"], backup(verdict), ids(folder)) == ("deployed", None, [made])
    assert stack.job_uids() == before, "other settings, those of backups too, run no Job"
    code, verdict = stack.up()
    assert (code, verdict["outcome"]) == (0, "unchanged")
    verdict = stack.deployed("1.6.0")
    assert ids(folder) == [backup(verdict)["id"]], "one is kept now"


def test_without_a_backup_nothing_is_migrated_and_the_next_run_tries_again(backed: tuple[Stack, Path]) -> None:
    stack, folder = backed
    stack.deployed("1.0.0")
    before = stack.fingerprints("1.0.0"), stack.pods("1.0.0"), stack.schema(), stack.jobs()
    folder.chmod(0o555)
    process = stack.workspace.start("up", "--set", "ledger=1.1.0")
    stdout, stderr = process.communicate(timeout=180)
    assert process.returncode == 3, stderr
    assert "its database could not be backed up, so it was not migrated" in stdout
    assert "database unchanged: the migration was not begun" in stdout
    assert "Permission denied" in stdout
    assert "version 1.0.0 still serving (1/1 ready)" in stdout
    assert (stack.fingerprints("1.0.0"), stack.pods("1.0.0"), stack.schema(), stack.jobs()) == before
    folder.chmod(0o777)
    verdict = stack.deployed("1.1.0")
    assert ids(folder) == [backup(verdict)["id"]]


@pytest.mark.long
def test_a_volume_that_there_is_not_is_told_and_nothing_is_migrated(stack: Stack) -> None:
    stack.deployed("1.0.0")
    # The claim is bound by hand to a volume that nobody makes; two minutes are given to one that is being made.
    stack.configure(backup="pvc", backups={"storageClass": "none-such", "deadlineSeconds": 10})
    code, verdict = stack.up("1.1.0")
    assert (code, verdict["outcome"]) == (3, "migration_failed")
    assert verdict["modules"][0]["database"]["unchanged"] is True
    assert stack.job("1.1.0") == ""


@pytest.mark.long
def test_killed_in_the_middle_of_a_dump_the_next_run_makes_it_whole(backed: tuple[Stack, Path]) -> None:
    stack, folder = backed
    stack.deployed("1.0.0")
    stack.sql(
        "CREATE TABLE wide AS SELECT n, (SELECT string_agg(md5(random()::text || n || i), '') FROM generate_series(1, 300) i) t"
        " FROM generate_series(1, 4000) n"
    )

    def writing() -> bool:
        return any(path.stat().st_size for path in folder.glob("*.partial"))

    stack.configure(version="1.1.0")
    with stack.running("up", until=writing, what="a dump that is being written") as process:
        stack.kill(process)
        [pod] = list(stack.api.list(Pod, namespace=stack.name, labels={"rollout.formance.com/job": "backup"}))
        stack.api.delete(Pod, pod.metadata.name, namespace=stack.name, grace_period=0)
    assert ids(folder) == [], "what is there does not look like a backup"
    assert stack.job("1.1.0") == "", "and so nothing was migrated"
    verdict = stack.deployed("1.1.0")
    assert ids(folder) == [backup(verdict)["id"]]
    assert len(list(folder.iterdir())) == 3, "what the killed one left is gone"


@pytest.mark.long
def test_a_destroy_keeps_the_backups_and_the_next_up_finds_them(backed: tuple[Stack, Path]) -> None:
    stack, folder = backed
    stack.deployed("1.0.0")
    stack.deployed("1.1.0")
    [made] = ids(folder)
    code, verdict = stack.workspace.rollout("destroy", "--yes")
    assert code == 0, json.dumps(verdict, indent=1)
    assert any("backups are kept" in n for n in verdict["notices"])
    assert stack.api.get(Namespace, stack.name).status.phase == "Active"
    claim = stack.api.get(PersistentVolumeClaim, "ledger-backups", namespace=stack.name)
    assert claim.status.phase == "Bound"
    verdict = stack.deployed("1.1.0")
    assert made in ids(folder)
    wait_for("the ledger", lambda: stack.deployments().get("ledger-1-1-0") == 1)


@pytest.mark.long
def test_a_restore_brings_rows_and_schema_back_to_the_cent(backed: tuple[Stack, Path]) -> None:
    stack, folder = backed
    stack.deployed("1.0.0")
    stack.sql(BOOKED)
    schema, sums = stack.schema(), stack.sql(SUMS)
    stack.deployed("1.1.0")
    [made] = ids(folder)
    stack.sql("DELETE FROM postings WHERE transaction_id > 100; DELETE FROM transactions WHERE id > 100")
    assert stack.schema() != schema
    assert stack.sql(SUMS) != sums
    listed = stack.workspace.rollout("backups")
    [module] = listed[1]["modules"]
    assert (module["module"], [b["id"] for b in module["backups"]]) == ("ledger", [made])
    before = stack.pods("1.1.0"), stack.schema()
    yes = f"--yes-restore=ledger/{stack.name}-ledger"

    code, verdict = stack.workspace.rollout("restore", "--module", "ledger", yes)
    assert (code, verdict["outcome"]) == (2, "refused"), "1.1.0 serves, and its migration would not run again"
    assert "--set ledger=1.0.0 --allow-downgrade" in verdict["error"]
    code, verdict = stack.workspace.rollout("restore", "--module", "ledger", "--allow-other-version", "--backup", made)
    assert (code, "add --yes-restore=ledger/" in verdict["error"]) == (64, True), "nobody was there to be asked"
    code, verdict = stack.workspace.rollout(
        "restore", "--module", "ledger", "--yes-restore=ledger/other", "--allow-other-version"
    )
    assert (code, "is not what would be replaced" in verdict["error"]) == (64, True)
    assert (stack.pods("1.1.0"), stack.schema()) == before
    assert stack.databases() == {f"{stack.name}-ledger"}

    stack.configure(version="1.0.0")
    code, verdict = stack.workspace.rollout("up", "--allow-downgrade")
    assert code == 0, json.dumps(verdict, indent=1)
    assert made in ids(folder), "the way back removes no backup"
    old = stack.pods("1.0.0")
    code, verdict = stack.workspace.rollout("restore", "--module", "ledger", "--backup", made, yes)
    assert (code, verdict["outcome"]) == (0, "restored"), json.dumps(verdict, indent=1)
    assert (stack.schema(), stack.sql(SUMS)) == (schema, sums)
    restore = verdict["modules"][0]["restore"]
    assert restore["changes"] == []
    assert stack.databases() == {f"{stack.name}-ledger", restore["kept"]}
    wait_for("pods that know nothing of the other database", lambda: not old.keys() & stack.pods("1.0.0").keys())
    assert verdict["modules"][0]["serving"] == {"version": "1.0.0", "ready": 1, "desired": 1}
    verdict = stack.deployed("1.1.0")
    assert verdict["outcome"] == "deployed", "and its migration runs again"
    assert stack.schema() != schema


@pytest.mark.long
def test_a_damaged_backup_is_refused_and_everything_goes_on_as_before(backed: tuple[Stack, Path]) -> None:
    stack, folder = backed
    stack.deployed("1.0.0")
    stack.sql(BOOKED)
    stack.deployed("1.1.0")
    stack.configure(version="1.0.0")
    assert stack.workspace.rollout("up", "--allow-downgrade")[0] == 0
    made = ids(folder)[0]
    path = folder / f"{made}.dump"
    path.write_bytes(path.read_bytes()[:-300])
    before = stack.pods("1.0.0"), stack.schema(), stack.sql(SUMS)
    yes = f"--yes-restore=ledger/{stack.name}-ledger"
    code, verdict = stack.workspace.rollout("restore", "--module", "ledger", "--backup", made, yes)
    assert (code, verdict["outcome"]) == (2, "refused"), json.dumps(verdict, indent=1)
    assert f"backup {made} was not restored" in verdict["error"]
    assert (stack.pods("1.0.0"), stack.schema(), stack.sql(SUMS)) == before
    assert stack.databases() == {f"{stack.name}-ledger"}


# What is restored of it takes a minute, and only there.
SLOW = """
CREATE FUNCTION slowly(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN IF pg_catalog.current_database() LIKE '%-restoring-%' THEN PERFORM pg_catalog.pg_sleep(60); END IF; RETURN n; END $$;
CREATE TABLE slow (n int); INSERT INTO slow VALUES (1); CREATE INDEX slow_n ON slow (slowly(n))
"""


def heard(process: Any, text: str) -> bool:
    """Waits until it has said something."""
    return any(text in line for line in process.stderr)


def interrupted(process: Any) -> str:
    """Ctrl-C, and what is said from then on; it must end as one that was interrupted."""
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=120)
    assert process.returncode == 130, out + said
    return str(out)


def jobs_apart(stack: Stack) -> list[str]:
    """What there is of Jobs that are no resources of the stack, and of their pods, that is at work."""
    labels: Any = {"rollout.formance.com/job": ["backup", "backups", "restore"]}
    pods = stack.api.list(Pod, namespace=stack.name, labels=labels)
    return [p.metadata.name for p in pods if p.status.phase in ("Pending", "Running")]


@pytest.mark.long
def test_a_restore_holds_the_stack_and_ctrl_c_leaves_everything_as_it_was(backed: tuple[Stack, Path]) -> None:
    stack, folder = backed
    stack.deployed("1.0.0")
    stack.sql(BOOKED)
    stack.sql(SLOW)
    stack.deployed("1.1.0")
    [made] = ids(folder)
    stack.configure(version="1.0.0")
    assert stack.workspace.rollout("up", "--allow-downgrade")[0] == 0
    before = stack.pods("1.0.0"), stack.fingerprints("1.0.0"), stack.schema(), stack.sql(SUMS)
    yes = f"--yes-restore=ledger/{stack.name}-ledger"
    wanted = ["restore", "--module", "ledger", "--backup", made, yes]
    with stack.running(*wanted, until=lambda: True, what="nothing") as process:
        assert heard(process, "restore: restoring: "), process.communicate()
        code, verdict = stack.up("1.1.0")
        assert (code, verdict["outcome"]) == (5, "locked")
        assert re.search(r"\(pid \d+\), since 20", verdict["lock"]), "who, and since when"
        assert stack.job("1.1.0") == ""
        assert f"interrupted: {stack.name}-ledger is as it was" in interrupted(process)
    assert jobs_apart(stack) == []
    assert stack.databases() == {f"{stack.name}-ledger"}
    assert (stack.pods("1.0.0"), stack.fingerprints("1.0.0"), stack.schema(), stack.sql(SUMS)) == before
    assert stack.deployed("1.1.0")["outcome"] == "deployed", "and the stack is free"


@pytest.mark.long
def test_while_an_update_runs_nothing_is_restored(backed: tuple[Stack, Path]) -> None:
    stack, _ = backed
    stack.deployed("1.0.0")
    stack.deployed("1.1.0")
    stack.sql("CREATE TABLE apart (n int)")
    stack.configure(version="1.6.0")
    yes = f"--yes-restore=ledger/{stack.name}-ledger"
    with (
        stack.holding("LOCK TABLE apart"),
        stack.running("up", until=lambda: jobs_apart(stack), what="a backup that waits") as update,
    ):
        code, verdict = stack.workspace.rollout("restore", "--module", "ledger", yes, "--allow-other-version")
        assert (code, verdict["outcome"]) == (5, "locked")
        assert "(pid " in verdict["lock"]
        assert heard(update, "backup: counting the rows: "), update.communicate()
        interrupted(update)
    assert jobs_apart(stack) == [], "nobody would wait for that backup"
    assert (stack.job("1.6.0"), stack.serving()) == ("", "1.1.0")
    assert stack.databases() == {f"{stack.name}-ledger"}
    assert stack.deployed("1.6.0")["outcome"] == "deployed"


@pytest.mark.long
def test_after_a_restore_the_stack_knows_the_version_that_the_database_is_of(backed: tuple[Stack, Path]) -> None:
    stack, _ = backed
    stack.deployed("1.0.0")
    schema = stack.schema()
    stack.sql(BOOKED)
    stack.deployed("1.1.0")
    newer = stack.schema()
    stack.configure(disabled=True)
    stack.deployed("1.1.0")

    def recorded() -> str:
        found = stack.api.get(ConfigMap, "ledger-migrated", namespace=stack.name)
        return str(found.metadata.labels["rollout.formance.com/version"])

    assert recorded() == "1.1.0"
    yes = f"--yes-restore=ledger/{stack.name}-ledger"
    code, verdict = stack.workspace.rollout("restore", "--module", "ledger", yes)
    assert (code, verdict["outcome"]) == (0, "restored"), json.dumps(verdict, indent=1)
    assert (recorded(), stack.schema()) == ("1.0.0", schema)
    assert stack.up()[1]["outcome"] in ("unchanged", "deployed")
    assert (recorded(), stack.schema()) == ("1.0.0", schema), "a module that is disabled is not migrated"
    stack.configure(disabled=False)
    stack.deployed("1.1.0")
    assert (recorded(), stack.schema()) == ("1.1.0", newer), "its migration ran on a database that is there no more"


@pytest.mark.long
def test_backups_go_to_s3_and_come_back(stack: Stack) -> None:
    stack.deployed("1.0.0")
    stack.sql(BOOKED)
    schema, sums = stack.schema(), stack.sql(SUMS)
    with S3Server() as server:
        keys = {"id": server.access_key, "key": server.secret_key, "wrong": "not-it"}
        stack.api.create(Secret(metadata=ObjectMeta(name="s3", namespace=stack.name), stringData=keys))
        s3 = {
            "bucket": BUCKET,
            "prefix": "some/where",
            "endpoint": server.endpoint,
            "accessKeyId": {"name": "s3", "key": "id"},
            "secretAccessKey": {"name": "s3", "key": "wrong"},
        }
        stack.configure(backup="s3", backups={"s3": s3, "keep": 2})
        code, verdict = stack.up("1.1.0")
        assert (code, verdict["outcome"]) == (3, "migration_failed")
        assert "SignatureDoesNotMatch" in verdict["modules"][0]["job"]["message"]
        assert (stack.job("1.1.0"), server.objects()) == ("", [])
        stack.configure(backups={"s3": {**s3, "secretAccessKey": {"name": "s3", "key": "key"}}, "keep": 2})
        verdict = stack.deployed("1.1.0")
        made = backup(verdict)["id"]
        [where] = [name.removesuffix(".json") for name in server.objects() if name.endswith(".json")]
        namespace = stack.api.get(Namespace, stack.name)
        assert namespace.metadata
        assert re.fullmatch(rf"some/where/[\w.-]+/{namespace.metadata.uid}/{stack.name}-ledger/{made}", where)
        assert server.objects() == [f"{where}.dump", f"{where}.json", f"{where}.schema"]
        stack.sql("DELETE FROM postings")
        yes = f"--yes-restore=ledger/{stack.name}-ledger"
        code, verdict = stack.workspace.rollout("restore", "--module", "ledger", yes, "--allow-other-version")
        assert (code, verdict["outcome"]) == (4, "rollout_failed"), json.dumps(verdict, indent=1)
        assert (stack.schema(), stack.sql(SUMS)) == (schema, sums), "what 1.1.0 needs is gone with it, as was said"
        stack.configure(version="1.0.0")
        code, verdict = stack.workspace.rollout("up", "--allow-downgrade")
        assert (code, stack.serving()) == (0, "1.0.0"), json.dumps(verdict, indent=1)
        dump = server.folder / f"{where}.dump"
        dump.write_bytes(dump.read_bytes()[:-100])
        code, verdict = stack.workspace.rollout("restore", "--module", "ledger", "--backup", made, yes)
        assert (code, verdict["outcome"]) == (2, "refused"), json.dumps(verdict, indent=1)


@pytest.mark.long
def test_a_command_of_yours_backs_up_and_its_exit_code_decides(stack: Stack) -> None:
    stack.deployed("1.0.0")
    ours = {"image": "localhost/rollout/migrator:1", "env": {"ANSWER": "1"}}
    program = (
        "import os, sys; e = os.environ; assert e['POSTGRES_URI'];"
        "print(e['BACKUP_MODULE'], 'to', e['BACKUP_TARGET'] + ': no space', file=sys.stderr); sys.exit(int(e['ANSWER']))"
    )
    command = ["python3", "-c", program]
    stack.configure(backup="command", backups={**ours, "command": command})
    code, verdict = stack.up("1.1.0")
    assert (code, verdict["outcome"]) == (3, "migration_failed")
    assert verdict["modules"][0]["job"]["message"] == "ledger to 1.1.0: no space"
    assert stack.job("1.1.0") == ""
    stack.configure(backups={**ours, "command": command, "env": {"ANSWER": "0"}})
    verdict = stack.deployed("1.1.0")
    assert (backup(verdict)["outcome"], backup(verdict)["id"]) == ("backed up", None)
    code, listed = stack.workspace.rollout("backups")
    assert code == 2
    assert "only its tool can list them" in listed["modules"][0]["message"]
