"""Certificates say who is who, are made once, and their keys are nobody else's to read."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from devkit.cluster import pki


def test_client_certificate_carries_user_and_groups(tmp_path: Path) -> None:
    pair = pki.Authority(tmp_path, "test").client("admin", "ada", "system:masters")
    subject = x509.load_pem_x509_certificate(pair.certificate.read_bytes()).subject
    assert subject.rfc4514_string() == "CN=ada,O=system:masters"
    assert pair.key.stat().st_mode & 0o777 == 0o600


def test_second_run_finds_what_the_first_made(tmp_path: Path) -> None:
    first = pki.Authority(tmp_path, "test").server("server", "server", "127.0.0.1")
    content = (first.certificate.read_bytes(), first.key.read_bytes())
    second = pki.Authority(tmp_path, "test").server("server", "server", "127.0.0.1")
    assert (second.certificate.read_bytes(), second.key.read_bytes()) == content


def test_pair_whose_making_was_interrupted_is_made_again(tmp_path: Path) -> None:
    pair = pki.Authority(tmp_path, "test").client("admin", "ada")
    pair.certificate.unlink()
    assert pki.Authority(tmp_path, "test").client("admin", "ada").exists()


@pytest.mark.parametrize(("host", "believed"), [("127.0.0.1", True), ("localhost", True), ("other", False)])
def test_server_is_believed_for_its_names_and_addresses_only(tmp_path: Path, host: str, believed: bool) -> None:
    authority = pki.Authority(tmp_path, "test")
    pair = authority.server("server", "server", "localhost", "127.0.0.1")
    assert _handshake(authority.pair.certificate, pair, host) is believed


def test_server_of_another_authority_is_not_believed(tmp_path: Path) -> None:
    pair = pki.Authority(tmp_path / "one", "one").server("server", "server", "localhost")
    other = pki.Authority(tmp_path / "two", "two").pair.certificate
    assert not _handshake(other, pair, "localhost")


def test_kubeconfig_holds_everything_itself(tmp_path: Path) -> None:
    authority = pki.Authority(tmp_path, "test")
    pki.kubeconfig(tmp_path / "config", "devkit", "https://x:1", authority.pair, authority.client("a", "ada"))
    value = yaml.safe_load((tmp_path / "config").read_text(encoding="utf-8"))
    assert value["current-context"] == "devkit"
    assert (tmp_path / "config").stat().st_mode & 0o777 == 0o600
    assert str(tmp_path) not in (tmp_path / "config").read_text(encoding="utf-8")


def _handshake(authority: Path, pair: pki.Pair, host: str) -> bool:
    """One TLS handshake in memory."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(pair.certificate, pair.key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = serving.wrap_bio(to_server, to_client, server_side=True)
    client = ssl.create_default_context(cafile=str(authority)).wrap_bio(to_client, to_server, server_hostname=host)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return False
    return client.version() is not None
