"""What can be wrong with a stack's configuration.

SettingsError
├── InvalidSettings     a value has the wrong form; lists every one of them with its path
├── UnknownModule       a version or an override names a module the stack does not have
├── MissingVersion      nothing says which version of a module to run
└── InvalidVersion      a version that cannot be an image tag, or only half a semantic version
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class SettingsError(ValueError):
    """The configuration of a stack cannot be used; nothing was changed."""


class InvalidSettings(SettingsError):
    """One or more values of the configuration are wrong.

    Args:
        problems: one line each: the path, what was given, what is allowed.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        head = (
            "the stack's configuration is not valid"
            if len(problems) == 1
            else f"{len(problems)} settings are not valid"
        )
        super().__init__("\n".join([f"{head}:", *(f"  {p}" for p in problems)]))


class UnknownModule(SettingsError):
    """A module was named that the stack does not have."""

    def __init__(self, name: str, known: Iterable[str], where: str) -> None:
        names = ", ".join(sorted(known)) or "none"
        super().__init__(f"{where}: unknown module {name!r}; the stack's modules are: {names}")


class MissingVersion(SettingsError):
    """A module has no version: there is no silent `latest`."""

    def __init__(self, module: str, versions_file: str | None) -> None:
        looked = f"nor in {versions_file}" if versions_file else "nor by a versions file (rollout:versions)"
        super().__init__(
            f"module {module!r} has no version: it is set neither at rollout:modules.{module}.version {looked}. "
            f"Set it: pulumi config set --path 'rollout:modules.{module}.version' 1.0.0"
        )


class InvalidVersion(SettingsError):
    """A version that no image tag can have, or one that looks like a semantic version and is not."""
