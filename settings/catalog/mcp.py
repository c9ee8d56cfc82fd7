"""MCP: tools for language models, which it answers by the stack's APIs with the token of its caller."""

from __future__ import annotations

from collections.abc import Iterator

from ..environment import Variable
from ..module import ModuleSettings
from .kind import Context, Kind
from .variables import common

C = Context[ModuleSettings]


class Mcp(Kind[ModuleSettings]):
    # formancehq/operator after v3.9.2: internal/resources/mcps/deployment.go
    name = "mcp"
    defaults = {
        "image": "ghcr.io/formancehq/stack-mcp",
        "database": False,
        "probe": {"readinessPath": "/readyz"},
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}},
    }

    def variables(self, c: C) -> Iterator[Variable]:
        yield Variable("BIND", c.setting("port"), f":{c.module.port}")
        if c.stack.public_url is None:
            yield Variable("STACK_PUBLIC_URL", f"module {c.stack.gateway_module}", c.stack.url)
        yield Variable("OTEL_SERVICE_NAME", "the module's name", c.name)
        yield from common(c)
        auth = c.stack.one_of("auth")
        yield Variable("AUTH_ENABLED", f"module {auth}", "true")
        yield Variable("AUTH_ISSUER", f"module {auth}", c.stack.auth_url)
        # Each tool asks for a scope of its own, and all requests have one path.
        yield Variable("AUTH_CHECK_SCOPES", "the catalogue", "false")

    def problems(self, c: C) -> Iterator[str]:
        if c.stack.gateway_module is None:
            yield "needs a gateway in the stack, by which it reaches the other modules"
        if c.stack.one_of("auth") is None:
            yield "needs an auth in the stack, whose tokens its callers bring"


KIND = Mcp()
