"""`kubectl apply -k helm-values/base`: clean, repeatable, and the policies compile without warning."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
import yaml

from tests.integration.base.overlay import BASE, base_overlay, reader_binding
from tests.integration.base.prepared import prepare, remove, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.base.caller import Caller
    from tests.integration.base.prepared import Kubectl, Prepared

pytestmark = pytest.mark.cluster

POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"


def ours() -> tuple[str, ...]:
    """Return the names of the base's policies."""
    files = sorted((BASE / "policies").glob("*.yaml"))
    return tuple(next(yaml.safe_load_all(file.read_text()))["metadata"]["name"] for file in files)


def test_applying_twice_changes_nothing_and_warns_of_nothing(
    own_base: Prepared, kubectl: Kubectl, tmp_path: Path
) -> None:
    again = kubectl("apply", "-k", str(tmp_path / own_base.namespace))
    assert [line for line in again.stdout.splitlines() if not line.endswith(" unchanged")] == []
    assert again.stderr == ""


def test_the_first_apply_warns_of_nothing(kubectl: Kubectl, admin: Caller, tmp_path: Path) -> None:
    name = f"eugo-{uuid4().hex[:8]}"
    first = kubectl("apply", "-k", str(base_overlay(tmp_path, name)))
    admin.delete(f"/api/v1/namespaces/{name}")
    admin.delete(f"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{reader_binding(name)}")
    assert f"namespace/{name} created" in first.stdout
    assert first.stderr == ""


def test_applying_again_keeps_the_admins_list_of_images(
    own_base: Prepared, kubectl: Kubectl, tmp_path: Path
) -> None:
    before = own_base.admin.get(f"{own_base.path}/configmaps/eugo-images").body["data"]
    kubectl("apply", "-k", str(tmp_path / own_base.namespace))
    after = own_base.admin.get(f"{own_base.path}/configmaps/eugo-images").body["data"]
    assert before == after != {}


def test_the_admins_way_to_write_the_list_works(
    own_base: Prepared, kubectl: Kubectl, tmp_path: Path
) -> None:
    """The command of the how-to, as it stands there."""
    images = tmp_path / "images.txt"
    images.write_text("registry.example/eugo/exact:1\n")
    manifest = tmp_path / "images.yaml"
    made = kubectl(
        "create", "configmap", "eugo-images", "--namespace", own_base.namespace,
        f"--from-file=images={images}", "--dry-run=client", "--output=yaml",
    )  # fmt: skip
    manifest.write_text(made.stdout)
    own_base.admin.delete(f"{own_base.path}/configmaps/eugo-images")
    kubectl("apply", "-f", str(manifest))
    read = own_base.admin.get(f"{own_base.path}/configmaps/eugo-images").body["data"]
    assert read == {"images": "registry.example/eugo/exact:1\n"}


def test_the_api_server_knows_every_field(
    own_base: Prepared, kubectl: Kubectl, tmp_path: Path
) -> None:
    """Unknown fields are errors here, where kubectl only warns."""
    folder = str(tmp_path / own_base.namespace)
    assert kubectl("apply", "-k", folder, "--dry-run=server", "--validate=strict").stderr == ""


@pytest.mark.parametrize("policy", ours())
def test_the_type_checker_has_no_warning(base: Prepared, policy: str) -> None:
    def checked() -> bool:
        body = base.admin.get(f"{POLICIES}/{policy}").body
        status = body.get("status", {})
        return bool(
            status.get("observedGeneration") == body["metadata"]["generation"]
            and "typeChecking" in status
        )

    until(checked, f"{policy} was not type-checked")
    status = base.admin.get(f"{POLICIES}/{policy}").body["status"]
    assert status["typeChecking"].get("expressionWarnings", []) == []


@pytest.mark.parametrize("policy", ours())
def test_every_policy_is_bound_by_the_namespace_alone_and_denies(
    base: Prepared, policy: str
) -> None:
    """An objectSelector could be escaped by leaving a label off."""
    spec = base.admin.get(f"{POLICIES}/{policy}").body["spec"]
    bindings = [
        each["spec"]
        for each in base.admin.get(BINDINGS).body["items"]
        if each["spec"]["policyName"] == policy
    ]
    assert spec["failurePolicy"] == "Fail"
    assert len(bindings) == 1
    assert "Deny" in bindings[0]["validationActions"]
    selectors = bindings[0]["matchResources"]
    assert selectors["namespaceSelector"] == {"matchLabels": {"eugo.dev/policy": "enforce"}}
    for where in (selectors, spec["matchConstraints"]):
        assert not where.get("objectSelector")


def test_namespaces_stand_side_by_side_and_removing_one_leaves_the_other(
    base: Prepared, kubectl: Kubectl, tmp_path: Path
) -> None:
    other = prepare(f"eugo-{uuid4().hex[:8]}", folder=tmp_path, kubectl=kubectl, admin=base.admin)
    nodes = "/api/v1/nodes"
    assert base.hub.get(nodes).status == other.hub.get(nodes).status == HTTPStatus.OK
    remove(other)
    assert base.hub.get(nodes).status == HTTPStatus.OK
