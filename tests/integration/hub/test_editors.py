"""
The kinds of workspaces (F4, F8, F10, F46): JupyterLab, VS Code, and the web program of an image.

Hub, proxy, cluster and jupyter-server-proxy are real. For code-server and streamlit stand programs
that listen where their arguments say and show the files of the home; the real code-server is
tried by `test_vscode.py`, which the nightly run has.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest

from tests.integration.hub.hubs import PYTORCH

pytestmark = pytest.mark.cluster


def fetch(hub, user: str, path: str, *, body: bytes | None = None, token: str = "") -> bytes:
    """Ask the workspace's own program through the hub's proxy."""
    ready = hub.demo.ready
    request = urllib.request.Request(  # noqa: S310 - loopback
        f"{ready['url']}/user/{user}/{path}",
        data=body,
        headers={"Authorization": f"token {token or ready['admin_token']}"},
        method="GET" if body is None else "PUT",
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        return answer.read()


def test_a_file_is_there_after_switching_the_editor_and_back(hub, user):
    """F8: both mount the same home."""
    hub.start(user, profile="code", kind="jupyterlab")
    hub.until_ready(user)
    hub.run_inside(user, "sh", "-c", "echo 'from Lab' > $HOME/note.txt")
    hub.stop(user)
    hub.until(lambda: not hub.objects("pods", user), "the Pod stays")

    assert hub.start(user, profile="code").status in {201, 202}  # its first editor is VS Code
    hub.until_ready(user)
    asked = json.loads(fetch(hub, user, ""))
    assert asked["program"] == "code-server"
    assert asked["arguments"][-1] == "/home/user"
    assert "--auth=none" in asked["arguments"]
    assert fetch(hub, user, "note.txt") == b"from Lab\n"
    fetch(hub, user, "note.txt", body=b"from VS Code\n")
    hub.stop(user)
    hub.until(lambda: not hub.objects("pods", user), "the Pod stays")

    hub.start(user, profile="code", kind="jupyterlab")
    hub.until_ready(user)
    assert hub.run_inside(user, "cat", "/home/user/note.txt") == "from VS Code\n"


def test_vs_code_listens_on_no_port_and_asks_the_hub_who_is_there(hub, user):
    """Pods of the embedded cluster share addresses: whoever reached a port would be let in."""
    hub.start(user, profile="code")
    hub.until_ready(user)
    arguments = json.loads(fetch(hub, user, ""))["arguments"]
    assert any(word.startswith("--socket=/") for word in arguments)
    assert not any("port" in word or "bind-addr" in word for word in arguments)
    stranger = hub.new_user()
    token = hub.ask("POST", f"/users/{stranger}/tokens", {}).body["token"]
    with pytest.raises(urllib.error.HTTPError) as refused:
        fetch(hub, user, "", token=token)
    assert refused.value.code == 403
    refused.value.close()


def test_a_custom_image_serves_its_web_program(hub, user):
    hub.start(user, profile="dashboard")
    hub.until_ready(user)
    asked = json.loads(fetch(hub, user, "some/page?x=1"))
    assert asked["program"] == "streamlit"
    assert asked["path"] == "/some/page?x=1"
    assert asked["arguments"][:2] == ["run", "dashboard.py"]


def test_the_framework_is_recorded_in_the_home_and_used_again(hub, user):
    hub.start(user, profile="notebook-cpu-small", image=PYTORCH)
    hub.until_ready(user)
    (pod,) = hub.objects("pods", user)
    assert pod["spec"]["containers"][0]["image"] == PYTORCH
    record = "/home/user/.eugo/frameworks/_default"
    assert hub.run_inside(user, "cat", record) == "PyTorch\n"
    hub.stop(user)
    hub.until(lambda: not hub.objects("pods", user), "the Pod stays")
    # As the start button of the home page does: with the options of last time.
    assert hub.ask("POST", f"/users/{user}/server").status in {201, 202}
    hub.until_ready(user)
    (pod,) = hub.objects("pods", user)
    assert pod["spec"]["containers"][0]["image"] == PYTORCH
    assert hub.run_inside(user, "cat", record) == "PyTorch\n"
