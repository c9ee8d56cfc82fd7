"""What every settings model is made of. Names are written as in Kubernetes (``activeDeadlineSeconds``), here as in Python."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints
from pydantic.alias_generators import to_camel

from .errors import SettingsError
from .versions import Version


def _version(text: str) -> str:
    try:
        Version.parse(text)
    except SettingsError as error:
        raise ValueError(str(error)) from None
    return text


VersionText = Annotated[str, AfterValidator(_version)]
# https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-label-names. Room is left for what follows a
# module's name in its objects' names: "<module>-<version>-migrate-<hash>" must stay a DNS label.
ModuleName = Annotated[str, StringConstraints(pattern=r"^[a-z]([a-z0-9-]{0,22}[a-z0-9])?$")]
Label = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
# As it stands in a URI, too.
DatabaseName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$")]
EnvironmentName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Quantity = Annotated[str, StringConstraints(pattern=r"^\d+(\.\d+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$")]


class Settings(BaseModel):
    """Frozen, strict about names: a setting nobody reads is a slip."""

    # Built on first use: a stack uses few of the catalogue's models, and every command would wait for all of them.
    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, defer_build=True
    )
