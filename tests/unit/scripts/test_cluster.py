import base64
import json
from pathlib import Path

import pytest
import yaml

from scripts.local import cluster, images

CATALOG = """
images:
  lab: {reference: "registry.example/lab@sha256:aa", kinds: [jupyterlab]}
  code: {reference: "registry.example/code:1", kinds: [vscode]}
  both: {reference: "registry.example/both:1", kinds: [vscode, jupyterlab]}
"""


@pytest.fixture
def catalog(tmp_path):
    path = tmp_path / "catalog.yaml"
    path.write_text(CATALOG)
    return path


def an_admin(**cluster_values) -> dict:
    return {
        "current-context": "used",
        "clusters": [
            {"name": "other", "cluster": {"server": "https://192.0.2.1"}},
            {"name": "mine", "cluster": {"server": "https://127.0.0.1:6443"} | cluster_values},
        ],
        "contexts": [
            {"name": "other", "context": {"cluster": "other", "user": "root"}},
            {"name": "used", "context": {"cluster": "mine", "user": "root"}},
        ],
        "users": [
            {"name": "root", "user": {"token": "the admin's", "client-key-data": "c2VjcmV0"}}
        ],
    }


def test_the_hub_gets_its_own_token_and_nothing_of_the_admin():
    made = cluster.as_hub(an_admin(), token="the hub's", folder=Path("/"))
    text = json.dumps(made)
    assert made["users"] == [{"name": "hub", "user": {"token": "the hub's"}}]
    assert "the admin's" not in text
    assert "c2VjcmV0" not in text
    assert "192.0.2.1" not in text


def test_the_hub_talks_to_the_cluster_of_the_current_context_in_its_namespace():
    made = cluster.as_hub(an_admin(), token="t", folder=Path("/"))
    assert made["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:6443"
    assert made["contexts"][0]["context"]["namespace"] == "eugo"


def test_an_authority_in_a_file_travels_inside(tmp_path):
    (tmp_path / "ca.crt").write_bytes(b"PEM")
    admin = an_admin(**{"certificate-authority": "ca.crt"})
    hub = cluster.as_hub(admin, token="t", folder=tmp_path)["clusters"][0]["cluster"]
    assert base64.b64decode(hub["certificate-authority-data"]) == b"PEM"
    assert "certificate-authority" not in hub


def test_the_image_list_holds_every_reference_to_the_letter(catalog):
    assert cluster.image_list(catalog)["data"]["images"].split("\n") == [
        "registry.example/lab@sha256:aa",
        "registry.example/code:1",
        "registry.example/both:1",
        "",
    ]


def test_the_inventory_keeps_what_it_had_and_adds_the_images_that_can_run(catalog):
    default = {"nodes": [1], "images": {"sample": {}}}
    made = yaml.safe_load(images.inventory(default, catalog=catalog, venv=Path("/x/.venv")))
    assert made["nodes"] == [1]
    lab, both = "registry.example/lab@sha256:aa", "registry.example/both:1"
    assert set(made["images"]) == {"sample", lab, both}


def test_an_image_serves_on_the_pods_own_address_and_shows_its_environment():
    image = images.environment_image(Path("/home/me/x/.venv"))
    assert '--ip="$POD_IP"' in image["command"][2]
    assert image["path"] == ["/home/me/x/.venv/bin"]
    assert "/home/me/x/.venv" in image["show"]
    assert image["env"]["HOME"] == image["workingDir"] == "/home/user"


def test_folders_through_which_the_interpreters_links_lead_are_shown_too(tmp_path):
    venv, links, python = (
        tmp_path / ".venv",
        tmp_path / "links",
        tmp_path / "opt" / "bin" / "python3",
    )
    for folder in (venv / "bin", links, python.parent):
        folder.mkdir(parents=True)
    python.touch()
    (links / "python3").symlink_to("../opt/bin/python3")
    (venv / "bin" / "python3").symlink_to(links / "python3")
    (venv / "bin" / "python").symlink_to("python3")
    shown = images.environment_folders(venv)
    assert {venv, links} <= set(shown)
    assert any(python.resolve().is_relative_to(folder.resolve()) for folder in shown)
    assert venv / "bin" not in shown  # it is inside another


def test_links_in_a_circle_end(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to("python")
    assert tmp_path in images.environment_folders(tmp_path)


def test_the_users_own_kubectl_serves_the_users_own_cluster(tmp_path, monkeypatch):
    (tmp_path / "kubectl").write_text("#!/bin/sh\n")
    (tmp_path / "kubectl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cluster.kubectl_command(embedded=False) == [str(tmp_path / "kubectl")]
    assert cluster.kubectl_command(embedded=True)[1:] == ["-m", "devcluster", "kubectl"]


async def test_a_refusal_of_the_cluster_is_told_in_its_own_words(tmp_path, monkeypatch, catalog):
    (tmp_path / "kubectl").write_text("#!/bin/sh\necho 'Forbidden: no' >&2; exit 1\n")
    (tmp_path / "kubectl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    admin = cluster.Admin(tmp_path / "kubeconfig", embedded=False)
    with pytest.raises(cluster.Trouble, match=r"kubectl apply -k .*failed: Forbidden: no"):
        await admin.prepare(base=tmp_path, catalog=catalog)
