"""Just enough of a Kubernetes API client to bring the cluster up and to see how it is."""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path
from typing import Any

from devkit.cluster import config
from devkit.cluster.pki import Pair

#: Unreachable, refusing, or answering with an error.
Error = OSError


class Api:
    """The API server, as one user.

    Args:
        authority: who signed its certificate.
        client: the user's certificate.
        timeout: seconds for a whole call.
    """

    def __init__(self, authority: Path, client: Pair, timeout: float = 5.0) -> None:
        self._tls = ssl.create_default_context(cafile=str(authority))
        self._tls.load_cert_chain(client.certificate, client.key)
        self._timeout = timeout

    def ok(self, path: str) -> bool:
        """Whether a GET of this path succeeds."""
        try:
            self._call("GET", path)
        except Error:
            return False
        return True

    def get(self, path: str) -> Any:
        """GET an object.

        Raises:
            OSError: unreachable, or a status other than 2xx.
        """
        return json.loads(self._call("GET", path))

    def apply(self, path: str, value: dict[str, Any]) -> None:
        """Server-side apply an object.

        Raises:
            OSError: unreachable, or a status other than 2xx.
        """
        self._call("PATCH", f"{path}?fieldManager=devkit-cluster&force=true", json.dumps(value))

    def _call(self, method: str, path: str, body: str | None = None) -> bytes:
        connection = http.client.HTTPSConnection(
            config.ADDRESS, config.APISERVER_PORT, timeout=self._timeout, context=self._tls
        )
        try:
            headers = {"Content-Type": "application/apply-patch+yaml"} if body else {}
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            content = response.read()
        except http.client.HTTPException as error:
            raise Error(f"{method} {path}: {error!r}") from error
        finally:
            connection.close()
        if not 200 <= response.status < 300:
            raise Error(f"{method} {path}: {response.status} {content.decode(errors='replace')[:300]}")
        return content


def http_ok(port: int, path: str, tls: ssl.SSLContext | None = None) -> bool:
    """Whether a GET on the loopback interface answers 200.

    Raises:
        OSError: nobody answers.
    """
    connection = (
        http.client.HTTPSConnection("127.0.0.1", port, timeout=3, context=tls)
        if tls
        else http.client.HTTPConnection("127.0.0.1", port, timeout=3)
    )
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
    except http.client.HTTPException as error:
        raise Error(f"GET {path}: {error!r}") from error
    finally:
        connection.close()
    return response.status == 200
