"""The passphrase secrets provider, byte-compatible with the CLI's (``pkg/secrets/passphrase``).

Its state is ``v1:<salt>:v1:<nonce>:<ciphertext>``: the salt of the key and the word "pulumi" encrypted with it, by which
a wrong passphrase is recognised. A ciphertext is ``v1:<nonce>:<ciphertext and tag>``. AES-256-GCM, key by PBKDF2.
"""

from __future__ import annotations

import base64
import hashlib
import os
import sys
import threading
from collections import defaultdict
from pathlib import Path
from typing import Final

from offline.engine.errors import EngineError, NotCovered, WrongPassphrase

ITERATIONS: Final = 1_000_000
CHECK_WORD: Final = "pulumi"

_keys: dict[tuple[str, bytes], bytes] = {}


def _key(passphrase: str, salt: bytes) -> bytes:
    at = (passphrase, salt)
    if at not in _keys:
        _keys[at] = hashlib.pbkdf2_hmac("sha256", passphrase.encode(), salt, ITERATIONS, 32)
    return _keys[at]


def passphrase_from_environment() -> str:
    """``PULUMI_CONFIG_PASSPHRASE``, or the file that ``PULUMI_CONFIG_PASSPHRASE_FILE`` names, or asked of a person.

    Raises:
        EngineError: nothing is set and nobody can be asked.
    """
    if "PULUMI_CONFIG_PASSPHRASE" in os.environ:
        return os.environ["PULUMI_CONFIG_PASSPHRASE"]
    if file := os.environ.get("PULUMI_CONFIG_PASSPHRASE_FILE"):
        try:
            return Path(file).read_text(encoding="utf-8").strip()
        except OSError as e:
            raise EngineError(f"unable to read PULUMI_CONFIG_PASSPHRASE_FILE: {e}") from e
    if sys.stdin.isatty() and "PULUMI_AUTOMATION_API" not in os.environ:
        import getpass

        return getpass.getpass("Enter your passphrase to unlock config/secrets: ")
    raise EngineError(
        'constructing secrets manager of type "passphrase": passphrase must be set with PULUMI_CONFIG_PASSPHRASE '
        "or PULUMI_CONFIG_PASSPHRASE_FILE environment variables"
    )


class Passphrase:
    """Encrypts and decrypts with one passphrase and one salt. Deriving the key takes about 0.3 s, once, in the background.

    A ciphertext that was decrypted is written again for the same plaintext in the same place (see :meth:`at`), so that
    saving a state does not change what did not change.
    """

    def __init__(self, state: str, passphrase: str) -> None:
        parts = state.split(":", 2)
        if len(parts) != 3 or parts[0] != "v1":
            raise EngineError("malformed state of the passphrase secrets provider (encryptionsalt)")
        self.state = state
        self._passphrase, self._salt, self._check = passphrase, base64.b64decode(parts[1]), parts[2]
        self._verified = False
        self._known: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._place = ""
        self._used: dict[str, int] = {}
        self._derivation = threading.Thread(target=_key, args=(passphrase, self._salt), daemon=True)
        self._derivation.start()

    @classmethod
    def new(cls, passphrase: str) -> Passphrase:
        salt = os.urandom(8)
        check = _seal(_key(passphrase, salt), CHECK_WORD)
        return cls(f"v1:{base64.b64encode(salt).decode()}:{check}", passphrase)

    def verify(self) -> None:
        """Raises: WrongPassphrase"""
        if self._verified:
            return
        self._derivation.join()
        if _open(_key(self._passphrase, self._salt), self._check) != CHECK_WORD:
            raise WrongPassphrase("incorrect passphrase")
        self._verified = True

    def at(self, place: str) -> None:
        """Says whose secrets come next (a URN): equal plaintexts share a ciphertext only across saves of one place."""
        self._place, self._used = place, {}

    def decrypt(self, ciphertext: str) -> str:
        self.verify()
        plain = _open(_key(self._passphrase, self._salt), ciphertext)
        if plain is None:
            raise WrongPassphrase("incorrect passphrase: a secret was encrypted with another key")
        known = self._known[self._place, plain]
        if ciphertext not in known:
            known.append(ciphertext)
        return plain

    def encrypt(self, plaintext: str) -> str:
        self.verify()
        known = self._known[self._place, plaintext]
        n = self._used.get(plaintext, 0)
        self._used[plaintext] = n + 1
        if n >= len(known):
            known.append(_seal(_key(self._passphrase, self._salt), plaintext))
        return known[n]


def _seal(key: bytes, plaintext: str) -> str:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(12)
    sealed = AESGCM(key).encrypt(nonce, plaintext.encode(), None)
    return f"v1:{base64.b64encode(nonce).decode()}:{base64.b64encode(sealed).decode()}"


def _open(key: bytes, ciphertext: str) -> str | None:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    version, nonce, sealed = ciphertext.split(":", 2)
    if version != "v1":
        raise EngineError(f"unknown version {version!r} of a ciphertext")
    try:
        return AESGCM(key).decrypt(base64.b64decode(nonce), base64.b64decode(sealed), None).decode()
    except InvalidTag:
        return None


def refuse_other(provider: str) -> None:
    """Raises NotCovered for a secrets provider that is not the passphrase one."""
    if provider not in ("", "default", "passphrase"):
        raise NotCovered(f"secrets provider {provider!r}")
