"""Stargate: a tunnel through which a control plane elsewhere reaches the stack's gateway."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ..base import Settings
from ..credentials import Credential
from ..environment import Variable, credential
from ..module import ModuleSettings
from .kind import Context, Kind
from .variables import common, licence


class TunnelAuthSettings(Settings):
    """As whom stargate calls its server."""

    client_id: str = Field(min_length=1)
    client_secret: Credential
    issuer: str = Field(pattern=r"^https?://")


class StargateSettings(ModuleSettings):
    """Settings of stargate."""

    server_url: str = Field(min_length=1, description="host:port of the server")
    organization_id: str = Field(min_length=1)
    stack_id: str = Field(min_length=1)
    auth: TunnelAuthSettings
    tls: bool = True


C = Context[StargateSettings]


class Stargate(Kind[StargateSettings]):
    name = "stargate"
    settings = StargateSettings
    defaults = {"image": "ghcr.io/formancehq/stargate", "args": [], "database": False}
    routed = False
    enterprise = True

    def variables(self, c: C) -> Iterator[Variable]:
        m = c.module
        yield from common(c)
        yield Variable("BIND", c.setting("port"), f":{m.port}")
        yield Variable("ORGANIZATION_ID", c.setting("organizationId"), m.organization_id)
        yield Variable("STACK_ID", c.setting("stackId"), m.stack_id)
        yield Variable("STARGATE_SERVER_URL", c.setting("serverUrl"), m.server_url)
        gateway = c.stack.gateway_module
        yield Variable("GATEWAY_URL", f"module {gateway}", c.stack.url)
        yield Variable("STARGATE_AUTH_CLIENT_ID", c.setting("auth"), m.auth.client_id)
        yield credential("STARGATE_AUTH_CLIENT_SECRET", "auth", m.auth.client_secret, c.setting("auth"))
        yield Variable("STARGATE_AUTH_ISSUER_URL", c.setting("auth"), m.auth.issuer)
        if not m.tls:
            yield Variable("TLS_ENABLED", c.setting("tls"), "false")
        yield from licence(c)

    def problems(self, c: C) -> Iterator[str]:
        if c.stack.gateway_module is None:
            yield "needs a gateway in the stack, which it is a tunnel to"


KIND = Stargate()
