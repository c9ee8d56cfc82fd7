"""The gateway's configuration: a Caddyfile, https://caddyserver.com/docs/caddyfile. Pure: values in, text out.

It works in Formance's gateway, which is Caddy with plugins, and in Caddy itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from settings import GatewaySettings, Route

PORT = 8080
METRICS_PORT = 3080
HEALTH = "/_healthcheck"
# Kept of a request's body so that it can be sent again; larger ones are passed on as they come, once.
_BUFFER = "256KiB"


def caddyfile(
    routes: Sequence[Route],
    settings: GatewaySettings,
    *,
    grace_seconds: int,
    debug: bool = False,
    traces: bool = False,
) -> str:
    """The Caddyfile of a stack's gateway.

    Args:
        routes: of the modules with an HTTP interface; their order does not matter.
        settings: of the gateway.
        grace_seconds: what requests on their way have to end once the gateway stops.
        debug: log more.
        traces: make a span of each request; where to is in variables, see `settings.catalog.gateway`.
    """
    routes = sorted(routes, key=lambda r: r.module)
    blocks = [
        _options(settings, grace_seconds, debug),
        _to_module(settings),
        f":{METRICS_PORT} {{\n\tmetrics\n}}\n",
        _site(routes, settings, traces),
    ]
    return "\n".join(blocks)


def _options(settings: GatewaySettings, grace_seconds: int, debug: bool) -> str:
    lines = [
        # The administration API could replace the configuration, and would answer anyone in the cluster.
        "admin off",
        "persist_config off",
        "auto_https off",
        "metrics",
        # A gateway told to stop goes on for this long; see the site's `leave`.
        f"shutdown_delay {settings.shutdown_seconds}s",
        f"grace_period {grace_seconds}s",
        "servers {",
        *([f"\ttrusted_proxies static {' '.join(settings.trusted_proxies)}"] if settings.trusted_proxies else []),
        *(["\ttrusted_proxies_strict"] if settings.trusted_proxies_strict else []),
        "\ttimeouts {",
        f"\t\tidle {settings.idle_timeout_seconds}s",
        "\t}",
        "}",
        *(["debug"] if debug else []),
        *(["order versions after metrics"] if "versions" in settings.plugins else []),
    ]
    return _block("", lines)


def _to_module(settings: GatewaySettings) -> str:
    """How a request is passed on; the arguments are the module's name and the Service's that answers."""
    proxy = ["header_up Host {upstream_hostport}"]
    if settings.retry_seconds:
        proxy += [
            # A module whose Service has no pod for a moment, or whose pod went away with a kept connection: a request that
            # never got there is always sent again, any other only if sending it twice does nothing twice.
            f"lb_try_duration {settings.retry_seconds}s",
            "lb_try_interval 100ms",
            "lb_retry_match {",
            "\tmethod GET HEAD OPTIONS",
            "}",
            "lb_retry_match {",
            "\theader Idempotency-Key *",
            "}",
            f"request_buffers {_BUFFER}",
        ]
    cors = [
        "header {",
        "\tdefer",
        '\tAccess-Control-Allow-Methods "GET,OPTIONS,PUT,POST,DELETE,HEAD,PATCH"',
        "\tAccess-Control-Allow-Headers content-type",
        "\tAccess-Control-Max-Age 100",
        "\tAccess-Control-Allow-Origin *",
        "}",
    ]
    strip = ["uri strip_prefix /api/{args[0]}"]
    return _block(
        "(to_module)", [*strip, *(cors if settings.cors else []), *_lines("reverse_proxy {args[1]}:8080", proxy)]
    )


def _site(routes: Sequence[Route], settings: GatewaySettings, traces: bool) -> str:
    lines = [
        # The span that those of the modules are part of: https://caddyserver.com/docs/caddyfile/directives/tracing
        *(_lines("tracing", ["span gateway"]) if traces else []),
        # Clients keep connections. Closing one may lose the request that is just being sent on it; a client that is told
        # `Connection: close` with an answer has nothing on its way, and finds the next gateway by connecting anew.
        "@leave vars {http.shutting_down} true",
        "header @leave Connection close",
        "log {",
        "\toutput stdout",
        "}",
        *_lines(f"handle {HEALTH}", ['respond "OK" 200']),
    ]
    for route in routes:
        # Not /api/ledger*: that would take the requests of a module named ledger2, too.
        for path in (f"/api/{route.module}", f"/api/{route.module}/*"):
            lines += _lines(f"handle {path}", _passed_on(route))
    lines += _versions_by_plugin(routes, settings) if "versions" in settings.plugins else _versions(routes, settings)
    lines += _lines("handle", ['respond "Not Found" 404'])
    return _block(f":{PORT}", lines)


def _passed_on(route: Route) -> list[str]:
    """Which Service answers; of several, the first whose part of the interface it is."""
    whole = [f"import to_module {route.module} {route.module}"]
    if not route.parts:
        return whole
    lines = []
    for n, part in enumerate(route.parts, 1):
        begin = [f"/api/{route.module}{path}" for path in part.paths]
        matcher = [f"path {' '.join(each for path in begin for each in (path, f'{path}/*'))}"]
        lines += _lines(f"@part{n}", matcher + ([f"method {' '.join(part.methods)}"] if part.methods else []))
        lines += _lines(f"handle @part{n}", [f"import to_module {route.module} {part.service}"])
    return lines + _lines("handle", whole)


def _versions_by_plugin(routes: Sequence[Route], settings: GatewaySettings) -> list[str]:
    endpoints = []
    for route in routes:
        base = f"http://{route.module}:8080"
        endpoints += _lines(route.module, [f"{base}/_info {base}{route.health}"])
    inner = [f'region "{settings.region}"', f'env "{settings.environment}"', *_lines("endpoints", endpoints)]
    return _lines("handle /versions", _lines("versions", inner))


def _versions(routes: Sequence[Route], settings: GatewaySettings) -> list[str]:
    """The same document as the plugin's, by Caddy alone: a template that asks the modules through the gateway itself."""
    lines = []
    for route in routes:
        # One answer for every end: what a module that is down answers is no JSON.
        healthy = [
            f"rewrite * {route.health}",
            *_lines(
                f"reverse_proxy {route.module}:8080",
                [
                    "@up status 2xx",
                    *_lines("handle_response @up", ['respond "true"']),
                    *_lines("handle_response", ['respond "false"']),
                ],
            ),
        ]
        version = [
            "rewrite * /_info",
            *_lines(
                f"reverse_proxy {route.module}:8080",
                ["@down status 4xx 5xx", *_lines("handle_response @down", ['respond "{}"'])],
            ),
        ]
        for what, inner in (("health", healthy), ("info", version)):
            lines += _lines(f"handle /_versions/{what}/{route.module}", inner)
    entries = ",".join(
        f'{{"name":"{r.module}",'
        f'"version":{{{{httpInclude "/_versions/info/{r.module}" | fromJson | dig "version" "" | toJson}}}},'
        f'"health":{{{{httpInclude "/_versions/health/{r.module}"}}}}}}'
        for r in routes
    )
    document = f'{{"region":"{settings.region}","env":"{settings.environment}","versions":[{entries}]}}'
    lines += _lines(
        "handle /versions",
        [
            "header Content-Type application/json",
            *_lines("templates", ["mime application/json"]),
            f"respond `{document}`",
        ],
    )
    lines += _lines(
        "handle_errors",
        [
            *_lines("handle /_versions/health/*", ['respond "false" 200']),
            *_lines("handle /_versions/info/*", ['respond "{}" 200']),
        ],
    )
    return lines


def _lines(head: str, inner: Sequence[str]) -> list[str]:
    return [f"{head} {{", *(f"\t{line}" for line in inner), "}"]


def _block(head: str, inner: Sequence[str]) -> str:
    return "\n".join([f"{head} {{".lstrip(), *(f"\t{line}" for line in inner), "}"]) + "\n"
