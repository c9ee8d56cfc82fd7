"""The files that a script runs: those that the program itself mounts, by whatever path, and those that the script writes."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Sequence

from .shell_expansion import Lookup, Value, is_known, text_of
from .shell_state import State
from .shell_syntax import Redirect

NAMES = (".sh", ".bash", ".ksh", ".zsh")
# <(cat FILE), and behind the dollar of a substitution (cat FILE) and (<FILE).
_PRINTS = re.compile(r"<?\((?:cat[ \t]+|<[ \t]*)[\"']?([^\s;|&()\"']+)[\"']?[ \t]*\)")


def plain(path: str) -> str:
    """A path in its shortest form; a mounted folder's files are also in its ``..data``.

    https://github.com/kubernetes/kubernetes/blob/master/pkg/volume/util/atomic_writer.go
    """
    path = re.sub(r"^/+proc/+(?:self|\d+)/+root(?=/)", "", path).replace("/..data/", "/")
    return "/" + posixpath.normpath(path).lstrip("/")


class Files:
    """Files by their paths."""

    def __init__(self, texts: Iterable[tuple[str, str]]) -> None:
        self._texts = {plain(path): text for path, text in texts}
        self._mounted = frozenset(self._texts)

    def path(self, text: str, state: State) -> str:
        """Where a file is, empty where that is not known."""
        if not is_known(text) or not (text.startswith("/") or state.folder):
            return ""
        return plain(posixpath.join(state.folder, text))

    def text(self, name: str, state: State) -> str | None:
        """What is in a file, None where that is not known; one of which the folder is not known is found by its name."""
        if not self._texts:
            return None
        substituted = _PRINTS.fullmatch(name)
        if substituted:
            name = substituted[1]
        path = self.path(name, state)
        if path in self._texts:
            return self._texts[path]
        if path and "/" in name:
            return None
        last = name.rpartition("/")[2]
        found = next((text for at, text in self._texts.items() if at.rpartition("/")[2] == last), None)
        # Without a folder it is looked for in those of PATH, where most programs are that have a name.
        return found if found and ("/" in name or found.startswith("#!") or name.endswith(NAMES)) else None

    def known(self, state: State) -> Lookup:
        """What is known of variables, and of the substitution of a file's text."""

        def found(name: str) -> Value | None:
            value = state.of(name)
            if value is None and self._texts and _PRINTS.fullmatch(name):
                text = self.text(name, state)
                return None if text is None else text.rstrip("\n")
            return value

        return found

    def write(self, name: str, words: Sequence[str], state: State, redirects: Sequence[Redirect]) -> None:
        """What a command of the script itself writes, to be run by another."""
        if name in ("cp", "mv", "ln", "install"):
            *sources, to = [word for word in words[1:] if not word.startswith("-")] or [""]
            at = self.path(to, state)
            for source in sources if at else ():
                text = self.text(source, state)
                if text is not None:
                    self._texts[at] = self._texts[f"{at}/{source.rpartition('/')[2]}"] = text
        elif name in ("cat", "echo", "printf"):
            for redirect in redirects:
                at = self.path(text_of(redirect.target, state.of), state) if redirect.operator in (">", ">|") else ""
                if at and at not in self._mounted:
                    self._texts[at] = self._written(name, words, state, redirects)

    def _written(self, name: str, words: Sequence[str], state: State, redirects: Sequence[Redirect]) -> str:
        if name != "cat":
            return " ".join(word for word in words[1:] if not word.startswith("-")).replace("\\n", "\n")
        documents = [redirect.document for redirect in redirects if redirect.operator in ("<<", "<<-")]
        return "\n".join(documents or [self.text(word, state) or "" for word in words[1:]])
