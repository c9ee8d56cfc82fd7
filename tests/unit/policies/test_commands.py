"""What a command says of migrations, and whether a shell's script fails when its migration does."""

from __future__ import annotations

import time

import pytest

from policies.commands import command, of_file
from policies.rules import gate, job_bounded, migration_fits
from policies.shell import LONGEST
from tests.unit.policies.manifests import messages


def reads(line: str) -> tuple[bool, bool]:
    """Whether a command migrates, and whether it goes back."""
    found = command(tuple(line.split()))
    return found.migrates, found.backwards


# From the documentation of the tools; the charts that run them are on Artifact Hub.
@pytest.mark.parametrize(
    "line",
    [
        *(
            "api migrate",
            "api migrate up",
            "api database migrate",
            "java -jar app.jar migrate",
            "./migrate.sh",
            "bin/migrate",
        ),
        *("prisma migrate deploy", "npx prisma@5.1 migrate deploy", "prisma db push", "drizzle-kit push"),
        *(
            "python manage.py migrate --noinput",
            "manage.py migrate --fake-initial",
            "manage.py migrate_schemas --shared",
        ),
        *(
            "bundle exec rake db:migrate",
            "rails db:migrate:with_data",
            "rails db:migrate:primary",
            "php artisan migrate --force",
        ),
        *(
            "knex migrate:latest",
            "yarn knex migrate:latest",
            "node_modules/.bin/sequelize db:migrate",
            "typeorm migration:run -d x",
        ),
        *("alembic upgrade head", "python -m alembic -c x.ini upgrade head", "flask db upgrade", "superset db upgrade"),
        *(
            "goose -dir /m postgres $(DSN) up",
            "dbmate --wait up",
            "liquibase --url=x update",
            "flyway -url=jdbc:x migrate",
        ),
        *(
            "migrate -path /down -database postgres://db/x up",
            "migrate -path=/m -database x up 2",
            "atlas migrate apply --url x",
        ),
        *("sqlx migrate run", "diesel migration run", "hasura migrate apply --all-databases", "kong migrations up"),
        *(
            "kratos migrate sql -e --yes",
            "hydra migrate sql up",
            "openfga migrate --datastore-engine postgres",
            "spicedb migrate head",
        ),
        *(
            "bin/app eval App.Release.migrate",
            "mix ecto.migrate",
            "gradlew flywayMigrate",
            "airflow db migrate",
            "phinx migrate -e prod",
        ),
        *(
            "php bin/console doctrine:migrations:migrate latest -n",
            "yii migrate/up",
            "node dist/migrate.js",
            "python -u /app/migrate.py",
        ),
        *(
            "dockerize -wait tcp://db:5432 api migrate",
            "wait-for-it.sh db:5432 -- api migrate",
            "timeout 600 api migrate",
        ),
        *("tini -- api migrate", "gosu app api migrate", "env A=b api migrate", "npm run db:migrate", "make migrate"),
        *("api serve --auto-migrate", "api --migrate=true", "server --migrate-on-startup", "migrate --dry-run=false"),
        *(
            "api migrate --log-level info",
            "api migrate -h db.example.org",
            "api migrate --version 12",
            "api migrate data",
        ),
    ],
)
def test_what_brings_a_database_forward_migrates(line: str) -> None:
    assert reads(line) == (True, False)


@pytest.mark.parametrize(
    "line",
    [
        *(
            "true migrate",
            ": migrate",
            "echo migrate",
            "sleep 5 migrate",
            "test -f migrate",
            "cat migrate.sql",
            "sh -n migrate.sh",
        ),
        *(
            "api migrate -h",
            "api migrate --help",
            "api help migrate",
            "api migrate help",
            "api migrate --version",
            "api migrate validate",
        ),
        *(
            "manage.py migrate --fake",
            "manage.py migrate --plan",
            "manage.py migrate --check",
            "manage.py showmigrations",
        ),
        *(
            "migrate -path x -database y force 7",
            "migrate version",
            "migrate create x",
            "prisma migrate resolve --applied x",
        ),
        *(
            "prisma migrate status",
            "prisma migrate dev",
            "prisma migrate diff",
            "flyway validate",
            "flyway -skipExecutingMigrations=true migrate",
        ),
        *("alembic stamp head", "alembic current", "alembic upgrade head --sql", "goose status", "liquibase status"),
        *(
            "liquibase changelog-sync",
            "knex migrate:list",
            "knex migrate:make x",
            "atlas migrate lint",
            "hydra migrate status",
        ),
        *(
            "migrate status",
            "migrate --dry-run",
            "seed --skip-migrate",
            "rails db:migrate:status",
            "hasura migrate apply --skip-execution",
        ),
        *(
            "kubectl wait job/api-migrate",
            "k8s-wait-for job-wr api-7-migrate",
            "job api-7-migrate",
            "wait-for job api-7-migrate",
        ),
        *(
            "api serve --migrate=never",
            "api --migrate-lock-timeout=5s",
            "worker --queue=migrate",
            "celery worker -Q migrate",
        ),
        *(
            "api serve --auto-migrate=false",
            "api serve --auto-migrate false",
            "api --no-migrate",
            "upload s3://bucket/migrate/",
        ),
        *(
            "api serve --config /etc/migrate/c.yaml",
            "sleep infinity",
            "curl -X POST http://api/migrate",
            "pg_isready -h migrate",
        ),
    ],
)
def test_what_looks_talks_or_waits_does_not(line: str) -> None:
    assert reads(line) == (False, False)


@pytest.mark.parametrize(
    "line",
    [
        *(
            "migrate down -all",
            "migrate drop -f",
            "api migrate down 1",
            "artisan migrate:rollback",
            "artisan migrate:fresh",
        ),
        *(
            "alembic downgrade base",
            "goose down",
            "goose reset",
            "liquibase rollback 1",
            "liquibase drop-all",
            "dbmate drop",
        ),
        *(
            "rails db:migrate:down",
            "rails db:migrate:redo",
            "rake db:migrate VERSION=0",
            "manage.py migrate accounts zero",
        ),
        *(
            "knex migrate:rollback",
            "sequelize db:migrate:undo:all",
            "atlas migrate down",
            "sqlx migrate revert",
            "diesel migration redo",
        ),
        *(
            "hydra migrate sql down",
            "mix ecto.migrate --to 0",
            "doctrine:migrations:migrate first",
            "yii migrate/fresh",
        ),
        *(
            "prisma migrate reset --force",
            "prisma db push --force-reset",
            "npm run migrate:down",
            "make migrate-down",
            "drizzle-kit drop",
        ),
    ],
)
def test_what_takes_a_migration_back_is_known(line: str) -> None:
    assert reads(line) == (False, True)


FAILS_TOO = [
    *("api migrate", "set -e; api migrate; echo done", "api migrate && curl -XPOST localhost:15020/quitquitquit"),
    *("api migrate || exit 1; exit 0", "api migrate || exit", "if ! api migrate; then exit 1; fi; echo done"),
    *("set -o pipefail; api migrate | tee log", "api migrate | tee log; exit ${PIPESTATUS[0]}", "echo y | api migrate"),
    *("api migrate; rc=$?; curl -XPOST localhost:15020/quitquitquit; exit $rc", "api migrate; CODE=$?; curl quit && exit $CODE"),
    *("rc=0; api migrate || rc=1; curl quit; exit $rc", "api migrate; rc=$?; if (( rc != 0 )); then exit $rc; fi; exit 0"),
    "api migrate\nif [ $? -ne 0 ]; then\n  echo bad\n  exit 1\nfi\necho done",
    *("until api migrate; do sleep 1; done", "for i in 1 2 3; do api migrate && exit 0; sleep 5; done; exit 1"),
    *("cloud-sql-proxy & api migrate", "api migrate & pid=$!; wait $pid", "set -e; api migrate & wait $!"),
    *("trap 'curl quit' EXIT; api migrate", "trap 'rc=$?; curl quit; exit $rc' EXIT; api migrate", "trap 'exit 1' ERR; api migrate; echo"),
    *("f() { api migrate; }\nset -eu\nf\necho done", "exec api migrate", "sh -ec 'api migrate; echo done'", "eval 'api migrate'"),
    *("(api migrate) || { echo bad >&2; exit 1; }", "api migrate || { api migrate down 1; exit 1; }", "time api migrate"),
    *("api migrate status | grep -q pending && api migrate", "while ! pg_isready -h db; do sleep 1; done; api migrate"),
    *("[ -n \"$SKIP\" ] || api migrate", "case $X in a) api migrate;; *) exit 3;; esac", "if [[ $A == b && -n $c ]]; then api migrate; fi"),
    *("set -e; out=$(api migrate); echo $out", "bash -c \"set -euo pipefail; api migrate 2>&1 | tee log\"", "api migrate # || true"),
    "set -e\ncat <<EOF\nstarting || true;\nEOF\napi migrate\necho done",
]  # fmt: skip
HIDES = [
    *("api migrate; curl -XPOST localhost:15020/quitquitquit", "api migrate || /bin/true", "api migrate || { echo x; }"),
    *("if api migrate; then echo done; fi", "api migrate & wait", "trap 'exit 0' EXIT; api migrate", "trap 'true; exit' EXIT; api migrate"),
    *("api migrate | tee log", "api migrate; exit 0", "! api migrate; true", "api migrate &", "out=$(api migrate); echo", "echo $(api migrate)"),
    *("for d in a b; do api migrate $d; done", "for i in 1 2 3; do api migrate && break; sleep 5; done"),
    *("set -e; api migrate || true", "set -e; if api migrate; then :; else echo bad; fi", "set +e; api migrate\necho done"),
    *("f() { api migrate; return 0; }; f", "sh -c 'api migrate; true'", "(api migrate; exit 0)", "set -e; api migrate && echo; echo"),
    *("eval 'api migrate; :'", "set -e; (api migrate &)", "{ api migrate; } || :", "api migrate || exit 0", "set -e; api migrate | cat"),
    *("api migrate; [ $? -eq 0 ] && echo ok; exit 0", "timeout 600 sh -c 'api migrate; true'", "su app -c 'api migrate || true'"),
    *("alembic upgrade head; curl quit", "api migrate || echo failed\n", "api migrate; kill %1", "api migrate\nps | wc\n"),
]  # fmt: skip
NOTHING = [
    *("exit 0; api migrate", "false && api migrate; exit 0", "exit 0 # api migrate", "if false; then api migrate; fi", "echo 'api migrate'"),
    *("exec sleep 1; api migrate", "api() { :; }; api migrate", "cat <<EOF\napi migrate\nEOF\n", "true || api migrate", ":"),
]  # fmt: skip


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
    assert of_file(["/run"], "#!/usr/bin/env python3\nimport os") is None


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
