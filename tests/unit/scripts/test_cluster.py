import base64
import json
import subprocess
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


PROGRAMS = images.Programs(venv=Path("/x/.venv"))


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
        images.EXPORTER,
        "",
    ]


def test_the_inventory_keeps_what_it_had_and_adds_the_images_that_can_run(catalog):
    default = {"nodes": [1], "images": {"sample": {}}}
    made = yaml.safe_load(images.inventory(default, catalog=catalog, programs=PROGRAMS))
    assert made["nodes"] == [1]
    lab, both = "registry.example/lab@sha256:aa", "registry.example/both:1"
    assert set(made["images"]) == {"sample", lab, both, images.EXPORTER}


def a_program(folder: Path, name: str) -> images.Programs:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("#!/bin/sh\n")
    (folder / name).chmod(0o755)
    return images.Programs(venv=Path("/x/.venv"), more=(folder,))


def test_without_code_server_vs_code_cannot_be_had_and_the_reason_names_the_command(catalog):
    said = images.unavailable(catalog, PROGRAMS)
    assert said["kinds"] == {
        "vscode": "VS Code is not installed here. Start the demo with scripts/demo --vscode, "
        "or choose JupyterLab."
    }
    assert set(said["images"]) == {"code"}  # the other runs JupyterLab, too


def test_with_code_server_everything_that_it_runs_can_be_had(catalog, tmp_path):
    programs = a_program(tmp_path / "more", "code-server")
    assert images.unavailable(catalog, programs) == {"kinds": {}, "images": {}}
    made = yaml.safe_load(images.inventory({"images": {}}, catalog=catalog, programs=programs))
    image = made["images"]["registry.example/code:1"]
    assert image["path"][-1] == str(tmp_path / "more")
    assert str(tmp_path / "more") in image["show"]


def test_a_framework_or_a_web_program_that_is_not_here_is_said_to_be_missing(tmp_path):
    path = tmp_path / "catalog.yaml"
    path.write_text(
        """
images:
  torch: {reference: "registry.example/torch:1", kinds: [jupyterlab], framework: PyTorch}
  web: {reference: "registry.example/web:1", kinds: [custom], web: {command: [app, "{port}"]}}
"""
    )
    assert images.unavailable(path, PROGRAMS)["images"] == {
        "torch": "The demo runs workspaces from its own Python environment, which has no PyTorch. "
        "Choose another image.",
        "web": "The demo has no program app. Choose another image.",
    }
    with_app = a_program(tmp_path / "more", "app")
    assert set(images.unavailable(path, with_app)["images"]) == {"torch"}


def test_an_image_shows_its_environment():
    image = images.environment_image(images.Programs(venv=Path("/home/me/x/.venv")))
    assert image["path"][-1] == "/home/me/x/.venv/bin"
    assert "/home/me/x/.venv" in image["show"]
    assert image["env"]["HOME"] == image["workingDir"] == "/home/user"


@pytest.mark.parametrize(
    ("arguments", "address"),
    [
        ([], "--ip=127.9.0.1"),
        (["--debug"], "--ip=127.9.0.1"),
        (["jupyterhub-singleuser", "--allow-root"], "--ip=127.9.0.1"),  # a root shell's
        (["jupyter-standaloneproxy", "--", "code-server"], "--address=127.9.0.1"),
    ],
)
def test_whatever_serves_in_an_image_keeps_to_the_pods_own_address(tmp_path, arguments, address):
    """One that bound all addresses would answer for every other Pod of the machine."""
    image = images.environment_image(images.Programs(venv=tmp_path))
    (tmp_path / "bin").mkdir()
    for name in ("python3", "jupyterhub-singleuser"):
        program = tmp_path / "bin" / name
        program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
        program.chmod(0o755)
    environment = {"PATH": ":".join([*image["path"], "/usr/bin", "/bin"]), "POD_IP": "127.9.0.1"}
    said = subprocess.run(
        [*image["command"], *arguments], env=environment, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    own = [each for each in arguments if each.startswith("--")]
    assert [each for each in said if each in {address, *own}] == [address, *own]


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
