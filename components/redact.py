"""Keeps secrets out of every text that leaves: logs of Jobs, messages of the engine, reports.

A secret that is known is masked in the spellings that programs give it. One that nobody named is recognised by what stands before
it: a name such as ``password``, a URI's scheme, ``Authorization``. Ordinary words are left alone; a mask that is everywhere is read
by nobody. All of it takes time in proportion to the text's length.
"""

from __future__ import annotations

import html
import json
import re
import shlex
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from .foreign_text import shown, uncoloured

MASK = "[secret]"
# Stands for the mask while a text is worked on; no character (Unicode, noncharacters), so that no secret is found within it.
_HOLE = "\ufdd0"
# Shorter values occur by chance in any text, and a password that short hides nothing.
_SHORTEST = 5
_SHORTEST_LINE = 8  # of a secret that has several: most of its short ones are punctuation
_SHORTEST_BASE64 = 6  # characters that do not depend on what stands beside the secret
# Where a secret may sit in a value that also holds plain settings: Pulumi marks a whole object as secret for one field of it.
_SENSITIVE = re.compile(r"uri|password|passwd|secret|token|key|credential|passphrase", re.IGNORECASE)
# Levels, modes, sizes and durations: they are in every log, and no secrets.
_ORDINARY = re.compile(r"[A-Za-z]+|[\d.]+[A-Za-z%]{0,3}")

# These are matched against the text in lower case, which is several times faster than to ignore the case.
_SPACE = r"[ \t]{0,4}"
_NAMED = re.compile(
    rf"""(?:
        (?P<password>(?<!/etc/)passw(?:or)?d|passphrase|pwd|(?<=[_-])pass)\d{{0,2}}
      | (?P<token>token|(?<=[a-z][_-])secret|clientsecret)
      | (?P<key>(?:api|access|account|private|secret|shared|signing|encryption)[_-]?key)
    )
    (?P<closed>\\*["']|\])?
    (?:(?P<separator>{_SPACE}(?:=>|:=|=|:){_SPACE})|(?P<space>[ \t]{{1,4}}(?=e?['"])))""",
    re.VERBOSE,
)
_FLAG = re.compile(r"--(?:[a-z0-9]{1,20}-){0,3}(?:password|passwd|passphrase|token|secret|api-key)[ \t]{1,2}(?=[^\s-])")
_AUTHORIZATION = re.compile(
    rf"""authorization(?:\\*["'])?{_SPACE}[:=]{_SPACE}(?:\[(?!secret\])|\\*["'])?
    (?:(?P<one>(?:bearer|basic|token|apikey|negotiate|ntlm)[ \t+]{{1,4}})|(?P<many>(?:digest|hawk|signature|aws4-hmac-sha256)[ ]))?""",
    re.VERBOSE,
)
_BEARER = re.compile(r"\b(?:bearer|basic)[ \t]{1,4}(?=[\w+/=.~-]{8})")
_HINTS = ("passw", "passphrase", "pwd", "pass", "token", "secret", "key")

_JWT = re.compile(r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?")
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(?P<value>.*?)(?=-----END|\Z)", re.DOTALL)
_CREDENTIAL = re.compile(r"""[^\s"'\\,;]*""")
_LINE = re.compile(r"[^\n]*")
_WORD = re.compile(r"""[\w+/.~-]+={0,2}(?![^\s"'`,;)\]}\\])""")
# A value without quotes goes on to a space, or to a comma and its like where they end it.
_BARE = re.compile(r"""(?:[^\s'"<>&,;{}\])|\\]|\\(?!["'])|[&,;{}\])|](?!\s|$|["'\\]|[\w.-]{1,40}[=:]|[,;}\])]))+""")
_QUOTED = {
    '"': re.compile(r'(?:[^"\\\n]|\\.)*'),
    "'": re.compile(r"(?:[^'\\\n]|\\.|'')*"),
}
_QUOTE = re.compile(r"(\\*)([\"'])")
_NOTHING = re.compile(r"(?:null|none|nil|true|false|undefined|string|\*+|x+)?", re.IGNORECASE)
_PROSE = re.compile(r"[a-z]+(?=[ \t]+\S)")
_AUTHORITY = re.compile(r"""://(?P<user>[^\s/?#:@"'<>`]*)(?:(?P<colon>:)(?P<port>\d*(?![^\s/?#"'<>`]))?|(?=@))""")
_TOKEN = re.compile(r"""[^\s"'<>`/]*""")
_TO_THE_END = re.compile(r"""[^\s"'<>`]{0,256}""")
_TOKEN_LENGTH = 20
_LONG = 200  # a value of that length is no word of a sentence


class Redactor:
    """Makes a text fit to be shown: secrets become ``[secret]``, characters that do not print become escapes.

    Args:
        values: secrets known by value.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._given: frozenset[str] = frozenset()
        self._values: tuple[str, ...] = ()
        self._words: re.Pattern[str] | None = None
        self.learn(values)

    def learn(self, values: Iterable[str]) -> None:
        """Adds secrets; each is also recognised line by line, quoted, escaped and in base64."""
        self._given = self._given.union(*map(_parts, values))
        # A longer secret may contain a shorter one.
        words = sorted((v for v in self._given if _ORDINARY.fullmatch(v)), key=len, reverse=True)
        spellings = frozenset[str]().union(*map(_spellings, self._given)).difference(words)
        self._values = tuple(sorted(spellings, key=len, reverse=True))
        # One that is a word, or a number, is not looked for within others. What an escape for a newline ends with is no part of it.
        either = "|".join(map(re.escape, words))
        self._words = re.compile(rf"(?:(?<!\w)|(?<=\\[nrt]))(?:{either})(?!\w)") if words else None

    def __call__(self, text: str) -> str:
        text = uncoloured(text)
        for value in self._values:
            if value in text:
                text = text.replace(value, _HOLE)
        if self._words:
            text = self._words.sub(_HOLE, text)
        # Only now, as a known secret may have such characters; and before the forms, to which some are spaces.
        text = shown(text).replace(ascii(_HOLE)[1:-1], _HOLE)
        for places in _PLACES:
            # The one letter that is two in lower case is written as its base.
            text = _put(text, places(text, text.replace("\u0130", "I").lower()))
        return text.replace(_HOLE, MASK)


def _parts(secret: str) -> set[str]:
    """A secret, and its lines where it has several."""
    lines = [line.strip() for line in secret.splitlines()]
    parts = {secret, secret.strip(), unquote(secret)}
    if len(lines) > 1:
        parts |= {line for line in lines if len(line) >= _SHORTEST_LINE and not line.startswith("-----")}
    return {part for part in parts if len(part) >= _SHORTEST}


def _spellings(part: str) -> set[str]:
    """How programs write a secret."""
    escaped = json.dumps(part)[1:-1]
    found = {
        part,
        escaped,
        json.dumps(escaped)[1:-1],
        json.dumps(part, ensure_ascii=False)[1:-1],
        # Go's encoding/json
        escaped.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"),
        repr(part)[1:-1],
        html.escape(part),
        part.replace("'", "''"),  # SQL
        part.replace("\\", "\\\\").replace("'", "\\'"),  # libpq, keyword/value strings
        shlex.quote(part).removeprefix("'").removesuffix("'"),
        re.sub(r"([\\\"$`])", r"\\\1", part),  # between double quotes of a shell
    }
    encode = partial(quote, errors="surrogatepass")
    for encoded in (encode(part, safe=""), encode(part), encode(part, safe=" ").replace(" ", "+")):
        found |= {encoded, re.sub(r"%[0-9A-F]{2}", lambda m: m[0].lower(), encoded)}
    return found | set(_in_base64(part.encode(errors="surrogatepass")))


def _in_base64(secret: bytes) -> Iterator[str]:
    """What of a secret's base64 is the same whatever stands before and after it; three bytes are four characters."""
    for before in range(3):
        first = -(-before * 8 // 6)
        encoded = b64encode(b"\0" * before + secret).decode()[first : (before + len(secret)) * 8 // 6]
        if len(encoded) >= _SHORTEST_BASE64:
            yield encoded
            yield encoded.replace("+", "-").replace("/", "_")


Places = Iterator[tuple[int, int]]


def _put(text: str, places: Places) -> str:
    """The text with holes at the places, which come in order."""
    parts, end = [], 0
    for start, stop in places:
        parts += [text[end:start], _HOLE]
        end = stop
    return "".join([*parts, text[end:]]) if parts else text


def _is_no_secret(value: str) -> bool:
    """References, masks and words for nothing."""
    return value.startswith(("$(", "${", MASK[:-1], _HOLE)) or _NOTHING.fullmatch(value) is not None


def _in_uris(text: str, _: str) -> Places:
    """Where URIs have passwords, ``scheme://user:password@host``, or a token in place of the user."""
    if "@" not in text:
        return
    end = 0
    for found in _AUTHORITY.finditer(text):
        if found.start() < end or found["port"] is not None or found["user"].startswith("["):
            continue
        start = found.end()
        if not found["colon"]:
            if len(found["user"]) >= _TOKEN_LENGTH:
                yield found.span("user")
            continue
        last = _last_at(text, _TOKEN, start)
        if last < 0:  # a password with a slash that should have been escaped
            last = _last_at(text, _TO_THE_END, start)
        if last > start and not _is_no_secret(text[start:last]):
            yield start, last
            end = last


def _last_at(text: str, token: re.Pattern[str], start: int) -> int:
    found = token.match(text, start)
    return text.rfind("@", start, found.end()) if found else -1


def _in_headers(text: str, lower: str) -> Places:
    """Where ``Authorization`` has its value, quoted or not."""
    if "authorization" not in lower:
        return
    end = 0
    for found in _AUTHORIZATION.finditer(lower):
        start = found.end()
        if start < end:
            continue
        # A Digest has many parts, with quotes of its own.
        header = (_LINE if found["many"] else _CREDENTIAL).match(text, start)
        assert header is not None
        is_value = found["one"] or found["many"] or len(header[0]) >= _LONG or _is_random(header[0], 8)
        if is_value and not _is_no_secret(header[0]):
            end = header.end()
            yield start, end


def _borne(text: str, lower: str) -> Places:
    """Where a token stands after the word for its kind."""
    if "bearer" not in lower and "basic" not in lower:
        return
    for found in _BEARER.finditer(lower):
        word = _WORD.match(text, found.end())
        if word is None:
            continue
        value = word[0]
        has_digit = any(c.isdigit() or c == "=" for c in value)
        if has_digit or (value[1:] != value[1:].lower() and value != value.upper()):
            yield word.span()


def _named(text: str, lower: str) -> Places:
    """Where the values are that stand after names."""
    if any(hint in lower for hint in _HINTS):
        yield from _after(_NAMED, text, lower)


def _flagged(text: str, lower: str) -> Places:
    """Where the values of a command's options are."""
    if "--" in lower:
        yield from _after(_FLAG, text, lower)


def _tokens(text: str, _: str) -> Places:
    """JSON Web Tokens, which are known by their beginning."""
    if "eyJ" in text:
        yield from (found.span() for found in _JWT.finditer(text))


def _private_keys(text: str, _: str) -> Places:
    """What stands between the marks of a private key, in a text that has them."""
    if "PRIVATE KEY-----" in text:
        yield from (found.span("value") for found in _PRIVATE_KEY.finditer(text) if found["value"].strip())


_PLACES: tuple[Callable[[str, str], Places], ...] = (
    _in_uris,
    _in_headers,
    _borne,
    _named,
    _flagged,
    _tokens,
    _private_keys,
)


def _after(names: re.Pattern[str], text: str, lower: str) -> Places:
    found = names.search(lower)
    while found:
        start, end, is_quoted = _value(text, found.end())
        value = text[start:end]
        if value and not _is_no_secret(value) and _is_meant(found, text, value, start, is_quoted):
            yield start, end
        else:
            end = found.end()
        found = names.search(lower, end)


def _is_meant(found: re.Match[str], text: str, value: str, start: int, is_quoted: bool) -> bool:
    """Whether what stands after a name is its value, and not the rest of a sentence."""
    if len(value) >= _LONG:
        return True
    groups = found.groupdict()
    if groups.get("key"):
        return _is_random(value)
    separator = groups.get("separator") or ""
    if groups.get("token"):
        if is_quoted:
            return bool(groups.get("closed")) or "=" in separator
        if ":" in separator:
            return _is_random(value)
        return separator.strip() == separator and not value.isdigit() and not (value.isalpha() and len(value) < 8)
    if is_quoted or "=" in separator:
        return True
    # After a name in quotes a word without them is no value: `volume "db-password" : secret "db-password" not found`.
    return not _PROSE.match(text, start) and not (groups.get("closed") and value.isalpha() and value.islower())


def _is_random(value: str, least: int = 16) -> bool:
    return len(value) >= least and any(c.isdigit() for c in value)


def _value(text: str, start: int) -> tuple[int, int, bool]:
    """Where a value begins and ends, without its quotes, and whether it has any."""
    opening = _QUOTE.match(text, start + text.startswith(("E'", "e'"), start))
    if opening is None:
        bare = _BARE.match(text, start)
        return start, bare.end() if bare else start, False
    begin, mark = opening.end(), opening[0]
    if not opening[1]:
        inner = _QUOTED[opening[2]].match(text, begin)
        assert inner is not None
        return begin, inner.end(), True
    # Within a text that is quoted itself: to the same mark with no more backslashes before it.
    end = text.find(mark, begin)
    while end > begin and text[end - 1] == "\\":
        end = text.find(mark, end + len(mark))
    return begin, len(text) if end < 0 else end, True


def secret_values(config: Mapping[str, str], secret_keys: Iterable[str]) -> set[str]:
    """The secrets in a stack's decrypted configuration.

    Args:
        config: full keys to texts; objects as JSON.
        secret_keys: the keys Pulumi keeps encrypted.
    """
    found: set[str] = set()
    for key in secret_keys:
        text = config.get(key)
        if text is None:
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = text
        if isinstance(value, (dict, list)):
            for name, leaf, in_env in _leaves(value):
                found |= _secrets_of(leaf, is_named=bool(_SENSITIVE.search(name)), in_env=in_env)
        else:
            found |= _secrets_of(text, is_named=True)
    return found


def _secrets_of(text: str, *, is_named: bool, in_env: bool = False) -> set[str]:
    if "://" in text:
        try:
            parts = urlsplit(text)
        except ValueError:
            return {text}
        # The host stays readable: a message that names no server helps nobody.
        return {unquote(parts.password)} if parts.password else set()
    # A variable's name is the module's own and says little, so any but ordinary values count.
    return {text} if is_named or (in_env and not _ORDINARY.fullmatch(text)) else set()


def _leaves(value: Any, name: str = "", *, in_env: bool = False) -> Iterator[tuple[str, str, bool]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, str(key), in_env=in_env or name == "env")
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, name, in_env=in_env)
    elif isinstance(value, str):
        yield name, value, in_env
