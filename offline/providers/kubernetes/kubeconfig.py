"""One context of a kubeconfig: where its API server is and how to log in to it.

Not read as ``components.kubeconfig`` does: to load that, and lightkube, takes longer than all else that a no-op loads.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import ssl
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

TIMEOUT = 60.0  # seconds for a credentials plugin


class KubeconfigError(Exception):
    """No usable kubeconfig: the cluster counts as unreachable, previews go on without it."""


class Kubeconfig:
    """One context of a kubeconfig.

    Args:
        source: path or content; None reads ``KUBECONFIG`` (its files merged) or ``~/.kube/config``.
        context: name of the context, else the current one.
        cluster: name of the cluster, else the context's.

    Raises:
        KubeconfigError: the text says what is wrong.
    """

    def __init__(self, source: str | Mapping[str, Any] | None, context: str = "", cluster: str = "") -> None:
        config, self._folder = (source, Path()) if isinstance(source, Mapping) else _load(source)
        clusters, contexts, users = (
            {entry["name"]: entry.get(key) or {} for entry in config.get(f"{key}s") or []}
            for key in ("cluster", "context", "user")
        )
        name = context or config.get("current-context") or ""
        if name not in contexts:
            raise KubeconfigError(
                f"context {name!r} does not exist"
                if name
                else "invalid configuration: no configuration has been provided"
            )
        chosen = contexts[name]
        self.namespace: str = chosen.get("namespace") or ""
        wanted = cluster or chosen.get("cluster", "")
        if wanted not in clusters:
            raise KubeconfigError(f"cluster {wanted!r} does not exist")
        self.cluster: Mapping[str, Any] = clusters[wanted]
        self._user: Mapping[str, Any] = users.get(chosen.get("user", ""), {})

    def ssl_context(self) -> ssl.SSLContext:
        ca, file = self.cluster.get("certificate-authority-data"), self.cluster.get("certificate-authority")
        if self.cluster.get("insecure-skip-tls-verify"):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        elif ca:
            context = ssl.create_default_context(cadata=base64.b64decode(ca).decode())
        else:
            context = ssl.create_default_context(cafile=self._folder / file if file else None)
        user = self._credentials
        pem = [base64.b64decode(user[k]) for k in ("client-certificate-data", "client-key-data") if user.get(k)]
        if len(pem) == 2:  # the ssl module takes files only
            with tempfile.NamedTemporaryFile() as f:
                f.write(b"\n".join(pem))
                f.flush()
                context.load_cert_chain(f.name)
        elif user.get("client-certificate"):
            context.load_cert_chain(self._folder / user["client-certificate"], self._folder / user["client-key"])
        return context

    def headers(self) -> dict[str, str]:
        token = self._credentials.get("token")
        if path := self._credentials.get("tokenFile"):
            token = (self._folder / path).read_text(encoding="utf-8").strip()
        return {"Authorization": f"Bearer {token}"} if token else {}

    @cached_property
    def _credentials(self) -> Mapping[str, Any]:
        """The user's entry, with what its credentials plugin says (``client.authentication.k8s.io``)."""
        plugin = self._user.get("exec")
        if plugin is None:
            return self._user
        info = {"apiVersion": plugin.get("apiVersion"), "kind": "ExecCredential", "spec": {"interactive": False}}
        given = {e["name"]: e["value"] for e in plugin.get("env") or []}
        command = [plugin["command"], *(plugin.get("args") or [])]
        environment = os.environ | given | {"KUBERNETES_EXEC_INFO": json.dumps(info)}
        try:
            run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT, env=environment)
            status = json.loads(run.stdout)["status"]
        except (OSError, subprocess.SubprocessError, ValueError, KeyError) as e:
            raise KubeconfigError(f"getting credentials: exec: {plugin.get('command')}: {e}") from e
        found = {"token": status.get("token")}
        for ours, theirs in (
            ("client-certificate-data", "clientCertificateData"),
            ("client-key-data", "clientKeyData"),
        ):
            if status.get(theirs):
                found[ours] = base64.b64encode(status[theirs].encode()).decode()
        return {**self._user, **{k: v for k, v in found.items() if v}}


def _load(source: str | None) -> tuple[Mapping[str, Any], Path]:
    """The configuration, and the folder that paths in it are relative to."""
    if source is None:
        named = [Path(p) for p in os.environ.get("KUBECONFIG", "").split(os.pathsep) if p]
        files = [p for p in named or [Path.home() / ".kube/config"] if p.is_file()]
        if not files:
            raise KubeconfigError("invalid configuration: no configuration has been provided")
        if len(files) > 1:
            from components.kubeconfig import merge  # imported late: it brings the whole SDK

            return merge(files), Path()
        source = str(files[0])
    text, folder = source, Path()
    with contextlib.suppress(OSError, ValueError):  # a whole document is not a path, and may be too long for one
        path = Path(source).expanduser()
        if path.is_file():
            text, folder = path.read_text(), path.parent
    try:
        config = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as e:
        raise KubeconfigError(f"couldn't get version/kind; yaml parse error: {e}") from e
    if not isinstance(config, Mapping):
        raise KubeconfigError(f"neither a file nor a kubeconfig: {text[:200]!r}")
    return config, folder
