"""Gateway: Caddy, the one way in from outside; it sends ``/api/<module>`` to each module's Service."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from ..environment import Variable
from ..module import ModuleSettings
from .kind import Context, Kind
from .variables import common, licence


class Gateway(Kind[ModuleSettings]):
    name = "gateway"
    defaults = {"image": "ghcr.io/formancehq/gateway", "database": False}
    routed = False
    enterprise = True

    def variables(self, c: Context[ModuleSettings]) -> Iterator[Variable]:
        # Where Caddy may write: it has no home.
        yield Variable("XDG_CONFIG_HOME", "the catalogue", "/data")
        yield Variable("XDG_DATA_HOME", "the catalogue", "/data")
        # Caddy reads resource attributes as OpenTelemetry writes them, with commas.
        yield from common(c, ",")
        traces = c.stack.open_telemetry.traces
        if traces:
            url, place = urlsplit(traces.endpoint), "rollout:openTelemetry.traces"
            # Caddy reads what OpenTelemetry specifies, which knows no mere `http`, and takes this URL as it is:
            # https://opentelemetry.io/docs/specs/otel/protocol/exporter/
            protocol, path = ("grpc", "") if url.scheme == "grpc" else ("http/protobuf", "/v1/traces")
            endpoint = "$(OTEL_TRACES_EXPORTER_OTLP_ENDPOINT)"
            if not url.path:  # else it is a whole URL already
                endpoint = f"{'http' if traces.insecure else 'https'}://{endpoint}{path}"
            yield Variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", place, endpoint)
            yield Variable("OTEL_EXPORTER_OTLP_PROTOCOL", place, protocol)
        yield from licence(c)


KIND = Gateway()
