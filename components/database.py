"""A module's database: made by a Job, its credentials in a Secret. It is never dropped by an update or a destroy."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

import pulumi

from settings import PostgresServer

from .job import gate_job
from .names import job_labels
from .objects import Secret
from .scope import Scope


class Database(pulumi.ComponentResource):
    """The database of one module on its PostgreSQL server.

    Attributes:
        env: environment variables that tell a container how to connect, in the Formance operator's names. An entry refers
            only to those before it, as Kubernetes expands ``$(NAME)``.
        credentials: what a container that uses ``env`` depends on.
        job: the Job that makes the database if it is not there.
    """

    def __init__(self, module: str, database: str, server: PostgresServer, image: str, scope: Scope) -> None:
        super().__init__("rollout:index:Database", module, None, scope.component())
        self.env: list[dict[str, Any]] = [
            {"name": "POSTGRES_HOST", "value": server.host},
            {"name": "POSTGRES_PORT", "value": str(server.port)},
            {"name": "POSTGRES_DATABASE", "value": database},
            {"name": "POSTGRES_SSLMODE", "value": dict(server.parameters)["sslmode"]},
        ]
        self.credentials: list[pulumi.Resource] = []
        if server.secret:
            # The password is not known here, so the URI is put together in the pod; the Secret's values must be URL-safe.
            self.env += [
                _from_secret("POSTGRES_USERNAME", server.secret, "username"),
                _from_secret("POSTGRES_PASSWORD", server.secret, "password"),
                {
                    "name": "POSTGRES_NO_DATABASE_URI",
                    "value": "postgresql://$(POSTGRES_USERNAME):$(POSTGRES_PASSWORD)@$(POSTGRES_HOST):$(POSTGRES_PORT)",
                },
                {"name": "POSTGRES_URI", "value": f"$(POSTGRES_NO_DATABASE_URI)/$(POSTGRES_DATABASE)?{server.query}"},
            ]
        else:
            uri = server.uri(database)
            # The name changes with the content, in Pulumi's state too: pods keep the Secret they were started with until
            # others have taken over, and Deployments depend on the very Secret they use.
            name = f"{module}-postgres-{fingerprint(uri, scope.owner.label)}"
            secret = Secret(
                name,
                metadata=scope.metadata(name),
                immutable=True,
                stringData={
                    "username": pulumi.Output.secret(server.username),
                    "password": pulumi.Output.secret(server.password),
                    "uri": pulumi.Output.secret(uri),
                },
                opts=scope.secret(self),
            )
            self.credentials.append(secret)
            self.env += [
                _from_secret("POSTGRES_USERNAME", name, "username"),
                _from_secret("POSTGRES_PASSWORD", name, "password"),
                _from_secret("POSTGRES_URI", name, "uri"),
            ]
        self.job = gate_job(
            f"{module}-database",
            f"{module}-database",
            container={"name": "create-database", "image": image, "args": ["create-database"], "env": self.env},
            labels=job_labels(module, "database"),
            active_deadline_seconds=60,
            backoff_limit=0,
            run_as_user=65_532,
            service_account=module,
            scope=scope,
            opts=scope.job(self, depends_on=self.credentials),
        )
        self.register_outputs({"database": database})


def _from_secret(variable: str, secret: str, key: str) -> dict[str, Any]:
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


@lru_cache(maxsize=1024)
def fingerprint(uri: str, salt: str) -> str:
    """Eight digits that change with the credentials and cannot feasibly be turned back into them, as they are in a name."""
    return hashlib.scrypt(uri.encode(), salt=salt.encode(), n=2**12, r=8, p=1, dklen=4).hex()
