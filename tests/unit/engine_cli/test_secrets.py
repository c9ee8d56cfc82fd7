"""The passphrase provider against ciphertexts that Pulumi CLI v3.260.0 wrote (passphrase "recorded")."""

from __future__ import annotations

import json

import pytest

from offline.backend.secrets import Passphrase
from offline.engine.errors import EngineError, WrongPassphrase
from offline.engine.values import Secret, from_state, to_state

STATE = "v1:x4VkdLCPNsM=:v1:O40KZx8ue5I6PtD/:Yiayy17YEQRv6q02YAtAg5cZKUDfgg=="
HIDDEN = "v1:TcZswQzx1+2cbak4:Jjs+BW/1DCOII5zsHFL97W54BC8XjaZ7zG4="
DATA = "v1:RCcvP+qgzY9PdxTs:Al32Lw122y29X5pOP5d3NH7klSwiAsxoFc7hn0dm7BIDxS7MpMxJqXxDuQ=="


@pytest.fixture(scope="module")
def recorded() -> Passphrase:
    return Passphrase(STATE, "recorded")


def test_reads_what_the_cli_encrypted(recorded: Passphrase) -> None:
    assert json.loads(recorded.decrypt(HIDDEN)) == "canary-2"
    assert json.loads(recorded.decrypt(DATA)) == {"password": "Y2FuYXJ5LTE="}


def test_wrong_passphrase_is_recognised_before_anything_is_read() -> None:
    with pytest.raises(WrongPassphrase, match=r"^incorrect passphrase$"):
        Passphrase(STATE, "guessed").verify()


def test_unchanged_secrets_keep_their_ciphertext(recorded: Passphrase) -> None:
    recorded.at("urn:a")
    stored = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": HIDDEN}
    live = from_state({"x": stored}, recorded.decrypt)
    assert live == {"x": Secret("canary-2")}
    recorded.at("urn:a")
    assert to_state(live, recorded.encrypt) == {"x": stored}


def test_equal_secrets_of_two_resources_do_not_show_that_they_are_equal(recorded: Passphrase) -> None:
    recorded.at("urn:b")
    first = recorded.encrypt('"same"')
    second = recorded.encrypt('"same"')
    recorded.at("urn:c")
    assert len({first, second, recorded.encrypt('"same"')}) == 3


def test_a_new_provider_opens_with_its_own_state_and_passphrase() -> None:
    made = Passphrase.new("")
    sealed = made.encrypt("täxt")
    assert Passphrase(made.state, "").decrypt(sealed) == "täxt"


def test_malformed_state_is_refused() -> None:
    with pytest.raises(EngineError, match="encryptionsalt"):
        Passphrase("v2:abc", "x")
