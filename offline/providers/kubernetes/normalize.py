"""Inputs as the API server keeps them, so that what means the same does not look like a change.

The real provider sends every built-in object through its Go type; what that changes is listed here: values that are left
out when empty, amounts in their shortest form, Secret ``stringData`` as ``data``, fields only the server writes.
"""

from __future__ import annotations

import base64
import binascii
from decimal import ROUND_UP, Decimal, InvalidOperation
from functools import cache
from typing import Any, Final

from offline.engine.values import UNKNOWN, contains_unknown

from .kinds import Object

# Fields (of k8s.io/api) that are no pointers and are left out when empty, so that an explicit zero says nothing.
_EMPTY_IS_ABSENT: Final = {
    "readOnly", "hostIPC", "hostNetwork", "hostPID", "paused", "publishNotReadyAddresses", "stdin", "stdinOnce", "tty", "unschedulable", "globalDefault",
    "failureThreshold", "healthCheckNodePort", "hostPort", "initialDelaySeconds", "minReadySeconds", "nodePort", "number", "successThreshold",
    "periodSeconds", "timeoutSeconds", "clusterIP", "concurrencyPolicy", "dnsPolicy", "externalName", "externalTrafficPolicy", "generateName", "host",
    "imagePullPolicy", "loadBalancerIP", "medium", "persistentVolumeReclaimPolicy", "podManagementPolicy", "priorityClassName", "schedulerName", "scheme",
    "serviceAccount", "serviceAccountName", "sessionAffinity", "subPath", "subPathExpr", "subdomain", "terminationMessagePath",
    "terminationMessagePolicy", "workingDir", "hostname", "nodeName", "fsType", "annotations", "binaryData", "data", "default", "defaultRequest", "hard",
    "labels", "limits", "matchLabels", "max", "min", "nodeSelector", "overhead", "parameters", "requests", "stringData", "volumeAttributes",
}  # fmt: skip
_LISTS_KEPT_EMPTY: Final = {"containers", "rules", "paths", "verbs", "versions", "names", "addresses", "endpoints", "items", "nodeSelectorTerms", "sources"}  # fmt: skip
_QUANTITIES: Final = {"limits", "requests", "hard", "capacity", "default", "defaultRequest", "max", "min", "overhead"}
_BINARY = {u: Decimal(1024) ** (i + 1) for i, u in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))}
_DECIMAL = {
    u: Decimal(10) ** e
    for u, e in {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}.items()
}
_READ_ONLY = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "uid",
)


@cache
def quantity(value: Any) -> Any:
    """An amount (``resource.Quantity``) in its canonical form: no fraction, the largest unit that keeps it whole."""
    text = str(value)
    unit = text.lstrip("+-0123456789.")
    units = _BINARY if unit in _BINARY else _DECIMAL
    try:
        amount = (
            Decimal(text)
            if unit[:1] in ("e", "E") and unit[1:]
            else Decimal(text[: len(text) - len(unit)]) * units[unit]
        )
    except (InvalidOperation, KeyError):
        return value
    if units is _BINARY and amount >= 1024:
        candidates = {**_BINARY, "": Decimal(1)}
    else:
        candidates = _DECIMAL
        amount = amount.quantize(Decimal("1e-9"), rounding=ROUND_UP)
    if not amount:
        return "0"
    suffix, size = max(
        ((u, s) for u, s in candidates.items() if amount % s == 0), key=lambda x: x[1], default=("", Decimal(1))
    )
    return f"{int(amount / size)}{suffix}"


def normalize(o: Object) -> Object:
    """A copy of an object's inputs, normalised; with unknown values in them, all but server-set fields are kept."""
    if contains_unknown(o):
        out = dict(o)
    elif o.get("kind") == "Secret":
        out = _secret(o)
    else:
        out = _value(o, "", str(o.get("kind")))
    if isinstance(out.get("metadata"), dict):
        out["metadata"] = {k: v for k, v in out["metadata"].items() if k not in _READ_ONLY}
    return out


def _absent(key: str, value: Any, parent: str, kind: str) -> bool:
    if value is None:
        return True
    if value == [] and isinstance(value, list):
        return key not in _LISTS_KEPT_EMPTY
    if value not in ("", 0, {}) or value is UNKNOWN:
        return False
    if key == "value":
        return parent in ("env", "tolerations")  # HTTP headers keep an empty value
    return key in _EMPTY_IS_ABSENT or (key == "selector" and kind == "Service")


def _value(value: Any, key: str, kind: str) -> Any:
    if isinstance(value, dict):
        if key in _QUANTITIES:
            return {k: quantity(v) for k, v in value.items()}
        if key in ("annotations", "labels", "matchLabels", "data", "binaryData", "nodeSelector") or (
            key == "selector" and kind == "Service"
        ):
            return value
        return {k: _value(v, k, kind) for k, v in value.items() if not _absent(k, v, key, kind)}
    if isinstance(value, list):
        return [_value(v, key, kind) for v in value]
    if key in ("sizeLimit", "divisor"):
        return quantity(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _secret(o: Object) -> Object:
    out = dict(o)
    data, texts = dict(o.get("data") or {}), o.get("stringData") or {}
    if texts:
        out.pop("stringData")
        out["data"] = data | {k: base64.b64encode(str(v).encode()).decode() for k, v in texts.items()}
    elif data:
        for k, v in data.items():
            try:  # the server decodes and encodes again, which drops line ends
                data[k] = base64.b64encode(base64.b64decode(v, validate=False)).decode()
            except (binascii.Error, TypeError, ValueError):
                continue
        out["data"] = data
    return out
