"""A stack as the Formance operator makes one, and as much of the operator as a move needs, with the sample in the place of its modules.

Objects, names, labels, owners and finalizers are those of its source at de735dc (2026-05-15); each function says which file. Its own build, given the
same Settings on a cluster, made the same objects field by field. Only of the Caddyfile what the devkit's Caddy has no plugin for is left out, and its
Jobs, which are gone 30 s after they have succeeded, run here on the images there are.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import threading
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import psycopg
from lightkube import ApiError, Client
from lightkube.generic_resource import create_global_resource
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apiextensions_v1 import CustomResourceDefinition
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import ConfigMap, Namespace, Pod, Secret, Service
from lightkube.resources.networking_v1 import Ingress
from lightkube.types import PatchType
from psycopg import sql

from devkit import paths
from devkit.images import catalogue
from tests.cluster.full_stack import CADDY, NATS
from tests.cluster.stacks import wait_for

GROUP, API = "formance.com", "formance.com/v1beta1"
KINDS = {
    "Stack": "stacks",
    "Settings": "settings",
    "Versions": "versions",
    "Ledger": "ledgers",
    "Webhooks": "webhooks",
    "Gateway": "gateways",
    "Database": "databases",
    "Broker": "brokers",
    "BrokerTopic": "brokertopics",
    "BrokerConsumer": "brokerconsumers",
    "GatewayHTTPAPI": "gatewayhttpapis",
    "ResourceReference": "resourcereferences",
}
RESOURCES = {kind: create_global_resource(GROUP, "v1beta1", kind, plural) for kind, plural in KINDS.items()}
SKIP, VERSION = "formance.com/skip", "formance.com/module-version"
HOST = "takeover.example.org"
VERSIONS = {"ledger": "2.40.0", "webhooks": "4.0.0", "gateway": CADDY[0]}
DATABASES = ("ledger", "webhooks")
# All messages of the stack, and what the consumer of a module is given (brokers/reconcile.go, brokerconsumers/controller.go).
_STREAM = """
import json, os
from migrator.nats import Nats
stack = os.environ["STACK"]
with Nats(os.environ["NATS_URI"]) as nats:
    nats.do(f"STREAM.CREATE.{stack}", {"name": stack, "subjects": [f"{stack}.*"], "retention": "interest", "storage": "file",
                                       "num_replicas": 1, "discard": "old", "duplicate_window": 120000000000, "allow_direct": False})
    config = {"durable_name": "webhooks", "name": "webhooks", "deliver_policy": "all", "ack_policy": "explicit", "max_ack_pending": 1024,
              "deliver_subject": f"{stack}-webhooks", "deliver_group": "webhooks", "replay_policy": "instant",
              "filter_subject": f"{stack}.ledger"}
    nats.do(f"CONSUMER.CREATE.{stack}.webhooks", {"stream_name": stack, "config": config})
    # Three events of the ledger that webhooks has not had yet.
    for number in range(3):
        nats._socket.sendall(f"PUB {stack}.ledger 1\\r\\n{number}\\r\\n".encode())
    nats.do(f"STREAM.INFO.{stack}", {})
"""


@dataclass
class OperatorStack:
    """The stack, in the namespace of its name, and the operator's manager, which looks at it every second.

    Args:
        api: Kubernetes client.
        name: of the stack.
    """

    api: Client
    name: str
    _uids: dict[tuple[str, str], str] = field(default_factory=dict)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _problem: list[Exception] = field(default_factory=list)

    @property
    def outside(self) -> str:
        """The namespace of what is not the stack's: the operator's manager, the broker, and the clients."""
        return f"{self.name}-outside"

    @cached_property
    def _thread(self) -> threading.Thread:
        return threading.Thread(target=self._watch, daemon=True)

    # --- the operator ------------------------------------------------------------------------------------------------

    def install(self) -> None:
        """Everything, in the order in which the operator comes to it."""
        self._definitions()
        self.api.create(Namespace(metadata=ObjectMeta(name=self.outside)))
        self._manager()
        self._broker()
        self._settings()
        stack = self._custom(
            "Stack", self.name, {"versionsFromFile": self.name, "debug": False, "dev": False}, finalizers=["delete"]
        )
        self._put(Namespace, {"metadata": {"name": self.name, "ownerReferences": [self._controller(stack)]}})
        for module in DATABASES:
            self._module(module.capitalize(), {})
            self._database(module)
        self._module("Gateway", {"ingress": {"host": HOST, "hosts": [], "scheme": "https"}})
        self._events()
        self.reconcile()
        wait_for(
            "the operator's stack",
            lambda: all(self.ready().get(d) == 1 for d in ("ledger", "ledger-worker", "webhooks", "gateway")),
        )
        self._thread.start()

    def reconcile(self) -> None:
        """What the operator does whenever it looks at a stack that is not skipped: every object is as it wants it."""
        dev = _env(DEBUG="false", DEV="false", STACK=self.name)
        public = _env(STACK_URL="http://gateway:8080", STACK_PUBLIC_URL=f"https://{HOST}")
        uri = _env(STORAGE_POSTGRES_CONN_STRING="$(POSTGRES_URI)")
        alone = _env(PUBLISHER_NATS_AUTO_PROVISION="false")
        stored = [*dev, *self._postgres("ledger"), *uri, *_env(STORAGE_DRIVER="postgres")]
        topic = _env(PUBLISHER_TOPIC_MAPPING=f"*:{self.name}.ledger")
        api = [*_env(BIND=":8080"), *self._publisher("ledger"), *topic, *alone, *stored, *public]
        self._deployment("Ledger", "ledger", "ledger", api)
        self._deployment("Ledger", "ledger-worker", "ledger-worker", stored, args=["worker"], stateful=True)
        hooks = [*public, *dev, *self._postgres("webhooks"), *self._publisher("webhooks"), *uri]
        hooks += [*_env(WORKER="true", KAFKA_TOPICS=f"{self.name}.ledger"), *alone]
        self._deployment("Webhooks", "webhooks", "api", hooks, args=["serve"])
        for module in DATABASES:
            self._service(module, ("GatewayHTTPAPI", f"{self.name}-{module}"))
        self._gateway([*public, *dev])

    def _watch(self) -> None:
        """core/controllers.go: a skipped stack's objects are left alone, and its condition says so once each module knows."""
        while not self._stopped.wait(1):
            try:
                if not self.api.get(Deployment, "regions-operator", namespace=self.outside).spec.replicas:
                    continue
                stack = self.api.get(RESOURCES["Stack"], self.name)
                if (stack.metadata.annotations or {}).get(SKIP) == "true":
                    self._condition("Skipped")
                else:
                    self._condition("Ready")
                    self.reconcile()
            except ApiError as error:
                if error.status.code not in (404, 409):
                    self._problem.append(error)
            except Exception as error:  # the test must not pass without an operator
                self._problem.append(error)

    def check(self) -> None:
        """Raises what went wrong in the operator's place."""
        assert not self._problem, self._problem

    # --- objects of the operator ----------------------------------------------------------------------------------------

    def _definitions(self) -> None:
        """All of them are of the cluster, and have a status of their own (api/formance.com/v1beta1)."""
        schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
        version = {"name": "v1beta1", "served": True, "storage": True, "subresources": {"status": {}}, "schema": schema}
        for kind, plural in KINDS.items():
            names = {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"}
            spec = {"group": GROUP, "scope": "Cluster", "names": names, "versions": [version]}
            self._put(CustomResourceDefinition, {"metadata": {"name": f"{plural}.{GROUP}"}, "spec": spec})

        def established(plural: str) -> bool:
            found = self.api.get(CustomResourceDefinition, f"{plural}.{GROUP}")
            return any(
                c.type == "Established" and c.status == "True" for c in (found.status and found.status.conditions) or []
            )

        wait_for("the definitions", lambda: all(map(established, KINDS.values())))

    def _custom(
        self, kind: str, name: str, spec: dict[str, Any], *, status: dict[str, Any] | None = None, **metadata: Any
    ) -> tuple[str, str]:
        resource = RESOURCES[kind]
        # The API server may take a moment to serve a definition that it has established.
        found = wait_for(
            f"{kind} {name}",
            lambda: self._made(
                resource, {"apiVersion": API, "kind": kind, "metadata": {"name": name, **metadata}, "spec": spec}
            ),
        )
        self._uids[kind, name] = found.metadata.uid
        if status:
            self.api.patch(resource.Status, name, {"status": status}, patch_type=PatchType.MERGE)
        return kind, name

    def _made(self, resource: Any, document: dict[str, Any]) -> Any:
        try:
            return self.api.create(resource.from_dict(document))
        except ApiError as error:
            if error.status.code == 404:
                return None
            raise

    def _owner(self, of: tuple[str, str]) -> dict[str, Any]:
        """controllerutil.SetOwnerReference"""
        return {"apiVersion": API, "kind": of[0], "name": of[1], "uid": self._uids[of]}

    def _controller(self, of: tuple[str, str]) -> dict[str, Any]:
        """controllerutil.SetControllerReference"""
        return {**self._owner(of), "controller": True, "blockOwnerDeletion": True}

    def _condition(self, kind: str) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        condition = {"type": kind, "status": "True", "lastTransitionTime": now, "message": ""}
        self.api.patch(
            RESOURCES["Stack"].Status,
            self.name,
            {"status": {"ready": True, "conditions": [condition]}},
            patch_type=PatchType.MERGE,
        )

    def _settings(self) -> None:
        server = paths.postgres()
        self._secret(
            "postgres",
            {"username": server.user, "password": server.password},
            self.outside,
            labels={"formance.com/stack": self.name},
        )
        values = {
            "postgres.*.uri": f"postgresql://{server.host}:{server.port}?secret=postgres&sslmode=require",
            "broker.dsn": f"nats://nats.{self.outside}:4222",
            "deployments.*.replicas": "1",
            # Without a request a pod gets next to nothing of a busy machine.
            "deployments.*.containers.*.resource-requirements.requests": "cpu=60m",
            'registries."ghcr.io".endpoint': catalogue.MODULE.rpartition("/")[0],
            'registries."ghcr.io".images."formancehq/ledger".rewrite': "module",
            'registries."ghcr.io".images."formancehq/webhooks".rewrite': "module",
            'registries."ghcr.io".images."formancehq/gateway".rewrite': "gateway",
            # What the operator would do at the end of a stack, were it not kept from it.
            "clear-database": "true",
        }
        for number, (key, value) in enumerate(values.items()):
            self._custom("Settings", f"{self.name}-{number}", {"stacks": [self.name], "key": key, "value": value})
        self._custom("Versions", self.name, dict(VERSIONS))

    def _module(self, kind: str, spec: dict[str, Any]) -> None:
        """What a person writes, with the reference to the Stack that core/controllers.go, ForModule, adds."""
        properties = {"stack": self.name, "debug": False, "dev": False, **spec}
        self._custom(
            kind, f"{self.name}-{kind.lower()}", properties, ownerReferences=[self._owner(("Stack", self.name))]
        )

    def _database(self, module: str) -> None:
        """databases/create.go, init.go, migrate.go; gatewayhttpapis/create.go; resourcereferences/init.go"""
        owner = (module.capitalize(), f"{self.name}-{module}")
        api = {
            "stack": self.name,
            "name": module,
            "rules": [{"path": "", "secured": False}],
            "healthCheckEndpoint": "_healthcheck",
        }
        self._custom("GatewayHTTPAPI", f"{self.name}-{module}", api, ownerReferences=[self._controller(owner)])
        spec = {"stack": self.name, "service": module, "debug": False}
        owners = [self._controller(owner), self._owner(("Stack", self.name))]
        database = self._custom(
            "Database", f"{self.name}-{module}", spec, ownerReferences=owners, finalizers=["delete-database"]
        )
        reference = {"stack": self.name, "name": "postgres", "gvk": {"group": "", "version": "v1", "kind": "Secret"}}
        self._custom(
            "ResourceReference",
            f"{self.name}-{module}-postgres",
            reference,
            ownerReferences=[self._controller(database)],
        )
        if module == DATABASES[0]:
            server, owned = paths.postgres(), [self._owner(("ResourceReference", f"{self.name}-{module}-postgres"))]
            self._secret(
                "postgres", {"username": server.user, "password": server.password}, self.name, ownerReferences=owned
            )
        with psycopg.connect(paths.postgres().uri(), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(f"{self.name}-{module}")))
        uri = f"postgresql://{paths.postgres().host}:{paths.postgres().port}?secret=postgres&sslmode=require"
        self.api.patch(
            RESOURCES["Database"].Status,
            database[1],
            {"status": {"ready": True, "uri": uri, "database": f"{self.name}-{module}"}},
            patch_type=PatchType.MERGE,
        )
        more = _env(STORAGE_POSTGRES_CONN_STRING="$(POSTGRES_URI)") if module == "ledger" else []
        env = [*self._postgres(module), *more]
        self._run(
            owner,
            f"{module}-migration",
            {"name": "migrate", "image": self._image(module), "args": ["migrate"], "env": env},
        )
        self.api.patch(
            RESOURCES["Database"],
            database[1],
            {"metadata": {"annotations": {VERSION: VERSIONS[module]}}},
            patch_type=PatchType.MERGE,
        )

    def _run(self, owner: tuple[str, str], name: str, container: dict[str, Any]) -> None:
        """jobs/job.go, Handle: named by its owner's UID, tried again for ever, gone 30 s after it has succeeded."""
        job = f"{self._uids[owner]}-{name}"
        security = {**_SECURITY, "runAsNonRoot": False}
        spec = {
            "backoffLimit": 10000,
            "ttlSecondsAfterFinished": 30,
            "template": {
                "spec": {"restartPolicy": "OnFailure", "containers": [{**container, "securityContext": security}]}
            },
        }
        self._put(
            Job,
            {
                "metadata": {"name": job, "namespace": self.name, "ownerReferences": [self._controller(owner)]},
                "spec": spec,
            },
        )

        def succeeded() -> bool:
            status = self.api.get(Job, job, namespace=self.name).status
            return bool(status and status.succeeded)

        wait_for(f"Job {job}", succeeded, 120)

    def _events(self) -> None:
        """brokers/, brokertopics/, brokerconsumers/: one stream for the stack, and what webhooks hears of the ledger."""
        stack = ("Stack", self.name)
        status = {"ready": True, "mode": "OneStreamByStack", "uri": f"nats://nats.{self.outside}:4222"}
        broker = self._custom(
            "Broker",
            self.name,
            {"stack": self.name},
            status=status,
            ownerReferences=[self._controller(stack)],
            finalizers=["clear"],
        )
        spec = {"stack": self.name, "services": ["ledger"], "queriedBy": "webhooks"}
        owner = [self._controller(("Webhooks", f"{self.name}-webhooks"))]
        consumer = self._custom("BrokerConsumer", f"{self.name}-webhooks-webhooks", spec, ownerReferences=owner)
        topic = {"stack": self.name, "service": "ledger"}
        self._custom(
            "BrokerTopic", f"{self.name}-ledger", topic, ownerReferences=[self._owner(consumer), self._owner(stack)]
        )
        env = [{"name": "STACK", "value": self.name}, {"name": "NATS_URI", "value": f"nats://nats.{self.outside}:4222"}]
        container = {
            "name": "create-topic",
            "image": catalogue.MIGRATOR,
            "command": ["python3", "-c", _STREAM],
            "env": env,
        }
        self._run(broker, "create-stream", container)

    # --- workloads ----------------------------------------------------------------------------------------------------------

    def _publisher(self, service: str) -> list[dict[str, Any]]:
        """brokers/utils.go, GetBrokerEnvVars"""
        url, client = f"nats.{self.outside}:4222", f"{self.name}-{service}"
        return _env(
            BROKER="nats", PUBLISHER_NATS_ENABLED="true", PUBLISHER_NATS_URL=url, PUBLISHER_NATS_CLIENT_ID=client
        )

    def _postgres(self, module: str) -> list[dict[str, Any]]:
        """databases/env.go, GetPostgresEnvVars"""
        server = paths.postgres()

        def of_secret(key: str) -> dict[str, Any]:
            return {"valueFrom": {"secretKeyRef": {"name": "postgres", "key": key}}}

        return [
            {"name": "POSTGRES_HOST", "value": server.host},
            {"name": "POSTGRES_PORT", "value": str(server.port)},
            {"name": "POSTGRES_DATABASE", "value": f"{self.name}-{module}"},
            {"name": "POSTGRES_USERNAME", **of_secret("username")},
            {"name": "POSTGRES_PASSWORD", **of_secret("password")},
            {
                "name": "POSTGRES_NO_DATABASE_URI",
                "value": "postgresql://$(POSTGRES_USERNAME):$(POSTGRES_PASSWORD)@$(POSTGRES_HOST):$(POSTGRES_PORT)",
            },
            {"name": "POSTGRES_URI", "value": "$(POSTGRES_NO_DATABASE_URI)/$(POSTGRES_DATABASE)?sslmode=require"},
        ]

    def _image(self, module: str) -> str:
        return f"{catalogue.GATEWAY if module == 'gateway' else catalogue.MODULE}:{VERSIONS[module]}"

    def _deployment(
        self,
        kind: str,
        name: str,
        container: str,
        env: list[dict[str, Any]],
        *,
        args: list[str] | None = None,
        stateful: bool = False,
        **more: Any,
    ) -> None:
        """applications/application.go, probes.go, ports.go"""
        labels = {"app.kubernetes.io/name": name}
        probe = {
            "httpGet": {"path": "/_healthcheck", "port": "http", "scheme": "HTTP"},
            "initialDelaySeconds": 1,
            "timeoutSeconds": 30,
        }
        probe |= {"periodSeconds": 2, "successThreshold": 1, "failureThreshold": 20}
        probes = {"livenessProbe": {**probe, "terminationGracePeriodSeconds": 10}, "readinessProbe": probe}
        made = {
            "name": container,
            "image": self._image(kind.lower()),
            **({"args": args} if args else {}),
            "env": [*env, {"name": "NODE_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}],
            "resources": {"requests": {"cpu": "60m"}},
            "securityContext": {**_SECURITY, "runAsNonRoot": False},
            **({} if stateful else {"ports": [{"name": "http", "containerPort": 8080}], **probes}),
            **more.pop("overrides", {}),
        }
        rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        spec = {
            # None but where the Settings say, which is one; a worker has none of its own.
            **({} if stateful else {"replicas": 1}),
            "selector": {"matchLabels": labels},
            "strategy": {"type": "Recreate"} if stateful else rolling,
            "template": {
                "metadata": {"labels": labels, **more.pop("metadata", {})},
                "spec": {
                    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [made],
                    **more,
                },
            },
        }
        owner = self._controller((kind, f"{self.name}-{kind.lower()}"))
        self._put(
            Deployment, {"metadata": {"name": name, "namespace": self.name, "ownerReferences": [owner]}, "spec": spec}
        )

    def _service(self, name: str, owner: tuple[str, str]) -> None:
        """services/services.go"""
        metadata = {
            "name": name,
            "namespace": self.name,
            "labels": {"app.kubernetes.io/service-name": name},
            "ownerReferences": [self._controller(owner)],
        }
        ports = [{"name": "http", "port": 8080, "protocol": "TCP", "targetPort": "http"}]
        self._put(
            Service, {"metadata": metadata, "spec": {"ports": ports, "selector": {"app.kubernetes.io/name": name}}}
        )

    def _gateway(self, env: list[dict[str, Any]]) -> None:
        """gateways/, caddy/caddy.go: no probes, no drain, and the administration's interface on the port of the metrics."""
        owner = ("Gateway", f"{self.name}-gateway")
        content = {
            "Caddyfile": _CADDYFILE.replace(
                "HANDLES", "".join(_HANDLE.replace("MODULE", module) for module in DATABASES)
            )
        }
        metadata = {"name": "gateway", "namespace": self.name, "ownerReferences": [self._controller(owner)]}
        self._put(ConfigMap, {"metadata": metadata, "data": content})
        capabilities = {"capabilities": {"drop": ["all"], "add": ["NET_BIND_SERVICE"]}}
        container = {
            "command": ["/usr/bin/caddy"],
            "ports": [{"name": "http", "containerPort": 8080}, {"name": "metrics", "containerPort": 3080}],
            "volumeMounts": [
                {"name": "caddyfile", "mountPath": "/gateway", "readOnly": True},
                {"name": "data", "mountPath": "/data"},
            ],
            "securityContext": {**_SECURITY, **capabilities, "runAsNonRoot": False},
            "livenessProbe": None,
            "readinessProbe": None,
        }
        # core/utils.go, HashFromConfigMaps
        digest = hashlib.sha256(json.dumps(content, separators=(",", ":")).encode() + b"\n").digest()
        hashed = {"annotations": {"caddyfile-hash": base64.b64encode(digest).decode()}}
        volumes = [{"name": "caddyfile", "configMap": {"name": "gateway"}}, {"name": "data", "emptyDir": {}}]
        args = ["run", "--config", "/gateway/Caddyfile", "--adapter", "caddyfile"]
        self._deployment(
            "Gateway", "gateway", "gateway", env, args=args, overrides=container, metadata=hashed, volumes=volumes
        )
        self._service("gateway", owner)
        backend = {"service": {"name": "gateway", "port": {"name": "http"}}}
        rule = {"host": HOST, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
        labels = {"app.kubernetes.io/component": "gateway", "app.kubernetes.io/name": self.name}
        self._put(Ingress, {"metadata": {**metadata, "labels": labels}, "spec": {"rules": [rule]}})

    # --- what is not the stack's ---------------------------------------------------------------------------------------------

    def _manager(self) -> None:
        """A pod in the place of the operator's manager: what it does, `_watch` does while there is one."""
        container = {
            "name": "manager",
            "image": catalogue.MIGRATOR,
            "command": ["python3", "-c", "import time; time.sleep(1e8)"],
        }
        self._outside("regions-operator", {"terminationGracePeriodSeconds": 1, "containers": [container]})

    def _broker(self) -> None:
        container = {
            "name": "nats",
            "image": f"{catalogue.NATS}:{NATS}",
            "ports": [{"name": "nats", "containerPort": 4222}],
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8222}, "periodSeconds": 1},
        }
        self._outside("nats", {"containers": [container], "volumes": [{"name": "data", "emptyDir": {}}]})
        ports = [{"name": "nats", "port": 4222}, {"name": "monitoring", "port": 8222}]
        spec = {"selector": {"control-plane": "nats"}, "ports": ports}
        self._put(Service, {"metadata": {"name": "nats", "namespace": self.outside}, "spec": spec})
        wait_for("the broker", lambda: self.ready(self.outside).get("nats") == 1)

    def _outside(self, name: str, pod: dict[str, Any]) -> None:
        labels = {"control-plane": name}
        spec = {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        }
        self._put(Deployment, {"metadata": {"name": name, "namespace": self.outside}, "spec": spec})

    def _secret(self, name: str, values: dict[str, str], namespace: str, **metadata: Any) -> None:
        self.api.create(
            Secret.from_dict({"metadata": {"name": name, "namespace": namespace, **metadata}, "stringData": values})
        )

    def _put(self, resource: Any, document: dict[str, Any]) -> None:
        """controllerutil.CreateOrUpdate: the whole object, but for what others than the operator have in its metadata."""
        metadata = document["metadata"]
        where = {"namespace": metadata["namespace"]} if "namespace" in metadata else {}
        try:
            found = self.api.get(resource, metadata["name"], **where)
        except ApiError as error:
            if error.status.code != 404:
                raise
            self.api.create(resource.from_dict(document))
            return
        before = json.dumps(found.to_dict(), sort_keys=True)
        after = found.to_dict()
        after["metadata"] = {**after["metadata"], "ownerReferences": metadata.get("ownerReferences", [])}
        after |= {key: value for key, value in document.items() if key != "metadata"}
        if ("spec" in document and "clusterIP" in after["spec"]) or resource is Service:
            # What the API server has filled in stays where nothing is given.
            after["spec"] = {
                **{k: v for k, v in found.to_dict()["spec"].items() if k.startswith("clusterIP")},
                **document["spec"],
            }
        if json.dumps(after, sort_keys=True) != before:
            self.api.replace(resource.from_dict(after))

    # --- what tests look at ---------------------------------------------------------------------------------------------------

    def ready(self, namespace: str = "") -> dict[str, int]:
        """Name -> ready replicas."""
        found = self.api.list(Deployment, namespace=namespace or self.name)
        return {d.metadata.name: (d.status and d.status.readyReplicas) or 0 for d in found}

    def selected(self) -> str:
        """What the operator's Service of the gateway selects."""
        return str(self.api.get(Service, "gateway", namespace=self.name).spec.selector["app.kubernetes.io/name"])

    def requests(self, name: str, namespace: str = "") -> int:
        """How many requests for the ledger the gateways of a name have logged."""
        pods = self.api.list(Pod, namespace=namespace or self.name, labels={"app.kubernetes.io/name": name})
        count = 0
        for pod in pods:
            if pod.status.phase == "Running":
                count += sum(
                    "/api/ledger/" in line for line in self.api.log(pod.metadata.name, namespace=pod.metadata.namespace)
                )
        return count

    def stream(self) -> dict[str, Any]:
        """Created, messages and the consumers' configurations, as the broker tells them; None of a stream that is gone."""
        base = f"/api/v1/namespaces/{self.outside}/services/nats:monitoring/proxy"
        found = self.api._client._client.get(f"{base}/jsz?streams=true&consumers=true&config=true").json()
        streams = [s for account in found.get("account_details", []) for s in account.get("stream_detail", [])]
        [stream] = (s for s in streams if s["name"] == self.name)
        consumers = {c["name"]: (c["created"], c["config"]) for c in stream["consumer_detail"]}
        return {"created": stream["created"], "messages": stream["state"]["messages"], "consumers": consumers}

    def migrations(self, module: str) -> list[tuple[Any, ...]]:
        """The record of the migrations that ran in a module's database, with the transactions that wrote it."""
        with psycopg.connect(paths.postgres().uri(f"{self.name}-{module}")) as connection:
            return connection.execute(
                "SELECT r.xmin::text, r::text FROM migrator.migrations r ORDER BY r::text"
            ).fetchall()

    def left(self) -> list[str]:
        """Objects of the operator's that are still there, of any kind."""
        return [
            f"{kind}/{each.metadata.name}"
            for kind, resource in RESOURCES.items()
            for each in self.api.list(resource)
            if (each.get("spec") or {}).get("stack") == self.name or (kind, each.metadata.name) == ("Stack", self.name)
        ]

    def remove(self) -> None:
        """Takes everything away, however the test ended."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(10)
        for resource in RESOURCES.values():
            with contextlib.suppress(ApiError):
                for each in self.api.list(resource):
                    with contextlib.suppress(ApiError):
                        self.api.patch(
                            resource, each.metadata.name, {"metadata": {"finalizers": None}}, patch_type=PatchType.MERGE
                        )
                        self.api.delete(resource, each.metadata.name)
        for plural in KINDS.values():
            with contextlib.suppress(ApiError):
                self.api.delete(CustomResourceDefinition, f"{plural}.{GROUP}")
        for namespace in (self.name, self.outside):
            with contextlib.suppress(ApiError):
                self.api.delete(Namespace, namespace, grace_period=0)


def _env(**values: str) -> list[dict[str, Any]]:
    return [{"name": name, "value": value} for name, value in values.items()]


_SECURITY = {
    "capabilities": {"drop": ["all"]},
    "privileged": False,
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
}
_CADDYFILE = """(cors) {
	header {
		defer
		Access-Control-Allow-Methods "GET,OPTIONS,PUT,POST,DELETE,HEAD,PATCH"
		Access-Control-Allow-Headers content-type
		Access-Control-Max-Age 100
		Access-Control-Allow-Origin *
	}
}

{
	metrics

	servers {
	}

	admin :3080
}

:8080 {
	log {
		output stdout
	}
HANDLES
	handle /api/* {
		respond "Not Found" 404
	}
}
"""
_HANDLE = """
	handle /api/MODULE* {
		uri strip_prefix /api/MODULE
		import cors
		reverse_proxy MODULE:8080 {
			header_up Host {upstream_hostport}
		}
	}
"""
