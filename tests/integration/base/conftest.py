"""Namespaces under the base: a strict one shared by the run, and one with Pod Security switched off."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.integration.base.caller import Caller
from tests.integration.base.judged import assert_admitted
from tests.integration.base.prepared import Prepared, prepare, put_in_force, remove

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.base.prepared import Kubectl


@pytest.fixture(scope="session")
def admin(kubeconfig: Path) -> Iterator[Caller]:
    caller = Caller.from_kubeconfig(kubeconfig)
    yield caller
    caller.close()


@pytest.fixture(scope="session")
def base(
    kubectl: Kubectl, admin: Caller, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prepared]:
    """A namespace as the admin's `kubectl apply -k` leaves it; its image list stays as it is."""
    prepared = prepare(
        f"eugo-{uuid4().hex[:8]}",
        folder=tmp_path_factory.mktemp("overlay"),
        kubectl=kubectl,
        admin=admin,
    )
    yield prepared
    remove(prepared)


@pytest.fixture
def own_base(kubectl: Kubectl, admin: Caller, tmp_path: Path) -> Iterator[Prepared]:
    """A namespace like `base` whose objects the test may change."""
    prepared = prepare(f"eugo-{uuid4().hex[:8]}", folder=tmp_path, kubectl=kubectl, admin=admin)
    yield prepared
    remove(prepared)


@pytest.fixture(scope="session")
def relaxed(base: Prepared) -> Iterator[Prepared]:
    """
    A namespace under the policies alone: Pod Security is switched off, the admin asks.

    What the policies refuse must not hang on the Pod Security labels; see the policies' comments.
    """
    name = f"{base.namespace}-relaxed"
    labels = {
        "eugo.dev/policy": "enforce",
        "pod-security.kubernetes.io/enforce": "privileged",
    }
    admin = base.admin
    assert_admitted(
        admin.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
    )
    prepared = Prepared(namespace=name, admin=admin, hub=admin)
    admin.create(f"{prepared.path}/serviceaccounts", {"metadata": {"name": "workspace"}})
    put_in_force(prepared)
    yield prepared
    admin.delete(f"/api/v1/namespaces/{name}")
