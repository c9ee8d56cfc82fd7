"""What looks like a credential, judged by its name and its value. The value never appears in a message."""

from __future__ import annotations

import re
from functools import lru_cache

_NONE = r"(?!)"
_TYPES = r"string|str|text|boolean|integer|number|object|password"  # what a schema says that a password is
# Of several: DB_PASSWORD_PROD, PASSWORD1.
_WHICH = r"(?:[_.-]?(?:\d{1,2}|PROD|PRODUCTION|STAGING|DEV|TEST|PRIMARY|REPLICA|ADMIN|ROOT|OLD|NEW))?$"
# What a name ends with whose value is the credential itself (PASSWORD_FILE, SECRET_NAME or TOKEN_URL say where it is), and the
# values it may have beside those that are harmless under any name: a SECRET is also what Kubernetes calls an object, and a
# TOKEN what a payment is made in.
_NAMES = tuple(
    (re.compile(f"(?:{ends}){_WHICH}", re.IGNORECASE), re.compile(harmless))
    for ends, harmless in (
        (
            r"PASSWORDS?|PASSWD|PASSPHRASE|(?:^|[_.-])(?:PASS|PWD)|BASIC[_.-]?AUTH(?:[_.-](?:USERS?|CREDENTIALS?))?",
            _TYPES,
        ),
        (
            r"(?:API|ACCESS|SECRET|PRIVATE|MASTER|ENCRYPTION|SIGNING)[_.-]?KEY(?:[_.-]BASE)?|CLIENT[_.-]KEY[_.-]DATA",
            _NONE,
        ),
        (
            r"(?:CLIENT|CONSUMER|SHARED|JWT|OAUTH2?|NEXTAUTH|HMAC|APP|API|ACCESS|SESSION|COOKIE|WEBHOOK|SIGNING)[_.-]?SECRET",
            _NONE,
        ),
        (
            r"(?:^|[_.-])(?:SECRETS?|CREDENTIALS?)",
            r"[a-z]+\d{0,2}(-([a-z]+\d{0,2}|[a-z0-9]{1,8})){0,20}|[\w-]+(/[\w.-]+)+",
        ),
        (r"(?:^|[_.-])TOKENS?", r"\d{1,12}|[A-Za-z-]{1,12}\d{0,2}(,\s?[A-Za-z-]{1,12}\d{0,2})*"),
    )
)
# What refers to a value that is elsewhere: in Kubernetes, shells, templates, formats of several languages.
_REFERENCE = (
    r"\$\([^()\n]{0,200}\)|\$\{(?:(?:env|file|vault|secret):[\w./#-]+|[\w.]+(?::?\?[^{}\n]{0,200}|:?-(?:\$\w+)?|:)?)\}"
    r"|\$\w+|\{\$[^{}\n]{0,200}\}|\$?\{\{[^{}\n]{0,200}\}\}|%\(\w+\)s|%s|%\{\w+\}|<[^<>\n]{0,200}>"
)
_HARMLESS = re.compile(
    rf"(?:(?:{_REFERENCE})[-_./:]?)+"
    r"|(?:~|\.{1,2})?(?:/[a-z0-9_.-]+)+/?|[a-z][a-z0-9+.-]{1,30}://\S*"  # a path or an address
    r"|(?:vault|arn|op|ssm|aws-?ssm|parameterstore|secretsmanager|awssm|gcpsm|gcp-?sm|azurekv|keyvault|akv|sops|doppler|infisical|bao|ref\+\w+|file|env|secretRef|secretref):\S+"
    r"|:\w+|\?|\*+|\.{3,}|[xX]{3,}|PASSWORD|PASS|SECRET|TOKEN|REDACTED"  # a parameter of SQL, a place for one
)
_WORDS = frozenset(
    [
        "true",
        "false",
        "yes",
        "no",
        "on",
        "off",
        "none",
        "null",
        "nil",
        "required",
        "optional",
        "enabled",
        "disabled",
        "0",
        "1",
    ]
) | {""}
# Each begins where nothing before it can or is bounded, so that a value is read once: a ConfigMap may have a megabyte of anything.
# Where a pattern has a group, that is the credential, and may be a reference.
_VALUES = (
    (re.compile(r"(?<=[\w+.-])://[^/?#\s:@]*:([^/?#\s@]+)@"), "a URI with a password"),
    (re.compile(r"(?<=[\w+.-])://[^/?#\s:@]*:(?!\d+[/,])([^\s@\"'<>]{1,200})@"), "a URI with a password"),
    (re.compile(r"(?:^|[\s\"'=])[^\s:@/\"'=]{1,64}:([^\s@\"']{1,200})@(?:tcp|unix)\("), "a data source with a password"),
    (re.compile(r"\bidentified\s{1,9}by\s{1,9}'([^'\n]*)'|\bpassword\s{1,9}'([^'\n]*)'", re.IGNORECASE), "a role's password"),
    (re.compile(r"\bauthorization[\"']?\s{0,9}[:=]\s{0,9}[\"']?(?:bearer|basic|token)\s{1,9}([^\s\"',;]+)", re.IGNORECASE), "an Authorization header"),
    (re.compile(r"\"auth\"\s{0,9}:\s{0,9}\"(?=[A-Za-z+/]*\d)[A-Za-z0-9+/]{11,}={0,2}\""), "a registry's password"),
    (re.compile(r"\bcurl\b(?:(?!curl)[^|;&\n]){0,200}?\s(?:-u|--user)[\s=][\"']?[^\s:\"']{1,64}:([^\s\"']+)"), "a password for curl"),
    (re.compile(r"\bmysql\w{0,9}\s(?:(?:(?!mysql)[^|;&\n]){0,200}?\s)?-p[\"']?([^\s\"']+)"), "a password for mysql"),
    (re.compile(r"\bredis-cli\s(?:(?:(?!redis-cli)[^|;&\n]){0,200}?\s)?-a\s{1,9}([^\s\"']+)"), "a password for redis-cli"),
    (re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----"), "a private key"),
    (re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"), "an AWS access key"),
    (re.compile(r"\bAIza[\w-]{35}"), "a Google API key"),
    (re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_[A-Za-z0-9_]{40,}"), "a GitHub token"),
    (re.compile(r"\bglpat-[\w-]{20}"), "a GitLab token"),
    (re.compile(r"\b(?:AccountKey|SharedAccessKey|SharedSecretValue)\s?=\s?([^;\s\"']{8,})", re.IGNORECASE), "an Azure access key"),
    (re.compile(r"[?&;](?:sig|signature|X-Amz-Signature|X-Goog-Signature)=([A-Za-z0-9%+/_-]{16,})", re.IGNORECASE), "a signed URL"),
    (re.compile(r"[?&](?:access_|auth_|api_)?(?:token|api_?key|key|secret|password)=([^&\s\"'{}$<>]{8,})", re.IGNORECASE), "a credential in a URL"),
    (re.compile(r"\bsk-(?:proj-|svcacct-|admin-|ant-[a-z0-9]{2,8}-|or-v1-)?[A-Za-z0-9_-]{20}"), "an API key"),
    (re.compile(r"\b(?:npm_[A-Za-z0-9]{30}|pypi-[A-Za-z0-9_-]{30}|dckr_pat_[\w-]{20}|rubygems_[0-9a-f]{40}|hf_[A-Za-z]{30}|glrt-[\w-]{20}|gl(?:dt|ft|cbt|ptt)-[\w-]{20})"), "a registry's token"),
    (re.compile(r"\b(?:hv[sbr]\.[A-Za-z0-9_-]{20}|dop_v1_[0-9a-f]{40}|shp(?:at|ss|ca|pa)_[0-9a-fA-F]{30}|SG\.[\w-]{20}\.[\w-]{20}|pul-[0-9a-f]{40}|ATATT3[\w-]{30}|sntrys_[\w-]{30}|lin_api_\w{30}|ya29\.[\w-]{30}|tskey-[a-z]{3,8}-\w{10})"), "a service's token"),
    (re.compile(r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{10}"), "a Stripe key"),
    (re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10}|hooks\.slack\.com/services/\w{1,40}/\w{1,40}/\w"), "a Slack token"),
    (re.compile(r"(?<![\w-])eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"), "a JSON Web Token"),
)  # fmt: skip
# What has to be in a text, in lower case, for a pattern to be looked for: most texts have none of it.
_NEEDS = {
    "a URI with a password": ("://",),
    "a data source with a password": ("@tcp(", "@unix("),
    "a role's password": ("identified", "password"),
    "an Authorization header": ("authorization",),
    "a registry's password": ('"auth"',),
    "a password for curl": ("curl",),
    "a password for mysql": ("mysql",),
    "a password for redis-cli": ("redis-cli",),
    "a private key": ("private key",),
    "an AWS access key": ("akia", "asia"),
    "a Google API key": ("aiza",),
    "a GitHub token": ("gh", "github_pat_"),
    "a GitLab token": ("glpat-",),
    "an Azure access key": ("accountkey", "sharedaccesskey", "sharedsecretvalue"),
    "a signed URL": ("sig=", "signature="),
    "a credential in a URL": ("token=", "key=", "secret=", "password="),
    "an API key": ("sk-",),
    "a registry's token": ("npm_", "pypi-", "dckr_pat_", "rubygems_", "hf_", "gl"),
    "a service's token": ("hv", "dop_v1_", "shp", "sg.", "pul-", "atatt3", "sntrys_", "lin_api_", "ya29.", "tskey-"),
    "a Stripe key": ("k_live_", "k_test_"),
    "a Slack token": ("xox", "hooks.slack.com"),
    "a JSON Web Token": ("eyj",),
}
_FILE = re.compile(r"(?:^|/)(?:\.?pgpass|\.?netrc|\.htpasswd|userlist\.txt)$")
# NAME=value, name: value, "name": "value" and --name value, in shells, YAML, JSON, TOML and what else a text may be.
_ASSIGNMENT = re.compile(
    r"(?<![\w.$:/-])(?:--?([A-Za-z][\w.-]{1,80})[ \t]{1,9}(?!-)|(?:--)?([A-Za-z_][\w.-]{0,80})(?![ \t]{1,9}:')[\"']?[ \t]{0,9}[:=][ \t]{0,9})"
)
_VALUE = re.compile(rf"\"([^\"\n]*)\"|'([^'\n]*)'|((?:{_REFERENCE}|[^\s\"'`,;&|()\[\]{{}}<>])+)")


def looks_like(name: str, value: object) -> str | None:
    """What a value seems to be, None for nothing secret.

    Args:
        name: of the variable, key or output.
        value: its text, or a number; one that refers to another variable is none.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = str(value)
    return _known(name, text) if len(text) < 200 else _judge(name, text)


def is_named_for_one(name: str) -> bool:
    """Whether the name alone says that its value is a credential, whatever it is."""
    found = _may_be(name)
    return found is not None and found.pattern in (_NONE, _TYPES)


def may_be_named_for_one(name: str) -> bool:
    """Whether the name is one that credentials have, though other things have it too (``ALLOWED_TOKENS``)."""
    return _may_be(name) is not None


def _judge(name: str, text: str) -> str | None:
    if text.lower() in _WORDS:
        return None
    if name.lower().endswith("authorization"):
        text = f"Authorization: {text}"
    lowered = text.lower()
    for pattern, what in _VALUES:
        for found in pattern.finditer(text) if any(need in lowered for need in _NEEDS[what]) else ():
            if not _harmless(next((g for g in found.groups() if g is not None), None)):
                return what
    harmless = _may_be(name)
    if (harmless and not _harmless(text, harmless)) or _FILE.search(name):
        return "a credential"
    assigned = _assigned(text)
    return f"a credential named {assigned}" if assigned else None


_known = lru_cache(maxsize=4096)(_judge)  # a program's modules have the same variables


@lru_cache(maxsize=4096)
def _may_be(name: str) -> re.Pattern[str] | None:
    """What values are harmless under a name of a credential, None for any other name."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return next((harmless for ends, harmless in _NAMES if ends.search(snake)), None)


def _assigned(text: str) -> str | None:
    """The name that a text gives a credential to."""
    for found in _ASSIGNMENT.finditer(text):
        name = found[1] or found[2]
        harmless = _may_be(name)
        value = _VALUE.match(text, found.end()) if harmless else None
        if value and not _harmless(next(g for g in value.groups() if g is not None), harmless):
            return name
    return None


def _harmless(value: str | None, also: re.Pattern[str] | None = None) -> bool:
    if value is None:
        return False
    return bool(value.lower() in _WORDS or _HARMLESS.fullmatch(value) or (also and also.fullmatch(value)))
