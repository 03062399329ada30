"""Installed, upgraded, rolled back and uninstalled by Helm on Kubernetes' own API server, each by one command."""

import base64
import json

import pytest

from tests import patience

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
_SECONDS = 60
KEPT = ("hub.config.JupyterHub.cookie_secret", "hub.config.CryptKeeper.keys")


def images_of(objects):
    for each in objects:
        if each["kind"] == "Deployment":
            spec = each["spec"]["template"]["spec"]
            for container in spec["containers"] + spec.get("initContainers", []):
                yield container["image"]


def until(holds, otherwise):
    patience.eventually(holds, otherwise, seconds=_SECONDS)


@pytest.fixture
def installed(release, prepared, kubectl):
    """Have a Secret of the operator's own, the images allowed, and the small environment installed."""
    prepared.allow_images(*images_of(release.render("small")))
    literals = [f"--from-literal={name}={'ab' * 32}" for name in KEPT]
    kubectl("create", "secret", "generic", "eugo-hub", "-n", release.namespace, *literals)
    done = release.install("small")
    assert "WARNING" not in done.stderr.upper(), done.stderr
    return release


@pytest.fixture
def objects(kubectl, release):
    def found(kind):
        listed = kubectl("get", kind, "-n", release.namespace, "-o", "json").stdout
        return {each["metadata"]["name"]: each for each in json.loads(listed)["items"]}

    return found


def components(objects):
    return {each["metadata"]["labels"].get("component") for each in objects("pods").values()}


def troubles(objects):
    """Return why Pods are not made, as their ReplicaSets say it."""
    return [
        condition["message"]
        for each in objects("replicasets").values()
        for condition in each["status"].get("conditions", ())
    ]


def secret(objects, name="hub"):
    data = objects("secrets")[name]["data"]
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def test_its_pods_are_made_under_pod_security_restricted_and_our_policies(installed, objects):
    until(lambda: components(objects) >= {"hub", "proxy"}, lambda: troubles(objects))
    assert troubles(objects) == []
    (hub,) = [
        each
        for each in objects("pods").values()
        if each["metadata"]["labels"]["component"] == "hub"
    ]
    assert hub["spec"]["serviceAccountName"] == "hub"
    assert installed.revisions()[-1]["status"] == "deployed"


def test_an_image_that_is_not_on_the_list_is_refused_in_words(release, prepared, objects):
    prepared.allow_images(
        *(each for each in images_of(release.render("small")) if "hub" not in each)
    )
    release.install("small")
    until(lambda: troubles(objects), lambda: "no ReplicaSet says why")
    assert any("Not on the list of allowed images" in each for each in troubles(objects))


def test_an_upgrade_and_a_way_back_keep_tokens_cookies_and_data(installed, objects, tmp_path):
    before = secret(objects)
    volume = objects("pvc")["hub-db-dir"]["metadata"]["uid"]
    other = tmp_path / "own.yaml"
    other.write_text("hub: {extraEnv: {EUGO_LOG_FORMAT: text}}\n")
    installed.install("small", f"--values={other}")

    def log_format():
        (container,) = objects("deployments")["hub"]["spec"]["template"]["spec"]["containers"]
        return {each["name"]: each.get("value") for each in container["env"]}["EUGO_LOG_FORMAT"]

    assert log_format() == "text"
    same = [key for key in before if key not in {"values.yaml", "checksum_hook-image-puller"}]
    assert {key: secret(objects)[key] for key in same} == {key: before[key] for key in same}
    installed.helm("rollback", installed.name, f"--namespace={installed.namespace}")
    assert log_format() == "json"
    assert secret(objects) == before
    assert objects("pvc")["hub-db-dir"]["metadata"]["uid"] == volume
    assert [each["status"] for each in installed.revisions()] == [
        "superseded", "superseded", "deployed",
    ]  # fmt: skip


def test_growing_into_production_leaves_both_databases_of_the_small_one_where_they_are(
    installed, objects
):
    """Until somebody has moved them (docs/howto/backup.md), they are all there is."""
    before, volume = secret(objects, "eugo-hub"), objects("pvc")["hub-db-dir"]["metadata"]["uid"]
    tokens = secret(objects)
    done = installed.install("production")
    assert "WARNING" not in done.stderr.upper(), done.stderr
    assert objects("pvc")["hub-db-dir"]["metadata"]["uid"] == volume
    assert secret(objects, "eugo-hub") == before
    now = secret(objects)
    kept = [key for key in tokens if "token" in key or "secret" in key]
    assert kept
    assert {key: now[key] for key in kept} == {key: tokens[key] for key in kept}
    installed.helm("rollback", installed.name, f"--namespace={installed.namespace}")
    assert secret(objects) == tokens
    assert objects("pvc")["hub-db-dir"]["metadata"]["uid"] == volume


def test_taken_away_it_leaves_peoples_data_and_comes_back_to_it(installed, objects, prepared):
    home = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "home-alice", "namespace": installed.namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }  # fmt: skip
    prepared.hub.create(f"{prepared.path}/persistentvolumeclaims", home)
    kept = {name: each["metadata"]["uid"] for name, each in objects("pvc").items()}
    assert set(kept) == {"home-alice", "hub-db-dir"}
    cookies = secret(objects, "eugo-hub")
    installed.helm("uninstall", installed.name, f"--namespace={installed.namespace}")
    until(lambda: not objects("deployments"), lambda: objects("deployments"))
    assert {name: each["metadata"]["uid"] for name, each in objects("pvc").items()} == kept
    assert secret(objects, "eugo-hub") == cookies
    assert set(objects("serviceaccounts")) >= {"hub", "workspace"}
    installed.install("small")
    assert {name: each["metadata"]["uid"] for name, each in objects("pvc").items()} == kept
    (mount,) = [
        each
        for each in objects("deployments")["hub"]["spec"]["template"]["spec"]["volumes"]
        if each["name"] == "existing-secret"
    ]
    assert mount["secret"]["secretName"] == "eugo-hub"
