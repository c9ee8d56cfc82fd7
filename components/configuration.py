"""What a module's pods are started with: Secrets made of credentials, ConfigMaps made of files, environment variables.

Both kinds of object have a name that changes with their content, in Pulumi's state too: pods keep what they were started with
until others have taken over, and a Deployment depends on the very objects it uses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from settings import File, MadeSecret, Variable

from .names import NAME, digest
from .scope import Scope


class Configuration:
    """The Secrets and ConfigMaps of one module.

    Args:
        module: name.
        parent: of what is declared.
        scope: where it is declared.
    """

    def __init__(self, module: str, parent: pulumi.Resource, scope: Scope) -> None:
        self._module = module
        self._parent = parent
        self._scope = scope
        self._secrets: dict[MadeSecret, k8s.core.v1.Secret] = {}

    def secrets(
        self, variables: Iterable[Variable], depends_on: Sequence[pulumi.Resource] = ()
    ) -> list[pulumi.Resource]:
        """Declares the Secrets that variables take their values from, those that are not there yet behind ``depends_on``."""
        made = [v.secret.secret for v in variables if v.secret and isinstance(v.secret.secret, MadeSecret)]
        return [self._secret(secret, depends_on) for secret in dict.fromkeys(made)]

    def _secret(self, secret: MadeSecret, depends_on: Sequence[pulumi.Resource]) -> k8s.core.v1.Secret:
        if secret not in self._secrets:
            name = self._name(secret)
            self._secrets[secret] = k8s.core.v1.Secret(
                name,
                metadata=self._scope.metadata(name, {NAME: self._module}),
                immutable=True,
                string_data={k: pulumi.Output.secret(v.get_secret_value()) for k, v in secret.data},
                opts=self._scope.mounted(self._parent, depends_on),
            )
        return self._secrets[secret]

    def _name(self, secret: MadeSecret) -> str:
        content = "\0".join(f"{k}\0{v.get_secret_value()}" for k, v in secret.data)
        return f"{self._module}-{secret.what}-{fingerprint(content, self._scope.owner.label)}"

    def file(self, file: File, depends_on: Sequence[pulumi.Resource]) -> tuple[str, pulumi.Resource]:
        """Declares the ConfigMap of a file.

        Returns:
            Its name and what a pod that mounts it depends on.
        """
        data = {file.name: file.content}
        name = f"{self._module}-{file.folder.strip('/').replace('/', '-')}-{digest(data)}"
        made = k8s.core.v1.ConfigMap(
            name,
            metadata=self._scope.metadata(name, {NAME: self._module}),
            immutable=True,
            data=data,
            opts=self._scope.mounted(self._parent, depends_on),
        )
        return name, made

    def entries(self, variables: Iterable[Variable]) -> list[dict[str, Any]]:
        """Environment variables as Kubernetes has them."""
        return [self._entry(v) for v in variables]

    def _entry(self, variable: Variable) -> dict[str, Any]:
        if variable.secret:
            made = variable.secret.secret
            name = self._name(made) if isinstance(made, MadeSecret) else made
            return {
                "name": variable.name,
                "valueFrom": {"secretKeyRef": {"name": name, "key": variable.secret.key}},
            }
        if variable.field:
            return {"name": variable.name, "valueFrom": {"fieldRef": {"fieldPath": variable.field}}}
        return {"name": variable.name, "value": variable.value or ""}


def references(variables: Iterable[Variable]) -> set[str]:
    """The Secrets that variables refer to and that the stack does not make."""
    return {v.secret.secret for v in variables if v.secret and isinstance(v.secret.secret, str)}


@lru_cache(maxsize=4096)
def fingerprint(content: str, salt: str) -> str:
    """Eight digits that change with the credentials and cannot feasibly be turned back into them, as they are in a name."""
    return hashlib.scrypt(content.encode(), salt=salt.encode(), n=2**12, r=8, p=1, dklen=4).hex()
