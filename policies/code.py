"""Programs that stand in a command in the language of an interpreter: ``python -c``, ``node -e``, ``perl -e``, ``pwsh -c``.

They are not followed. What they say is read for its words, and for the ways in which they pass over a failure: of a program that they
run, which none of these languages takes for its own, or of a call, by catching it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_LONGEST = 16_384
_FLAGS = {
    "python": r"-[a-zA-Z]*c",
    "node": r"-p?e|-pe|--eval|--print|-p",
    "perl": r"-[a-zA-Z]*[eE]",
    "ruby": r"-[a-zA-Z]*e",
    "php": r"-[a-z]*r|--run",
    "pwsh": r"-(?:c|command|e|ec|enc|encodedcommand)",
    "lua": r"-e",
    "shell": r"-c|--command|/c",
    "r": r"-e",
}
_NAMES = {
    "python": "python",
    "pypy": "python",
    "node": "node",
    "nodejs": "node",
    "bun": "node",
    "tsx": "node",
    "ts-node": "node",
    "perl": "perl",
    "ruby": "ruby",
    "php": "php",
    "pwsh": "pwsh",
    "powershell": "pwsh",
    "lua": "lua",
    "cmd": "shell",
    "csh": "shell",
    "elvish": "shell",
    "fish": "shell",
    "nu": "shell",
    "tcsh": "shell",
    "xonsh": "shell",
    "rscript": "r",
}
# How each runs another program without failing as it does.
_RUNS = {
    "python": r"\b(?:system|popen|spawn\w*|Popen|getoutput|getstatusoutput|create_subprocess\w*|subprocess\.(?:run|call))\b|\bfrom subprocess\b",
    "node": r"\b(?:exec|execFile|spawn|spawnSync|fork)\s*\(|\$`",
    "perl": r"\b(?:system|qx|open|fork)\b|`",
    "ruby": r"\b(?:system|spawn|popen\w*|fork|capture\w*)\b|%x|`",
    "php": r"\b(?:system|exec|passthru|shell_exec|popen|proc_open)\s*\(|`",
    "lua": r"\bos\.execute\b|\bpopen\b",
    "r": r"\bsystem2?\b",
}
# How a failure is caught, or another end is given to the program.
_CATCHES = re.compile(
    r"\bexcept\b|\bsuppress\s*\(|\bcatch\b|\brescue\b|\bensure\b|\beval\s*\{|\bpcall\b|\btryCatch\b|\bexit\s*\(?\s*0\b|\b_exit\b"
    r"|\bexit\s*\(\s*\)|\batexit\b|\bat_exit\b|\bon\(\s*['\"]exit|\bfinally\b[^}]*\breturn\b|\bunhandledRejection\b"
)
# And how it is made the program's own all the same.
_TELLS = re.compile(
    r"\bcheck\s*=\s*True\b|\bcheck_(?:call|output)\b|\bexit\s*\(\s*subprocess\b|\bexception:\s*true\b|\bdie\b|\babort\b|\braise\b|\bthrow\b"
    r"|\bexit\s*\(?\s*[1-9]|\bexitCode\b|\bexit\s*\(?\s*\$|\bstop\s*\("
)
_PASSES_OVER = "runs it in a program of another language, which may pass over that it has failed"
_WORDS = re.compile(r"[\w:=@/.-]+")
_SEPARATES = re.compile(r"[;\n]|\|\||&&|\||&")


class Code(NamedTuple):
    """What is read of a program.

    Args:
        words: all that are in it.
        hides: how it may end well although what it does has failed; empty where it does not.
    """

    words: list[str]
    hides: str


def code_of(name: str, words: Sequence[str]) -> tuple[str, str] | None:
    """The language and the text of a program that stands in a command, None where none does."""
    language = _NAMES.get(re.sub(r"[\d.]+$", "", name))
    if name == "deno" and len(words) > 2 and words[1] == "eval":
        return "node", words[-1]
    if language is None:
        return None
    for n, word in enumerate(words[1:-1], 1):
        if re.fullmatch(_FLAGS[language], word.lower() if language in ("pwsh", "shell") else word):
            code = " ".join(words[n + 1 :]) if language == "pwsh" or name == "cmd" else words[n + 1]
            encoded = language == "pwsh" and word.lower().startswith("-e")
            return "encoded" if encoded else language, code
        if not word.startswith("-"):
            return None  # a file
    return None


def read_code(language: str, code: str) -> Code:
    """What a program of a language says."""
    words = _WORDS.findall(code[:_LONGEST])
    if language == "encoded" or len(code) > _LONGEST:
        return Code(words, "runs what is not to be read")
    if language == "shell":
        *_, last = code.split("&&")
        return Code(
            words,
            _PASSES_OVER
            if re.search(r"[;\n|&]|\bor\b|\btry\b", code.replace("&&", "")) or "migrat" not in last
            else "",
        )
    if language == "pwsh":
        return Code(words, _of_powershell(code))
    runs = re.search(_RUNS[language], code) is not None
    tells = _TELLS.search(code) is not None or (language == "ruby" and "exit system" in code)
    return Code(words, _PASSES_OVER if (runs or _CATCHES.search(code)) and not tells else "")


def _of_powershell(code: str) -> str:
    """PowerShell goes on after a program that has failed, and ends as the last one did.

    https://learn.microsoft.com/powershell/module/microsoft.powershell.core/about/about_pwsh#-command---c
    """
    if "PSNativeCommandUseErrorActionPreference" in code and not _CATCHES.search(code):
        return ""
    statements = [text.strip() for text in re.split(r"[;\n]", code) if text.strip()]
    if statements and re.fullmatch(r"exit\s+\$LASTEXITCODE", statements[-1], re.IGNORECASE):
        statements.pop()
    at = [n for n, text in enumerate(statements) if re.search("migrat", text, re.IGNORECASE)] or [len(statements) - 1]
    one = statements[at[0]] if statements else ""
    if at == [len(statements) - 1] and not _SEPARATES.search(one.lstrip("&")) and not re.search(r"[{}]", code):
        return ""
    return _PASSES_OVER
