"""What a gateway has beyond other modules: where the world reaches it, and how it treats requests on their way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from .base import Label, Settings

# https://kubernetes.io/docs/concepts/services-networking/ingress/#hostname-wildcards
Host = Annotated[
    str, StringConstraints(pattern=r"^(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$")
]
# It stands in quotes and in backquotes of the Caddyfile, and in JSON.
Told = Annotated[str, StringConstraints(pattern=r"^[\w .:/@+,()-]*$")]
Network = Annotated[str, StringConstraints(pattern=r"^(private_ranges|[0-9a-fA-F.:]+(/\d{1,3})?)$")]


class IngressSettings(Settings):
    """The Ingress that leads from outside the cluster to the gateway."""

    create: bool = Field(
        True,
        description="false: no Ingress, as something else routes the hosts to the gateway; they remain the public name",
    )
    hosts: tuple[Host, ...] = Field(min_length=1, description="the first one is the stack's public name")
    scheme: Literal["https", "http"] = Field("https", description="of the public address, as clients see it")
    class_name: str | None = Field(None, description="IngressClass; default: the cluster's")
    annotations: dict[str, str] = {}
    tls_secret: Label | None = Field(None, description="Secret with the certificate; default: TLS ends elsewhere")


class GatewaySettings(Settings):
    """How the gateway passes requests on."""

    ingress: IngressSettings | None = None
    plugins: tuple[Literal["versions"], ...] = Field(
        ("versions",), description="Caddy plugins of the image; Formance's has versions, plain Caddy has none"
    )
    region: Told = Field("", description="told at /versions")
    environment: Told = Field("", description="told at /versions")
    cors: bool = Field(True, description="let browsers call the APIs from any site")
    trusted_proxies: tuple[Network, ...] = Field(
        (), description="networks whose X-Forwarded-For is believed, such as 10.0.0.0/8"
    )
    trusted_proxies_strict: bool = Field(False, description="read X-Forwarded-For from right to left")
    idle_timeout_seconds: int = Field(300, ge=1, le=86_400, description="an idle client connection is closed then")
    retry_seconds: int = Field(
        5, ge=0, le=60, description="how long a module that cannot be connected to is tried again; 0: not at all"
    )
    shutdown_seconds: int = Field(
        5, ge=0, le=600, description="how long a gateway told to stop goes on, asking its clients to connect anew"
    )
    grace_seconds: int | None = Field(
        None,
        ge=1,
        le=3600,
        description="how long requests then have to end; default: what is left of terminationGracePeriodSeconds, less 2",
    )


@dataclass(frozen=True)
class Part:
    """A part of a module's interface that another Service answers.

    Args:
        service: its name.
        paths: that begin what it answers, such as ``/connectors``.
        methods: of the requests; empty for all.
    """

    service: str
    paths: tuple[str, ...]
    methods: tuple[str, ...] = ()


@dataclass(frozen=True)
class Route:
    """A module with an HTTP interface, which the gateway offers at ``/api/<module>/``.

    Args:
        module: its name, which is also its Service's.
        health: path of its health check.
        parts: of its interface that are elsewhere.
    """

    module: str
    health: str
    parts: tuple[Part, ...] = ()
