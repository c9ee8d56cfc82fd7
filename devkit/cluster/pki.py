"""Certificates and kubeconfigs of the devkit's cluster.

Three authorities, because each is believed for one thing only: ``kubernetes`` (the API server's clients and
servers), ``etcd`` (only the API server may read the database behind it), ``postgres`` (handed to applications).
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from devkit.cluster import files

LIFETIME = datetime.timedelta(days=3650)


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, as files in PEM."""

    certificate: Path
    key: Path

    def exists(self) -> bool:
        """Whether both files are there."""
        return self.certificate.exists() and self.key.exists()


class Authority:
    """A certificate authority in a directory; made on first use, found there on the next.

    Args:
        directory: holds all pairs of this authority.
        name: its common name.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self.pair = Pair(directory / "ca.crt", directory / "ca.key")
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        if self.pair.exists():
            self._key = _load_key(self.pair.key)
            self._certificate = x509.load_pem_x509_certificate(self.pair.certificate.read_bytes())
            return
        self._key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(subject, subject, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(sign_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
        )
        self._certificate = builder.sign(self._key, hashes.SHA256())
        _save(self.pair, self._certificate, self._key)

    def client(self, file: str, name: str, *groups: str) -> Pair:
        """A client's certificate: Kubernetes reads user ``name`` and ``groups`` from it."""
        return self._issue(file, name, groups, (), (ExtendedKeyUsageOID.CLIENT_AUTH,))

    def server(self, file: str, name: str, *hosts: str, groups: tuple[str, ...] = ()) -> Pair:
        """A server's certificate for host names and addresses; it is good for a client as well, as etcd's peers need."""
        usages = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
        return self._issue(file, name, groups, hosts, usages)

    def _issue(
        self,
        file: str,
        name: str,
        groups: tuple[str, ...],
        hosts: tuple[str, ...],
        usages: tuple[x509.ObjectIdentifier, ...],
    ) -> Pair:
        pair = Pair(self._directory / f"{file}.crt", self._directory / f"{file}.key")
        if pair.exists():
            return pair
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        subject = x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = (
            _builder(subject, self._certificate.subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(sign_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(issuer_key, critical=False)
        )
        if hosts:
            names = x509.SubjectAlternativeName([_host(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        _save(pair, builder.sign(self._key, hashes.SHA256()), key)
        return pair


def signing_key(directory: Path, file: str) -> Pair:
    """A bare key pair, with which the API server signs and checks service account tokens."""
    pair = Pair(directory / f"{file}.pub", directory / f"{file}.key")
    if not pair.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        files.write(pair.key, _pem(key), 0o600)
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        files.write(pair.certificate, public)
    return pair


def kubeconfig(path: Path, context: str, server: str, authority: Pair, client: Pair) -> None:
    """Write a kubeconfig that holds everything itself, so that it can be copied.

    Args:
        path: where to; readable by its owner only.
        context: name of its one context, cluster and user.
        server: the API server's URL.
        authority: who signed the API server's certificate.
        client: the user's certificate.
    """

    def embedded(file: Path) -> str:
        return base64.b64encode(file.read_bytes()).decode()

    value = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": context,
                "cluster": {"server": server, "certificate-authority-data": embedded(authority.certificate)},
            }
        ],
        "users": [
            {
                "name": context,
                "user": {
                    "client-certificate-data": embedded(client.certificate),
                    "client-key-data": embedded(client.key),
                },
            }
        ],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
        "current-context": context,
    }
    files.write_json(path, value, 0o600)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        # An hour back: the clock of a fresh machine may still be set back a little.
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + LIFETIME)
    )


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{path} holds no elliptic curve key")
    return key


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    # SEC1 ("EC PRIVATE KEY") and not PKCS#8: the form that every Kubernetes component reads for signing.
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _save(pair: Pair, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    # The key first: a pair is complete when the certificate is there.
    files.write(pair.key, _pem(key), 0o600)
    files.write(pair.certificate, certificate.public_bytes(serialization.Encoding.PEM))
