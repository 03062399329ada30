"""
Make a cluster's credentials: its authority, and a certificate for each who speaks in it.

The authority and the key that signs ServiceAccount tokens are made once and kept with the data, so
that a kubeconfig which somebody copied stays valid. All other certificates are made anew at each
start: they cost a millisecond, never expire in use and follow addresses that changed.

Identities are those of a real cluster (the kubelet is `system:node:NAME`, scheduler and controllers
have the names to which the API server binds their roles), each with a key of its own, and both ends
of every connection are verified. Files are 0600. The authority signs for this cluster only: nothing
of this machine trusts it.
"""

from __future__ import annotations

import base64
import ipaddress
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .addresses import LOOPBACK
from .layout import write_private

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from .layout import Layout

_AUTHORITY_LIFE = timedelta(days=3650)
_LIFE = timedelta(days=365)
"""Of what is renewed at each start."""

_BACKDATED = timedelta(hours=1)
"""Clocks of virtual machines jump."""

SERVICE_ADDRESS: Final = "10.96.0.1"
"""First of the Service range: the Service `kubernetes`."""

_SERVER_NAMES: Final = (
    LOOPBACK, SERVICE_ADDRESS, "localhost", "kubernetes", "kubernetes.default",
    "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a client is to the API server."""

    name: str
    """Of its files."""

    user: str

    groups: tuple[str, ...] = ()


ADMIN = Identity(name="admin", user="devcluster-admin", groups=("system:masters",))
CONTROLLER_MANAGER = Identity(name="kube-controller-manager", user="system:kube-controller-manager")
SCHEDULER = Identity(name="kube-scheduler", user="system:kube-scheduler")
GPU_DRIVER = Identity(name="gpu-driver", user="devcluster:gpu-driver")
PROVISIONER = Identity(name="provisioner", user="devcluster:provisioner")
NODES = Identity(name="nodes", user="devcluster:nodes")
API_SERVER = Identity(name="apiserver-kubelet-client", user="devcluster:kube-apiserver")
"""The API server towards the kubelet; its role is `system:kubelet-api-admin`."""


def kubelet(node: str) -> Identity:
    """Return the identity that the Node authorizer knows as *node*."""
    return Identity(name="kubelet", user=f"system:node:{node}", groups=("system:nodes",))


class Authority:
    """The cluster's certificate authority, and what it signs into a folder."""

    def __init__(self, folder: Path, *, now: datetime) -> None:
        """
        Open the authority of *folder*, or make one.

        Args:
            now: Aware; the validity of new certificates counts from it.
        """
        self._folder = folder
        self._now = now
        if not (folder / "ca.key").exists():
            self._make()
        key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            message = f"{folder / 'ca.key'} is not an elliptic-curve key of ours"
            raise TypeError(message)
        self._key = key
        self._certificate = x509.load_pem_x509_certificate(self.certificate.read_bytes())

    @property
    def certificate(self) -> Path:
        """What clients verify servers with, and servers clients."""
        return self._folder / "ca.crt"

    @property
    def service_account_key(self) -> Path:
        """Signs and verifies the tokens of ServiceAccounts."""
        return self._folder / "sa.key"

    def sign_client(self, identity: Identity) -> None:
        """Write NAME.crt and NAME.key of *identity*."""
        self._sign(
            identity.name,
            subject=_subject(identity.user, identity.groups),
            usage=ExtendedKeyUsageOID.CLIENT_AUTH,
        )

    def sign_server(self, name: str, *, names: Iterable[str] = _SERVER_NAMES) -> None:
        """Write NAME.crt and NAME.key of a server that answers to *names*."""
        self._sign(name, subject=_subject(name), usage=ExtendedKeyUsageOID.SERVER_AUTH, names=names)

    def kubeconfig(self, identity: Identity, *, server: str, namespace: str = "default") -> str:
        """Return a kubeconfig, complete in itself, with which a client is *identity*."""

        def data(path: Path) -> str:
            return base64.b64encode(path.read_bytes()).decode()

        user = {
            "client-certificate-data": data(self._folder / f"{identity.name}.crt"),
            "client-key-data": data(self._folder / f"{identity.name}.key"),
        }
        cluster = {"server": server, "certificate-authority-data": data(self.certificate)}
        context = {"cluster": "devcluster", "user": identity.user, "namespace": namespace}
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "devcluster", "cluster": cluster}],
                "users": [{"name": identity.user, "user": user}],
                "contexts": [{"name": "devcluster", "context": context}],
                "current-context": "devcluster",
            },
            indent=1,
        )

    def _make(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = _subject("devcluster")
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - _BACKDATED)
            .not_valid_after(self._now + _AUTHORITY_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(authority=True), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .sign(key, hashes.SHA256())
        )
        write_private(self.service_account_key, _pem(ec.generate_private_key(ec.SECP256R1())))
        write_private(self.certificate, certificate.public_bytes(serialization.Encoding.PEM))
        # Last: its presence says that the others are complete.
        write_private(self._folder / "ca.key", _pem(key))

    def _sign(
        self, name: str, *, subject: x509.Name, usage: x509.ObjectIdentifier,
        names: Iterable[str] = (),
    ) -> None:  # fmt: skip
        key = ec.generate_private_key(ec.SECP256R1())
        end = min(self._now + _LIFE, self._certificate.not_valid_after_utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - _BACKDATED)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        alternatives = [_alternative(name) for name in names]
        if alternatives:
            builder = builder.add_extension(
                x509.SubjectAlternativeName(alternatives), critical=False
            )
        certificate = builder.sign(self._key, hashes.SHA256())
        write_private(self._folder / f"{name}.key", _pem(key))
        write_private(
            self._folder / f"{name}.crt", certificate.public_bytes(serialization.Encoding.PEM)
        )


def provide(layout: Layout, *, node: str, server: str, now: datetime) -> Authority:
    """Write certificates for every program of the cluster, and kubeconfigs for its clients."""
    authority = Authority(layout.pki, now=now)
    authority.sign_server("kube-apiserver")
    authority.sign_server("kubelet-server", names=(LOOPBACK, "localhost", node))
    authority.sign_client(API_SERVER)
    clients = (
        ADMIN, CONTROLLER_MANAGER, SCHEDULER, kubelet(node), GPU_DRIVER, PROVISIONER, NODES,
    )  # fmt: skip
    for identity in clients:
        authority.sign_client(identity)
        write_private(
            layout.kubeconfig(identity.name), authority.kubeconfig(identity, server=server)
        )
    return authority


def _subject(user: str, groups: Iterable[str] = ()) -> x509.Name:
    """Return a name as Kubernetes reads it: the common name is the user, organizations groups."""
    return x509.Name(
        [
            *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups),
            x509.NameAttribute(NameOID.COMMON_NAME, user),
        ]
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,  # what Go reads for every purpose
        serialization.NoEncryption(),
    )
