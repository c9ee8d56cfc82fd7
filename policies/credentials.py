"""What looks like a credential, judged by its name and its value. The value never appears in a message."""

from __future__ import annotations

import re

# Names whose value is the credential itself; PASSWORD_FILE, SECRET_NAME or TOKEN_URL say where it is.
_NAME = re.compile(
    r"(^|[_.-])(PASSWORD|PASSWD|PGPASSWORD|PASSPHRASE|SECRET|TOKEN|API_?KEY|ACCESS_?KEY|SECRET_?KEY|PRIVATE_?KEY|CREDENTIALS?)$",
    re.IGNORECASE,
)
# Each begins where nothing before it can, so that a value is read once: a ConfigMap may have a megabyte of anything.
_VALUES = (
    (re.compile(r"(?<=[\w+.-])://[^/?#\s:@]*:(?!\$[({])[^/?#\s@]+@"), "a URI with a password"),
    (re.compile(r"\bpassword\s*=\s*(?!\$[({])[^\s;'\"]+", re.IGNORECASE), "a connection string with a password"),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"), "a private key"),
    (re.compile(r"\b(AKIA|ASIA)[0-9A-Z]{16}\b"), "an AWS access key"),
    (re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_[A-Za-z0-9_]{40,}"), "a GitHub token"),
    (re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}"), "a Slack token"),
    (re.compile(r"(?<![\w-])eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"), "a JSON Web Token"),
)
_SHORT = {"", "true", "false", "none", "null", "0", "1"}


def looks_like(name: str, value: object) -> str | None:
    """What a value seems to be, None for nothing secret.

    Args:
        name: of the variable, key or output.
        value: its text; ``$(OTHER)`` refers to another variable and is none.
    """
    if not isinstance(value, str):
        return None
    for pattern, what in _VALUES:
        if pattern.search(value):
            return what
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    if _NAME.search(snake) and value.lower() not in _SHORT and not re.fullmatch(r"\$[({][\w.-]+[)}]", value):
        return "a credential, by its name"
    return None
