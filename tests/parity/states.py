"""A checkpoint looked at without any code of the engine: its secrets, its objects, and whether the CLI would take it.

Sources: `apitype.DeploymentV3` and `ResourceV3` (fields), `deploy.Snapshot.VerifyIntegrity` (rules), `pkg/secrets/passphrase` and
`sdk/go/common/resource/config/crypt.go` (encryption) of the Pulumi CLI 3.260.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.parity.recordings import PASSPHRASE, Json, Row

_SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
_SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"
_MAGIC: Final = "7dff0d166258e7f1d265e8e044021ea087795d58a0c6415ab6fe8b7c790e447f"
_TEXT: Final = (
    "urn", "id", "type", "parent", "provider", "importID", "deletedWith", "created", "modified", "sourcePosition",
)  # fmt: skip
_YES_NO: Final = (
    "custom", "delete", "protect", "external", "pendingReplacement", "retainOnDelete", "refreshBeforeUpdate",
)  # fmt: skip
_LISTS: Final = (
    "dependencies", "initErrors", "additionalSecretOutputs", "aliases", "ignoreChanges", "replaceOnChanges", "replaceWith",
    "stackTrace",
)  # fmt: skip
_MAPS: Final = ("inputs", "outputs", "propertyDependencies", "customTimeouts", "resourceHooks")
_FIELDS: Final[dict[str, type]] = {
    **dict.fromkeys(_TEXT, str),
    **dict.fromkeys(_YES_NO, bool),
    **dict.fromkeys(_LISTS, list),
    **dict.fromkeys(_MAPS, dict),
    "replacementTrigger": object,
}
_LATEST: Final = {"manifest", "secrets_providers", "resources", "pending_operations", "metadata"}


def breaches(checkpoint: Row, passphrase: str = PASSPHRASE) -> Iterator[str]:
    """What would make the CLI refuse a checkpoint, or lose something of it."""
    latest: Row = checkpoint["checkpoint"]["latest"]
    if checkpoint["version"] != (4 if checkpoint.get("features") else 3):
        yield f"version {checkpoint['version']} with features {checkpoint.get('features')}"
    if latest["manifest"]["magic"] != _MAGIC:
        yield "the manifest's magic"
    if unknown := set(latest) - _LATEST:
        yield f"unknown fields of the deployment: {sorted(unknown)}"
    resources = latest.get("resources") or []
    for r in [*resources, *(p["resource"] for p in latest.get("pending_operations") or [])]:
        for name, value in r.items():
            if name not in _FIELDS or not isinstance(value, _FIELDS[name]):
                yield f"{r.get('urn')}: {name} is {type(value).__name__}"
        yield from (f"{r['urn']}: {why}" for why in _closed(r, latest, passphrase))
    yield from _torn(resources)


def _torn(resources: list[Row]) -> Iterator[str]:
    """Every reference is to something above; a URN is there once, but for what waits for its deletion."""
    above: set[str] = set()
    live: set[str] = set()
    providers: set[str] = set()
    for r in resources:
        urn = r["urn"]
        named = {*r.get("dependencies", ()), r.get("parent", ""), r.get("deletedWith", "")}
        for urns in r.get("propertyDependencies", {}).values():
            named |= set(urns or ())
        for missing in sorted(named - above - {""}):
            yield f"{urn} refers to {missing}, which is not above it"
        if r.get("provider") and r["provider"] not in providers:
            yield f"{urn} has an unknown provider {r['provider']}"
        if urn in live and not r.get("delete"):
            yield f"{urn} is there twice"
        above.add(urn)
        live |= set() if r.get("delete") else {urn}
        if r["type"].startswith("pulumi:providers:"):
            providers.add(f"{urn}::{r['id']}")


def _closed(r: Row, latest: Row, passphrase: str) -> Iterator[str]:
    try:
        opened({k: r.get(k) for k in ("inputs", "outputs")}, latest, passphrase)
    except Exception as error:
        yield f"a secret does not open: {type(error).__name__}"


def opened(value: Json, latest: Row, passphrase: str = PASSPHRASE) -> Json:
    """A value of a state with its secrets decrypted."""
    if isinstance(value, list):
        return [opened(v, latest, passphrase) for v in value]
    if not isinstance(value, dict):
        return value
    if value.get(_SIGNATURE) == _SECRET:
        salt = latest["secrets_providers"]["state"]["salt"].split(":")[1]
        _, nonce, sealed = value["ciphertext"].split(":")
        aes = AESGCM(_key(passphrase, salt))
        return json.loads(aes.decrypt(base64.b64decode(nonce), base64.b64decode(sealed), None))
    return {k: opened(v, latest, passphrase) for k, v in value.items()}


@cache
def _key(passphrase: str, salt: str) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", passphrase.encode(), base64.b64decode(salt), 1_000_000, 32)


def objects(row: Row) -> Iterator[tuple[str, dict[str, Any]]]:
    """The Kubernetes objects of a recorded step's state as the CLI made them, each with its field manager."""
    latest = row["checkpoint"]["checkpoint"]["latest"]
    managers = {o["name"]: o["managers"] for o in row["objects"]}
    for r in latest.get("resources") or []:
        if r["type"].startswith("kubernetes:"):
            o = opened(r["inputs"], latest)
            (manager,) = (m for m in managers[o["metadata"]["name"]] if m.startswith("pulumi-kubernetes"))
            yield manager, o
