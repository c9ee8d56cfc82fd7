"""A stack's configuration: what is accepted, and that every mistake is named before anything moves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import settings
from settings import InvalidSettings, MissingVersion, SettingsError, StackSettings, UnknownModule

LEDGER = {"image": "ghcr.io/formancehq/ledger", "version": "2.4.12"}
POSTGRES = {"uri": "postgresql://u:canary@h"}


def load(root: Path = Path(), secret: bool = True, **values: Any) -> StackSettings:
    values = {"modules": {"ledger": LEDGER}, "postgres": POSTGRES} | values
    config = {f"rollout:{k}": v if isinstance(v, str) else json.dumps(v) for k, v in values.items() if v is not None}
    return settings.load(
        config | {"kubernetes:x": "y"}, stack="dev", root=root, secret_keys=["rollout:postgres"] if secret else []
    )


def test_a_module_from_configuration_alone() -> None:
    loaded = load()
    assert loaded.version("ledger").image(loaded.modules["ledger"].image) == "ghcr.io/formancehq/ledger:2.4.12"
    assert loaded.database("ledger") == "dev-ledger"
    assert loaded.namespace_name == "dev"


@pytest.mark.parametrize(
    ("values", "path", "what"),
    [
        ({"modules": None}, "rollout:modules", "is missing"),
        ({"modules": {}}, "rollout:modules", "at least 1"),
        ({"verions": "x"}, "rollout:verions", "unknown setting; did you mean versions"),
        ({"modules": {"ledger": LEDGER | {"replics": 1}}}, "rollout:modules.ledger.replics", "did you mean replicas"),
        (
            {"modules": {"ledger": LEDGER | {"replicas": 0}}},
            "rollout:modules.ledger.replicas",
            "greater than or equal to 1 (given: 0)",
        ),
        ({"modules": {"ledger": LEDGER | {"version": "1.1"}}}, "rollout:modules.ledger.version", "three numbers"),
        ({"modules": {"ledger": LEDGER | {"image": "x:1"}}}, "rollout:modules.ledger.image", "must not have a tag"),
        ({"modules": {"shop": {"version": "1.0.0"}}}, "rollout:modules.shop.image", "required"),
        ({"modules": {"Ledger": LEDGER}}, "rollout:modules.Ledger", "pattern"),
        (
            {"modules": {"ledger": LEDGER | {"migration": {"backofLimit": 1}}}},
            "rollout:modules.ledger.migration.backofLimit",
            "did you mean backoffLimit",
        ),
        (
            {"modules": {"ledger": LEDGER | {"drainSeconds": 30}}},
            "rollout:modules.ledger",
            "must be less than terminationGracePeriodSeconds",
        ),
        ({"modules": {"ledger": LEDGER | {"dependsOn": ["auth"]}}}, "ledger.dependsOn", "not a module of this stack"),
        (
            {"modules": {"ledger": LEDGER | {"adopted": "1.1.0", "database": False}}},
            "rollout:modules.ledger",
            "adopted is of a module with a database",
        ),
        ({"modules": {"ledger": LEDGER | {"adopted": "1.1"}}}, "rollout:modules.ledger.adopted", "three numbers"),
        ({"postgres": None}, "modules.ledger", "no server is set"),
        ({"postgres": {"uri": "postgresql://h"}}, "rollout:postgres", "no credentials"),
    ],
)
def test_a_mistake_is_named_with_its_path(values: dict[str, Any], path: str, what: str) -> None:
    with pytest.raises(InvalidSettings) as error:
        load(**values)
    assert path in str(error.value)
    assert what in str(error.value)


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(InvalidSettings) as error:
        load(modules={"ledger": LEDGER | {"replicas": 0, "replics": 1}}, verions="x")
    assert len(error.value.problems) == 3


def test_modules_that_depend_on_each_other_in_a_circle_are_refused() -> None:
    with pytest.raises(InvalidSettings, match="a -> b -> a"):
        load(modules={"a": LEDGER | {"dependsOn": ["b"]}, "b": LEDGER | {"dependsOn": ["a"]}})


def test_modules_come_after_those_they_depend_on() -> None:
    assert load(modules={"a": LEDGER | {"dependsOn": ["b"]}, "b": LEDGER}).in_order() == ["b", "a"]


SERVER = "postgresql://$(POSTGRES_USERNAME):$(POSTGRES_PASSWORD)@db-direct:5432"


@pytest.mark.parametrize(
    ("own", "variable", "what"),
    [
        ({"env": {"POSTGRES_DATABASE": "legacy"}}, "env.POSTGRES_DATABASE", "Set databaseName"),
        ({"env": {"POSTGRES_URI": "$(POSTGRES_NO_DATABASE_URI)/x"}}, "env.POSTGRES_URI", "Set databaseName"),
        ({"rehearsal": {"env": {"POSTGRES_URI": "x"}}}, "rehearsal.env.POSTGRES_URI", "Set databaseName"),
        ({"migration": {"env": {"POSTGRES_NO_DATABASE_URI": SERVER}}}, "migration.env.POSTGRES_NO_DATABASE_URI", "Set"),
        (
            {"migration": {"env": {"DSN": f"{SERVER}/dev-ledger?sslmode=disable"}}},
            "migration.env.DSN",
            "the database dev-ledger",
        ),
        (
            {"migration": {"env": {"DSN": "$(POSTGRES_NO_DATABASE_URI)/dev-ledger"}}},
            "migration.env.DSN",
            "$(POSTGRES_DATABASE)",
        ),
        ({"env": {"AT": SERVER, "JDBC": "jdbc:$(AT)/other"}}, "env.JDBC", "the database other"),
        ({"env": {"DSN": "host=db dbname=other"}}, "env.DSN", "the database other"),
        ({"env": {"PGDATABASE": "dev-ledger"}}, "env.PGDATABASE", "rehearsal.env"),
    ],
)
def test_no_variable_leads_a_module_past_the_database_that_is_migrated(
    own: dict[str, Any], variable: str, what: str
) -> None:
    with pytest.raises(InvalidSettings) as error:
        load(modules={"ledger": LEDGER | own})
    assert f"modules.ledger.{variable} " in str(error.value)
    assert what in str(error.value)


@pytest.mark.parametrize(
    "own",
    [
        {"env": {"DSN": "$(POSTGRES_URI)&application_name=x", "PGDATABASE": "$(POSTGRES_DATABASE)"}},
        {"migration": {"env": {"DSN": f"{SERVER}/$(POSTGRES_DATABASE)?sslmode=require", "POSTGRES_HOST": "db-direct"}}},
        {"env": {"REPORTS": f"{SERVER}/reports"}, "rehearsal": {"env": {"REPORTS": ""}}},
        {"env": {"CACHE": "redis://cache/0", "NO_DATABASE": SERVER}},
        {"database": False, "env": {"POSTGRES_URI": f"{SERVER}/shop"}},
    ],
)
def test_a_variable_that_follows_the_modules_database_is_accepted(own: dict[str, Any]) -> None:
    assert load(modules={"ledger": LEDGER | own}).modules["ledger"].environments["env"] == own.get("env", {})


def test_a_database_that_exists_already_is_named_once_for_all_that_use_it() -> None:
    plan = load(modules={"ledger": LEDGER | {"databaseName": "legacy"}}).plan("ledger")
    for variables in (plan.database, plan.migration, plan.api.env):
        assert {v.value for v in variables if v.name == "POSTGRES_DATABASE"} == {"legacy"}


def test_two_modules_do_not_migrate_one_database() -> None:
    with pytest.raises(InvalidSettings, match="have one database, dev-ledger"):
        load(modules={"ledger": LEDGER, "other": LEDGER | {"databaseName": "dev-ledger"}})
    at = {"postgres": {"uri": "postgresql://elsewhere?secret=s"}}
    load(modules={"ledger": LEDGER, "other": LEDGER | {"databaseName": "dev-ledger"} | at})


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("ledger-rehearsal", "ledger"),
        ("ledger-restoring", "ledger"),
        ("dev-ledger-rehearsal-0123abcd", "ledger"),
        ("dev-ledger-restoring-0123abcd", "ledger"),
        (f"{'x' * 44}-rehearsal-0123abcd", "x" * 44),
        (f"{'x' * 44}-rehearsal-0123abcd", "x" * 60),
        (f"{'x' * 53}-rehearsal", "x" * 60),
        (f"{'x' * 44}-4e60b8f1-rehearsal", "x" * 60),
        (f"{'x' * 53}-restoring", "x" * 63),
    ],
)
def test_no_module_has_the_database_that_another_s_scratch_database_may_be(name: str, of: str) -> None:
    """Upgrades of versions before dropped what they found under these names."""
    modules = {"ledger": LEDGER, "other": LEDGER}
    if name == f"{of}-rehearsal" or name == f"{of}-restoring":  # by the modules' names alone
        modules = {"ledger": LEDGER, name: LEDGER}
    else:
        modules["other"] = LEDGER | {"databaseName": name}
        modules["ledger"] = LEDGER | ({} if of == "ledger" else {"databaseName": of})
    with pytest.raises(InvalidSettings, match="has a name that scratch databases of"):
        load(modules=modules)
    with pytest.raises(InvalidSettings, match="has a name that scratch databases of"):
        load(modules=dict(reversed(modules.items())))
    elsewhere = {"postgres": {"uri": "postgresql://elsewhere?secret=s"}}
    load(modules={n: m | (elsewhere if n == "ledger" else {}) for n, m in modules.items()})


@pytest.mark.parametrize(
    "name",
    ["ledger-rehearsals", "rehearsal", "restoring", "ledger-rehearsal-x", "payments-rehearsal", "ledger-0123abcd"],
)
def test_a_name_that_only_resembles_one_is_accepted(name: str) -> None:
    assert load(modules={"ledger": LEDGER, name: LEDGER}).database(name) == f"dev-{name}"


def test_a_database_name_that_postgresql_would_cut_is_refused() -> None:
    values: dict[str, str] = {
        "rollout:modules": json.dumps({"ledger": LEDGER}),
        "rollout:postgres": json.dumps(POSTGRES),
    }
    values["rollout:namespace"] = json.dumps({"name": "n"})
    settings.load(values, stack="s" * 56, root=Path(), secret_keys=["rollout:postgres"])
    with pytest.raises(InvalidSettings, match="PostgreSQL would cut"):
        settings.load(values, stack="s" * 57, root=Path(), secret_keys=["rollout:postgres"])


def test_one_server_is_one_however_its_name_is_written() -> None:
    at = {"postgres": {"uri": "postgresql://H.?secret=s"}}
    with pytest.raises(InvalidSettings, match="have one database, dev-ledger"):
        load(modules={"ledger": LEDGER, "other": LEDGER | {"databaseName": "dev-ledger"} | at})


def test_a_password_in_plain_text_is_refused_and_not_repeated() -> None:
    with pytest.raises(SettingsError, match="--secret") as error:
        load(secret=False)
    assert "canary" not in str(error.value)


def test_a_wrong_uri_is_told_without_its_password() -> None:
    with pytest.raises(InvalidSettings) as error:
        load(postgres={"uri": "postgresql://u:canary@h/db"})
    assert "canary" not in str(error.value)


class TestVersionsFile:
    def test_gives_versions_to_modules_without_one(self, tmp_path: Path) -> None:
        (tmp_path / "v3.yaml").write_text('ledger: "2.5.0"\nother: "1.0.0"\n')
        loaded = load(tmp_path, versions="v3.yaml", modules={"ledger": {"image": "x/ledger"}})
        assert str(loaded.version("ledger")) == "2.5.0"

    def test_gives_way_to_the_modules_own(self, tmp_path: Path) -> None:
        (tmp_path / "v3.yaml").write_text('ledger: "2.5.0"\n')
        assert str(load(tmp_path, versions="v3.yaml").version("ledger")) == "2.4.12"

    def test_without_the_module_there_is_no_silent_latest(self, tmp_path: Path) -> None:
        (tmp_path / "v3.yaml").write_text('leger: "2.5.0"\n')
        with pytest.raises(MissingVersion, match=r"rollout:modules.ledger.version nor in v3\.yaml"):
            load(tmp_path, versions="v3.yaml", modules={"ledger": {"image": "x/ledger"}})

    @pytest.mark.parametrize(
        ("content", "what"), [(None, "cannot read"), ("a: [", "not YAML"), ("ledger: 1.1\n", "quotes")]
    )
    def test_that_cannot_be_used_is_refused(self, tmp_path: Path, content: str | None, what: str) -> None:
        if content is not None:
            (tmp_path / "v3.yaml").write_text(content)
        with pytest.raises(SettingsError, match=what):
            load(tmp_path, versions="v3.yaml")


def test_an_override_of_an_unknown_module_lists_the_known_ones() -> None:
    with pytest.raises(UnknownModule, match=r"'leger'.*ledger"):
        settings.set_versions({"ledger": LEDGER}, {"leger": "1.0.0"})
