"""How an API checks who calls it."""

from __future__ import annotations

from pydantic import Field

from ..base import Settings
from ..module import ModuleSettings


class AuthenticationSettings(Settings):
    """What an API asks of its callers, where the stack has an auth module."""

    check_scopes: bool = Field(False, description="whether a token must carry the scope of what it is used for")
    read_key_set_max_retries: int | None = Field(None, ge=0, description="of reading the issuer's keys")


class ProtectedSettings(ModuleSettings):
    """A module whose API asks who calls it."""

    auth: AuthenticationSettings = AuthenticationSettings()
