"""Certificates say who somebody is, for this cluster and for a time."""

from __future__ import annotations

import json
import ssl
import stat
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from devcluster import credentials
from devcluster.layout import Layout

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 24, tzinfo=UTC)
SERVER = "https://127.0.0.1:1"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(root=tmp_path)
    made.pki.mkdir()
    return made


def provide(layout: Layout, *, now: datetime = NOW) -> credentials.Authority:
    return credentials.provide(layout, node="n", server=SERVER, now=now)


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_the_kubelet_is_its_node_and_one_of_the_nodes(layout: Layout) -> None:
    provide(layout)
    subject = certificate(layout.pki / "kubelet.crt").subject.rfc4514_string()
    assert subject == "CN=system:node:n,O=system:nodes"


def test_a_client_may_not_serve_and_a_server_may_not_ask(layout: Layout) -> None:
    provide(layout)
    for name, usage in (
        ("admin", ExtendedKeyUsageOID.CLIENT_AUTH),
        ("kube-apiserver", ExtendedKeyUsageOID.SERVER_AUTH),
    ):
        extensions = certificate(layout.pki / f"{name}.crt").extensions
        assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [usage]


def test_the_authority_stays_and_the_others_are_renewed(layout: Layout) -> None:
    provide(layout)
    before = {path.name: path.read_bytes() for path in layout.pki.iterdir()}
    provide(layout, now=NOW + timedelta(days=400))
    after = {path.name: path.read_bytes() for path in layout.pki.iterdir()}
    same = {name for name in before if before[name] == after[name]}
    assert same == {"ca.crt", "ca.key", "sa.key"}
    renewed = certificate(layout.pki / "admin.crt").not_valid_after_utc
    assert renewed > NOW + timedelta(days=700)


def test_all_files_are_for_their_owner(layout: Layout) -> None:
    provide(layout)
    assert {stat.S_IMODE(path.stat().st_mode) for path in layout.pki.iterdir()} == {0o600}


def test_a_kubeconfig_needs_no_other_file(layout: Layout) -> None:
    authority = provide(layout)
    content = json.loads(authority.kubeconfig(credentials.ADMIN, server=SERVER))
    assert content["clusters"][0]["cluster"]["server"] == SERVER
    assert set(content["users"][0]["user"]) == {"client-certificate-data", "client-key-data"}


def test_openssl_accepts_what_was_made(layout: Layout) -> None:
    provide(layout)
    context = ssl.create_default_context(cafile=layout.pki / "ca.crt")
    context.load_cert_chain(layout.pki / "admin.crt", layout.pki / "admin.key")
    assert context.cert_store_stats()["x509_ca"] == 1
