"""Files leave with their owner, by a link that is theirs alone for an hour (F85, L8)."""

import contextlib
import hashlib
import http.client
import io
import json
import os
import re
import sqlite3
import time
import urllib.error
import urllib.request
import zipfile
from datetime import timedelta

import pytest

from eugospawner.policy.errors import ClusterError
from eugospawner.policy.lifecycle import Operation, State
from eugospawner.policy.volumes import HOME
from eugospawner.store.workspaces import NewWorkspace
from hub_services.export import service as sweeping
from hub_services.export.exporter.render import CHROMIUM, find_chromium
from hub_services.export.links import exporter_token
from hub_services.export.manifest import Attached
from hub_services.export.office import MOST

NOTEBOOK = b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
HOUR = timedelta(hours=1)


def ask(service, method, path, body=None, *, token="t-alice", status=200):  # noqa: S107
    answer = service.ask(method, path, body, token=token)
    assert answer.status == status, (answer.status, answer.text)
    return answer.body


def create(service, token="t-alice", **words):  # noqa: S107
    """Have an export made, and prepared."""
    made = ask(service, "POST", "/exports", {"server": "lab", **words}, token=token)
    assert (made["standing"], made["link"]) == ("preparing", None)
    service.sweep()
    return ask(service, "GET", f"/exports/{made['id']}", token=token)


@contextlib.contextmanager
def began(service, link, token="t-alice"):  # noqa: S107
    """Give the answer to a request for *link*, of which nothing was read."""
    request = urllib.request.Request(f"{service.url}{link}")  # noqa: S310 - loopback
    request.add_header("Authorization", f"token {token}")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        answer = opener.open(request, timeout=60)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        yield answer


def fetch(service, link, token="t-alice"):  # noqa: S107
    """Return status, headers and content of what is at *link*."""
    with began(service, link, token) as answer:
        return answer.status, answer.headers, answer.read()


def is_cut_off(answer):
    """Whether the rest of *answer* says that it is not all."""
    try:
        answer.read()
    except (http.client.IncompleteRead, ConnectionError):
        return True
    return False


def unpacked(content):
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        assert opened.testzip() is None
        return {name: opened.read(name) for name in opened.namelist()}


def audited(service, owner="alice"):
    lines = service.run(service.store.audit.lines(about=f"workspace.{owner}/lab"))
    return [(each.actor, each.action) for each in reversed(lines) if "export" in each.detail]


@pytest.fixture
def home(service):
    made = service.has_workspace("alice")
    (made / "thesis").mkdir()
    (made / "thesis" / "a.ipynb").write_bytes(NOTEBOOK)
    (made / "thesis" / "data.csv").write_text("1,2\n")
    (made / "b.ipynb").write_bytes(b"{}")
    (made / "link").symlink_to("/etc/passwd")
    return made


@pytest.mark.usefixtures("home")
def test_notebooks_of_a_stopped_workspace_are_counted_and_sent(service):
    found = create(service)
    assert found["standing"] == "ready"
    assert (found["files"], found["bytes"], found["what"]) == (
        2,
        len(NOTEBOOK) + 2,
        "Notebooks in home",
    )
    assert found["expires_at"] == (service.clock.now() + HOUR).isoformat().replace("+00:00", "Z")
    assert [(each["path"], each["sha256"]) for each in found["listed"]] == [
        ("home/b.ipynb", hashlib.sha256(b"{}").hexdigest()),
        ("home/thesis/a.ipynb", hashlib.sha256(NOTEBOOK).hexdigest()),
    ]
    assert [(each["reason"], each["count"], each["paths"]) for each in found["skipped"]] == [
        ("symbolic-link", 1, ["home/link"])
    ]
    status, headers, content = fetch(service, found["link"])
    assert status == 200
    assert headers["Content-Type"] == "application/zip"
    assert headers["Content-Disposition"].startswith(f'attachment; filename="{found["name"]}"')
    assert re.fullmatch(r"alice-lab-notebooks-20261126T120000Z\.zip", found["name"])
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Content-Type-Options"] == "nosniff"
    members = unpacked(content)
    assert members["home/thesis/a.ipynb"] == NOTEBOOK
    assert set(members) == {"home/b.ipynb", "home/thesis/a.ipynb", "SHA256SUMS", "export.json"}
    assert json.loads(members["export.json"])["export"] == found["id"]
    after = ask(service, "GET", f"/exports/{found['id']}")
    assert (after["downloads"], after["sending"]) == (1, None)
    assert audited(service) == [("alice", "export"), ("alice", "download")]


@pytest.mark.usefixtures("home")
def test_a_folder_with_everything_in_it(service):
    found = create(service, folder="/home/user/thesis", everything=True)
    assert found["what"] == "All files in home/thesis"
    assert set(unpacked(fetch(service, found["link"])[2])) == {
        "home/thesis/a.ipynb", "home/thesis/data.csv", "SHA256SUMS", "export.json",
    }  # fmt: skip


@pytest.mark.usefixtures("home")
def test_a_notebook_leaves_as_a_page_in_which_nothing_runs(service):
    found = create(service, folder="thesis/a.ipynb", format="html")
    assert (found["standing"], found["what"]) == ("ready", "home/thesis/a.ipynb as HTML"), found[
        "problem"
    ]
    assert [each["sha256"] for each in found["listed"]] == [hashlib.sha256(NOTEBOOK).hexdigest()]
    status, headers, content = fetch(service, found["link"])
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Content-Disposition"].startswith('attachment; filename="alice-lab-a-')
    assert headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert len(content) == found["bytes"]
    assert b"<script" not in content
    # It was kept for the first; for the second it is made anew.
    assert fetch(service, found["link"])[2] == content


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("thesis/none.ipynb", "There is no notebook 'thesis/none.ipynb' in the volume home"),
        ("link.ipynb", "There is no notebook 'link.ipynb' in the volume home"),
        ("b.ipynb", "It is no notebook"),
    ],
)
def test_what_cannot_be_a_document_says_why(service, home, folder, said):
    (home / "link.ipynb").symlink_to("/etc/passwd")
    found = create(service, folder=folder, format="html")
    assert found["standing"] == "failed"
    assert said in found["problem"]


@pytest.mark.usefixtures("home")
def test_only_a_notebook_becomes_a_document(service):
    body = {"server": "lab", "folder": "thesis/data.csv", "format": "pdf"}
    problem = ask(service, "POST", "/exports", body, status=400)
    assert "is no notebook" in problem["detail"]


@pytest.mark.usefixtures("home")
def test_a_pdf_is_printed_where_there_is_chromium(service, monkeypatch):
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("no Chromium here: apt install chromium")
    monkeypatch.setenv(CHROMIUM, chromium)
    found = create(service, folder="/home/user/thesis/a.ipynb", format="pdf")
    assert found["standing"] == "ready", found["problem"]
    _, headers, content = fetch(service, found["link"])
    assert headers["Content-Type"] == "application/pdf"
    assert content.startswith(b"%PDF-")


def test_extra_volumes_are_in_it_under_their_own_names(service):
    options = {"volumes": [{"claim": "data", "mount_path": "/data"}]}
    home = service.has_workspace("alice", options=options)
    for name, folder in (("home", home), ("data", service.cluster.volume("alice", "data"))):
        (folder / f"{name}.ipynb").write_text(name)
    assert [each["path"] for each in create(service)["listed"]] == [
        "home/home.ipynb", "data/data.ipynb",
    ]  # fmt: skip
    assert [each["path"] for each in create(service, folder="/data")["listed"]] == [
        "data/data.ipynb"
    ]


def test_the_link_ends_after_exactly_an_hour_and_a_download_that_began_goes_on(service, home):
    large = os.urandom(30_000_000)
    (home / "large.ipynb").write_bytes(large)
    found = create(service)
    service.clock.time += HOUR - timedelta(seconds=1)
    with began(service, found["link"]) as answer:
        first = answer.read(1000)
        service.clock.time += timedelta(seconds=1)
        status, _, text = fetch(service, found["link"])
        assert status == 410
        assert b"This link has expired" in text
        assert b"Create a new export" in text
        service.sweep()
        members = unpacked(first + answer.read())
    assert members["home/large.ipynb"] == large
    assert ask(service, "GET", f"/exports/{found['id']}")["standing"] == "expired"


@pytest.mark.usefixtures("home")
def test_it_is_for_who_made_it_alone(service):
    found = create(service)
    status, _, text = fetch(service, found["link"], token="t-bob")
    assert status == 403
    assert b"for alice alone" in text
    ask(service, "GET", f"/exports/{found['id']}", token="t-bob", status=404)
    ask(service, "DELETE", f"/exports/{found['id']}", token="t-bob", status=404)
    assert ask(service, "GET", "/exports", token="t-bob") == {"exports": []}
    before, signature, name = found["link"].rsplit("/", 2)
    assert fetch(service, f"{before}/{signature[::-1]}/{name}")[0] == 403
    assert audited(service) == [("alice", "export")]


@pytest.mark.usefixtures("home")
def test_nobody_exports_somebody_elses_workspace(service):
    service.has_workspace("bob")
    for token in ("t-bob", "t-carol"):
        problem = ask(
            service,
            "POST",
            "/exports",
            {"owner": "alice", "server": "lab"},
            token=token,
            status=404,
        )
        assert problem["reason"] == "workspace-unknown"
    assert service.run(service.store.exports.of_creator("bob")) == ()


@pytest.mark.usefixtures("home")
def test_an_admin_may_and_the_owner_sees_it(service):
    found = create(service, token="t-ada", owner="alice")
    assert fetch(service, found["link"], token="t-ada")[0] == 200
    assert fetch(service, found["link"])[0] == 403, "not even for the owner: it is the admin's"
    assert audited(service) == [("ada", "export"), ("ada", "download")]


@pytest.mark.usefixtures("home")
def test_a_role_that_is_gone_is_gone_for_the_link(service):
    found = create(service)
    person = {"organization": "acme", "role": "viewer"}
    put = service.store.changes.put
    service.run(put("people", "alice", person, actor="ada", reason="x", at=service.clock.now()))
    status, _, text = fetch(service, found["link"])
    assert status == 403
    assert b"Download notebooks" in text
    problem = ask(service, "POST", "/exports", {"server": "lab"}, status=403)
    assert problem["reason"] == "not-permitted"


@pytest.mark.usefixtures("home")
def test_what_is_revoked_is_gone_at_once_with_its_pod(service):
    found = create(service)
    assert len(service.cluster.pods) == 1
    assert ask(service, "DELETE", f"/exports/{found['id']}")["standing"] == "revoked"
    status, _, text = fetch(service, found["link"])
    assert status == 410
    assert b"revoked" in text
    assert service.sweep().removed == 1
    assert service.cluster.pods == []
    assert audited(service) == [("alice", "export"), ("alice", "revoke-export")]


def test_a_download_is_cut_off_when_its_link_is_revoked(service, home):
    (home / "large.ipynb").write_bytes(os.urandom(60_000_000))
    found = create(service)
    with began(service, found["link"]) as answer:
        answer.read(1000)
        ask(service, "DELETE", f"/exports/{found['id']}")
        service.sweep()
        assert is_cut_off(answer)
    assert service.run(service.store.exports.get(found["id"])).downloads == 0


@pytest.mark.usefixtures("home")
def test_what_cannot_be_had_says_why(service):
    problem = ask(service, "POST", "/exports", {"server": "nothing"}, status=404)
    assert problem["reason"] == "workspace-unknown"
    problem = ask(service, "POST", "/exports", {"server": "lab", "folder": "/etc"}, status=400)
    assert [each["field"] for each in problem["errors"]] == ["body.folder"]
    found = create(service, folder="nowhere")
    assert (found["standing"], found["link"]) == ("failed", None)
    assert "There is no folder 'nowhere' in the volume home" in found["problem"]
    del service.cluster.volumes["alice", HOME]
    service.cluster.end()
    found = create(service)
    assert "There is no volume home yet" in found["problem"]


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("fields", "status", "reason"),
    [
        ("workspace=alice%2Fnothing", 404, "workspace-unknown"),
        ("workspace=bob%2Flab", 404, "workspace-unknown"),
        ("workspace=alice%2Flab&folder=%2Fetc", 400, "malformed"),
        ("workspace=alice%2Flab&folder=x.csv&what=pdf", 400, "malformed"),
    ],
)
def test_the_page_refuses_as_the_api_does(service, fields, status, reason):
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = service.ask("POST", "", fields.encode(), token="t-alice", api=False, headers=kind)
    assert answer.status == status
    assert f'<span class="eugo-reason">{reason}</span>' in answer.text


def test_of_what_was_never_started_or_is_being_destroyed_nothing_is_taken(service):
    create_only = service.store.workspaces.create
    service.run(
        create_only(
            NewWorkspace(
                owner="alice", server="new", project="personal-alice", name=None, options={},
                actor="alice", at=service.clock.now(),
            )
        )
    )  # fmt: skip
    problem = ask(service, "POST", "/exports", {"server": "new"}, status=409)
    assert (problem["reason"], "is Created" in problem["detail"]) == ("wrong-state", True)
    service.has_workspace("alice")
    move = service.store.workspaces.move
    service.run(
        move(
            "alice", "lab", State.TERMINATING, actor="alice", at=service.clock.now(),
            operation=Operation.TERMINATE,
        )
    )  # fmt: skip
    assert (
        ask(service, "POST", "/exports", {"server": "lab"}, status=409)["reason"] == "wrong-state"
    )


@pytest.mark.usefixtures("home")
def test_nobody_has_more_than_a_few_at_a_time(service):
    for _ in range(MOST):
        ask(service, "POST", "/exports", {"server": "lab"})
    problem = ask(service, "POST", "/exports", {"server": "lab"}, status=429)
    assert problem["reason"] == "too-many"


def test_the_pod_may_die_at_any_time_and_the_next_try_works(service, home):
    large = os.urandom(60_000_000)
    (home / "large.ipynb").write_bytes(large)
    found = create(service)
    with began(service, found["link"]) as answer:
        answer.read(1000)
        service.cluster.kill()
        assert is_cut_off(answer)
    assert service.run(service.store.exports.get(found["id"])).downloads == 0
    members = unpacked(fetch(service, found["link"])[2])
    assert members["home/large.ipynb"] == large
    service.sweep()
    assert len(service.cluster.pods) == 1, "the dead one was removed"


@pytest.mark.usefixtures("home")
def test_whoever_dies_over_it_leaves_it_to_the_next(service):
    made = ask(service, "POST", "/exports", {"server": "lab"})
    first, second = service.another(), service.another()

    async def begin_and_die():
        await first.sweep_once()
        await first.close()

    service.run(begin_and_die())
    assert ask(service, "GET", f"/exports/{made['id']}")["standing"] == "preparing"
    service.sweep(second)
    assert ask(service, "GET", f"/exports/{made['id']}")["standing"] == "ready"


@pytest.mark.usefixtures("home")
def test_what_passes_is_tried_again_and_what_does_not_ends_it(service):
    made = ask(service, "POST", "/exports", {"server": "lab"})
    service.cluster.fails = ClusterError("Could not list the Pods: no answer")
    with pytest.raises(ClusterError):
        service.sweep()
    assert ask(service, "GET", f"/exports/{made['id']}")["standing"] == "preparing"
    service.cluster.fails = None
    service.sweep()
    assert ask(service, "GET", f"/exports/{made['id']}")["standing"] == "ready"
    made = ask(service, "POST", "/exports", {"server": "lab"})
    service.clock.time += sweeping.PATIENCE + timedelta(seconds=1)
    assert service.sweep().given_up == 1
    assert (
        "could not be prepared in time" in ask(service, "GET", f"/exports/{made['id']}")["problem"]
    )


NO_ROLE = ClusterError(
    'Could not start the export: pods is forbidden: User "system:serviceaccount:eugo:hub" cannot create '
    'resource "pods" in API group "" in the namespace "eugo"',
    status=403,
)


@pytest.mark.usefixtures("home")
def test_an_api_server_that_has_just_begun_is_waited_for_a_while(service, monkeypatch):
    """It denies what roles allow until it has read them; what it refuses for good is said at once."""

    async def fails(_export):
        raise error

    error = NO_ROLE
    monkeypatch.setattr(service.preparer._exporters, "survey", fails)
    made = ask(service, "POST", "/exports", {"server": "lab"})

    def standing():
        service.sweep()
        return ask(service, "GET", f"/exports/{made['id']}")["standing"]

    assert standing() == "preparing"
    service.clock.time += sweeping.SOON
    assert standing() == "failed"
    error = ClusterError('pods "x" is forbidden: the image is not on the list', status=403)
    made = ask(service, "POST", "/exports", {"server": "lab"})
    assert standing() == "failed"


@pytest.mark.usefixtures("home")
def test_pods_that_nobody_knows_are_removed_and_those_that_are_wanted_stay(service):
    wanted = create(service)
    stray = create(service)

    path = service.store_url.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path)) as store, store:
        store.execute("DELETE FROM exports WHERE id = ?", [stray["id"]])
    service.sweep()
    assert [each.export for each in service.cluster.pods] == [wanted["id"]]


def test_progress_is_told_while_it_is_sent(service, home):
    (home / "large.ipynb").write_bytes(os.urandom(60_000_000))
    found = create(service)
    with began(service, found["link"]) as answer:
        answer.read(1000)
        deadline = time.monotonic() + 20
        while (seen := ask(service, "GET", f"/exports/{found['id']}")["sending"]) is None:
            assert time.monotonic() < deadline
        assert 0 < seen["bytes"] <= found["bytes"]
        answer.read()


@pytest.mark.usefixtures("home")
def test_a_running_workspace_is_read_on_its_own_node(service):
    taint = {"key": "nvidia.com/gpu", "operator": "Exists"}
    service.cluster.node = Attached(node="gpu-7", tolerations=(taint,))
    create(service)
    (pod,) = service.cluster.pods
    spec = pod.manifest["spec"]
    (term,) = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    assert term == {
        "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["gpu-7"]}]
    }
    assert spec["tolerations"] == [taint]
    assert all(each["persistentVolumeClaim"]["readOnly"] for each in spec["volumes"][:-1])


@pytest.mark.usefixtures("home")
def test_an_exporter_tells_nothing_without_its_token(service):
    create(service)
    (pod,) = service.cluster.pods
    for path, body in (("progress", None), ("survey", b"{}"), ("archive", b"{}")):
        request = urllib.request.Request(f"http://{pod.address}/v1/{path}", data=body)
        request.add_header("Authorization", "Bearer x")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with pytest.raises(urllib.error.HTTPError) as refused:
            opener.open(request, timeout=10)
        with refused.value as answer:
            assert answer.status == 401
    (export,) = service.run(service.store.exports.of_creator("alice"))
    text = json.dumps(pod.manifest)
    assert exporter_token(export) not in text
    assert export.secret not in text
