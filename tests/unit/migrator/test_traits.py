"""Of a setting of a database its value is shown only where no secret can be in it."""

from __future__ import annotations

import json

import pytest

from migrator import fingerprint, traits


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("search_path", '"$user", public', 'search_path="$user", public'),
        ("TimeZone", "Europe/Paris", "TimeZone=Europe/Paris"),
        ("work_mem", "64MB", "work_mem=64MB"),
        ("statement_timeout", "0", "statement_timeout=0"),
        ("default_transaction_read_only", "on", "default_transaction_read_only=on"),
        ("role", "ledger", "role=ledger"),
        ("app.key", "correct-horse", "app.key=…"),
        ("app.pin", "1234", "app.pin=…"),
        ("search_path.key", "correct", "search_path.key=…"),
        ("application_name", "correct-horse", "application_name=…"),
        ("work_mem", "correct-horse", "work_mem=…"),
        ("pgcrypto.key", "on", "pgcrypto.key=…"),
    ],
)
def test_a_value_is_shown_where_it_cannot_be_secret(name: str, value: str, shown: str) -> None:
    assert traits.shown(name, value) == shown
    assert str(traits.Setting("", name, value)) == f"setting {shown}"


def test_a_fingerprint_has_a_digest_in_its_place_and_still_tells_one_from_another() -> None:
    def taken(*settings: str) -> fingerprint.Snapshot:
        attributes = fingerprint._attributes({"settings": list(settings)})
        return fingerprint.Snapshot(15, (fingerprint.Object("database", "", "", attributes),))

    before, after = taken("app.key=correct", "work_mem=4MB"), taken("ledger: app.key=horse", "work_mem=8MB")
    assert "correct" not in before.to_json()
    (change,) = fingerprint.difference(before, after)
    assert "+ work_mem=8MB" in change.text
    assert "horse" not in json.dumps(change.as_json())
    # One that was written with the value compares with one that was not.
    old = fingerprint.Snapshot(
        15, (fingerprint.Object("database", "", "", {"settings": ["app.key=correct", "work_mem=4MB"]}),)
    )
    assert fingerprint.difference(fingerprint.Snapshot.from_json(old.to_json()), before) == ()
