"""The gateway: Caddy before every module of the stack, behind a gate of its own.

Its configuration is part of what is versioned: a ConfigMap that never changes, named by its content, and a Deployment for
each pair of version and configuration. So a configuration that Caddy rejects halts the update, like a migration that fails,
and the gateway that serves keeps the file it was started with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pulumi
import pulumi_kubernetes as k8s

from settings import Plan, Port, StackSettings

from .caddyfile import METRICS_PORT, caddyfile
from .configuration import Configuration, references
from .job import gate_job
from .module import service_account
from .names import DRAINS, MODULE, NAME, digest, job_labels
from .release import Release
from .scope import Scope
from .workload import Container, Mount

_DIRECTORY = "/gateway"
_DATA = "/data"
_CONFIG = ["--config", f"{_DIRECTORY}/Caddyfile", "--adapter", "caddyfile"]
_VALIDATION_SECONDS = 60


class Gateway(pulumi.ComponentResource):
    """The gateway at the version and with the configuration that the settings ask for.

    Args:
        name: of the gateway's module, its Service and its service account.
        settings: of the whole stack.
        plan: what its kind makes of them.
        scope: where to declare its resources.
        after: what must be there before it: the modules that do not serve yet, and those it is told to wait for.
    """

    release: Release

    def __init__(
        self, name: str, settings: StackSettings, plan: Plan, scope: Scope, after: Sequence[pulumi.Resource] = ()
    ) -> None:
        # A module like the others for whoever looks at the stack.
        super().__init__("rollout:index:Module", name, None, scope.component())
        module, version, gateway = settings.modules[name], settings.version(name), settings.gateway
        scope = scope.under(self)
        account = service_account(name, settings, scope)
        # The gateway drains by itself, and better than a pause before it is told to stop: it asks its clients to leave.
        left = module.termination_grace_period_seconds - gateway.shutdown_seconds
        grace = max(1, left - 2) if gateway.grace_seconds is None else gateway.grace_seconds
        traces = settings.open_telemetry.traces is not None
        debug = settings.of(name).debug
        content = {"Caddyfile": caddyfile(settings.routes, gateway, grace_seconds=grace, debug=debug, traces=traces)}
        revision = digest(content)
        config = k8s.core.v1.ConfigMap(
            f"{name}-{revision}",
            metadata=scope.metadata(f"{name}-{revision}", {NAME: name, MODULE: name}),
            immutable=True,
            data=content,
            opts=scope.mounted(self),
        )
        mounts = [
            Mount("gateway", _DIRECTORY, {"configMap": {"name": f"{name}-{revision}"}}),
            Mount("data", _DATA, {"emptyDir": {"sizeLimit": "64Mi"}}, read_only=False),
        ]
        configuration = Configuration(name, self, scope)
        role = plan.api
        env = configuration.entries(role.env)
        credentials = configuration.secrets(role.env)
        validation = gate_job(
            f"{name}-{version}-{revision}-validate",
            f"{name}-{version.slug}-validate",
            container={
                "name": "validate",
                "image": settings.image(name),
                "args": ["validate", *_CONFIG],
                "env": env,
                "volumeMounts": [mount.mount for mount in mounts],
            },
            volumes=[mount.volume for mount in mounts],
            labels=job_labels(name, "validate", version),
            active_deadline_seconds=_VALIDATION_SECONDS,
            backoff_limit=0,
            run_as_user=module.run_as_user,
            service_account=name,
            jobs=module.jobs,
            scope=scope,
            opts=scope.job(self, depends_on=[account, config, *credentials, *after]),
        )
        ports = (*role.ports, Port("metrics", METRICS_PORT))
        container = Container(
            name,
            settings.image(name),
            replace(role, args=("run", *_CONFIG), ports=ports),
            env,
            mounts,
            sorted(references(role.env)),
        )
        self.release = Release(
            name,
            version,
            module.model_copy(update={"database": False, "drain_seconds": 0}),
            container,
            account,
            [validation, config, *credentials, *after],
            scope,
            revision=revision,
            annotations={DRAINS: "itself"},
        )
        if gateway.ingress and gateway.ingress.create:
            _ingress(self, name, settings, scope, self.release.service)
        self.register_outputs({"version": str(version)})


def _ingress(
    gateway: Gateway, name: str, settings: StackSettings, scope: Scope, service: pulumi.Resource
) -> k8s.networking.v1.Ingress:
    ingress = settings.gateway.ingress
    assert ingress is not None
    backend = {"service": {"name": name, "port": {"name": "http"}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    spec: dict[str, object] = {"rules": [{"host": host, "http": {"paths": [path]}} for host in ingress.hosts]}
    if ingress.class_name:
        spec["ingressClassName"] = ingress.class_name
    if ingress.tls_secret:
        spec["tls"] = [{"hosts": list(ingress.hosts), "secretName": ingress.tls_secret}]
    return k8s.networking.v1.Ingress(
        name,
        # An address comes from the Ingress controller when it likes; nothing here waits for it.
        metadata=scope.metadata(
            name, {NAME: name, MODULE: name}, {**ingress.annotations, "pulumi.com/skipAwait": "true"}
        ),
        spec=spec,
        opts=scope.resource(gateway, depends_on=[service]),
    )
