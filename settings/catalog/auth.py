"""Auth: the OpenID Connect provider of the stack, which delegates the login to another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import yaml
from pydantic import Field, SecretStr

from ..base import ModuleName, Settings
from ..credentials import Credential, SecretReference
from ..environment import Variable, credential
from ..module import ModuleSettings
from .kind import Context, File, Kind, Role
from .variables import common, licence, listen, pool, postgres


class DelegatedSettings(Settings):
    """The OpenID Connect server that people log in at."""

    issuer: str = Field(pattern=r"^https?://")
    client_id: str = Field(min_length=1)
    client_secret: Credential


class ClientSettings(Settings):
    """A client of the stack's API. Modules that call others have one of their name without being listed here."""

    id: str | None = Field(None, description="default: the client's name")
    secret: Credential | None = Field(
        None, description="default: the key `secret` of the Secret auth-client-<name>, which you make"
    )
    public: bool = Field(False, description="has no secret, such as an application in a browser")
    description: str | None = None
    scopes: tuple[str, ...] | None = Field(None, description="default: those that the module of its name needs")
    redirect_uris: tuple[str, ...] = ()
    post_logout_redirect_uris: tuple[str, ...] = ()


class AuthSettings(ModuleSettings):
    """Settings of auth."""

    delegated_oidc: DelegatedSettings | None = Field(None, description="the server that people log in at")
    signing_key: Credential | None = Field(None, description="RSA private key, PEM, that signs tokens")
    issuers: tuple[str, ...] = Field((), description="further issuers whose tokens every module accepts")
    clients: dict[ModuleName, ClientSettings] = {}


C = Context[AuthSettings]


class Auth(Kind[AuthSettings]):
    name = "auth"
    settings = AuthSettings
    defaults = {"image": "ghcr.io/formancehq/auth"}
    debug_flag = True
    # formancehq/auth v2.1.0, pkg/client.go: StaticClient.FromEnvironment.
    oldest = "2.1.0"
    before_oldest = "takes its clients' secrets from its file alone, where they would be in plain text"
    enterprise = True

    def variables(self, c: C) -> Iterator[Variable]:
        m = c.module
        yield from common(c)
        yield from postgres(c)
        yield from pool(c)
        yield listen(c)
        yield Variable("CONFIG", "the catalogue", "/config/config.yaml")
        yield Variable("BASE_URL", "the gateway's address, or the module's", c.stack.auth_url)
        if m.issuers:
            yield Variable("AUTH_ISSUERS", c.setting("issuers"), " ".join(m.issuers))
        if m.signing_key is not None:
            yield credential("SIGNING_KEY", "signing", m.signing_key, c.setting("signingKey"))
        if m.delegated_oidc:
            place = c.setting("delegatedOidc")
            yield Variable("DELEGATED_CLIENT_ID", place, m.delegated_oidc.client_id)
            yield Variable("DELEGATED_ISSUER", place, m.delegated_oidc.issuer)
            yield credential("DELEGATED_CLIENT_SECRET", "delegated", m.delegated_oidc.client_secret, place)
        for name, client in _clients(c):
            if client.secret is not None:
                place = c.setting(f"clients.{name}")
                yield credential(_variable(name), f"client-{name}", client.secret, place)
        if c.stack.dev if m.dev is None else m.dev:
            yield Variable("CAOS_OIDC_DEV", "dev", "1")
        yield from licence(c)

    def api(self, c: C) -> Role:
        # The secrets of clients are in variables, which the file names.
        clients = [_written(name, client) for name, client in _clients(c)]
        content = yaml.safe_dump({"clients": clients}, sort_keys=False)
        return replace(super().api(c), files=(File("/config", "config.yaml", content),))


def _clients(c: C) -> list[tuple[str, ClientSettings]]:
    return [(name, c.stack.client(name)) for name in c.stack.client_names]


def _variable(client: str) -> str:
    return f"AUTH_CLIENT_SECRET_{client.upper().replace('-', '_')}"


def _written(name: str, client: ClientSettings) -> dict[str, Any]:
    written: dict[str, Any] = {"id": client.id, "public": client.public}
    if client.description:
        written["description"] = client.description
    written["redirectUris"] = list(client.redirect_uris)
    written["postLogoutRedirectUris"] = list(client.post_logout_redirect_uris)
    written["scopes"] = list(client.scopes or ())
    # A list is all that auth reads, in every version; what else is in the file it ignores (formancehq/auth, pkg/client.go, StaticClient).
    written["secrets"] = [f"${_variable(name)}"] if client.secret is not None else []
    return written


def completed(name: str, client: ClientSettings, scopes: tuple[str, ...]) -> ClientSettings:
    """A client with what it does not say: its id, its secret and the scopes that its module needs."""
    secret: SecretStr | SecretReference | None = client.secret
    if secret is None and not client.public:
        secret = SecretReference(name=f"auth-client-{name}", key="secret")
    return client.model_copy(
        update={
            "id": client.id or name,
            "secret": secret,
            "scopes": scopes if client.scopes is None else client.scopes,
        }
    )


KIND = Auth()
