"""A ZIP comes back into a workspace, whole or not at all, and into nobody else's (L8)."""

import asyncio
import http.client
import io
import json
import os
import time
import urllib.parse
import zipfile
from datetime import timedelta

import pytest

from eugospawner.policy.errors import StoreError
from eugospawner.policy.lifecycle import State
from eugospawner.policy.roles import BUILTIN, Action, Reach
from eugospawner.store.workspaces import NewWorkspace
from hub_services.export import restoring
from tests.integration.export.test_api import create, fetch
from tests.integration.quota.forging import signed_in
from tests.integration.quota.servers import NOW
from tests.unit.docs.test_permissions import TABLE

MIB = 1 << 20


@pytest.fixture
def home(service):
    return service.has_workspace("alice")


def packed(*entries):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as opened:
        for name, content in entries:
            opened.writestr(name, content)
    return made.getvalue()


def connect(service):
    address = urllib.parse.urlsplit(service.url)
    return http.client.HTTPConnection(address.hostname, address.port, timeout=60)


def send(service, content, *, token="t-alice", kind="application/zip", **query):  # noqa: S107
    """Send *content* to be restored; return status and body."""
    where = f"{service.prefix}api/v1/restores?{urllib.parse.urlencode(query)}"
    connection = connect(service)
    try:
        headers = {"Authorization": f"token {token}", "Content-Type": kind}
        connection.request("POST", where, body=content, headers=headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def files(folder):
    return {
        str(each.relative_to(folder)): each.read_bytes()
        for each in folder.rglob("*")
        if each.is_file()
    }


def gone(service):
    deadline = time.monotonic() + 10
    while service.cluster.pods and time.monotonic() < deadline:
        time.sleep(0.05)
    return not service.cluster.pods


def test_what_was_exported_comes_back_byte_for_byte(service, home):
    (home / "thesis").mkdir()
    (home / "thesis/a.ipynb").write_text("{}")
    (home / "thesis/data.bin").write_bytes(os.urandom(3 * MIB))
    made = create(service, folder="thesis", everything=True)
    _, _, content = fetch(service, made["link"])
    status, done = send(service, content, server="lab", folder="back")
    assert status == 200, done
    assert (done["files"], done["folder"], done["workspace"]) == (2, "/home/user/back", "lab")
    assert (done["left_out"], done["differing"]) == (0, [])
    assert files(home / "back" / "home" / "thesis") == files(home / "thesis")
    line, begun, *_ = service.run(service.store.audit.lines(about="workspace.alice/lab"))
    assert (line.actor, line.action, line.detail["files"]) == ("alice", "restored", 2)
    assert (begun.actor, begun.action, begun.detail) == (
        "alice", "restore", {"folder": "/home/user/back"},
    )  # fmt: skip
    assert not [each for each in service.cluster.pods if each.is_restore], "its Pod was left"
    assert not list(home.glob(".eugo*"))


@pytest.mark.usefixtures("home")
def test_without_a_folder_it_is_named_after_the_time(service):
    _, done = send(service, packed(("a", "1")), server="lab")
    assert done["folder"].startswith("/home/user/restored-2026-")


def test_it_may_go_to_an_extra_volume(service):
    mounts = [{"claim": "data", "mount_path": "/data"}]
    service.has_workspace("alice", options={"volumes": mounts})
    data = service.cluster.volume("alice", "data")
    status, done = send(service, packed(("a", "1")), server="lab", folder="/data/back")
    assert (status, done["folder"]) == (200, "/data/back")
    assert files(data) == {"back/a": b"1"}


def test_nothing_is_replaced_and_a_hostile_one_harms_nothing(service, home):
    (home / "mine").mkdir()
    status, problem = send(service, packed(("a", "1")), server="lab", folder="mine")
    assert (status, problem["reason"]) == (422, "not-restored")
    assert "mine already: choose another name" in problem["detail"]
    status, problem = send(service, b"no zip at all", server="lab", folder="new")
    assert (status, problem["reason"]) == (422, "not-restored")
    status, done = send(service, packed(("../../up", "1"), ("ok", "2")), server="lab", folder="new")
    assert (status, done["files"], done["left_out"]) == (200, 1, 1)
    assert done["left"][0]["reason"] == "leads-outside"
    assert files(home) == {"new/ok": b"2"}
    assert not (service.cluster.folder / "up").exists()


@pytest.mark.parametrize("folder", ["/etc/x", "../up", "/data/x"])
@pytest.mark.usefixtures("home")
def test_a_folder_in_no_volume_is_refused(service, folder):
    status, problem = send(service, packed(("a", "1")), server="lab", folder=folder)
    assert (status, problem["reason"]) == (400, "malformed")
    assert service.cluster.created == 0


@pytest.mark.usefixtures("home")
def test_what_is_declared_as_something_else_is_not_taken(service):
    status, problem = send(service, b"{}", kind="application/json", server="lab")
    assert (status, problem["reason"]) == (415, "not-zip")
    assert service.cluster.created == 0


def test_a_workspace_without_files_has_nowhere_to_restore_to(service):
    made = NewWorkspace(
        owner="alice", server="new", project="personal-alice", name="new", options={},
        actor="alice", at=NOW,
    )  # fmt: skip
    service.run(service.store.workspaces.create(made))
    assert service.run(service.store.workspaces.get("alice", "new")).state is State.CREATED
    status, problem = send(service, packed(("a", "1")), server="new")
    assert (status, problem["reason"]) == (409, "wrong-state")


@pytest.mark.parametrize("whose", list(Reach))
def test_every_cell_of_the_table(service, whose):
    """Writing into a workspace needs `access` (F105 to F107)."""
    put = service.store.changes.put
    service.run(put("people", "erin", {"organization": "acme"}, actor="a", reason="x", at=NOW))
    owner = {Reach.OWN: "bob", Reach.ORGANIZATION: "erin", Reach.EVERYWHERE: "carol"}[whose]
    home, order, restored = service.has_workspace(owner), list(Reach), 0
    for role in BUILTIN:
        document = {"organization": "acme", "role": role}
        service.run(put("people", "bob", document, actor="a", reason="x", at=NOW))

        def can(action, role=role):
            cell = TABLE[role, action]
            return cell != "—" and order.index(Reach(cell)) >= order.index(whose)

        folder = role.replace(".", "-")
        words = {"owner": owner, "server": "lab", "folder": folder}
        status, problem = send(service, packed(("a", "1")), token="t-bob", **words)
        allowed = can(Action.ACCESS) and can(Action.VIEW)
        assert (status == 200) is allowed, (role, problem)
        assert (home / folder).exists() is allowed
        if not allowed:
            assert status == (403 if can(Action.VIEW) else 404), role
        restored += allowed
        assert service.cluster.created == restored, "a Pod for somebody who may not"


def test_no_more_at_a_time_than_a_few(service, home, monkeypatch):
    monkeypatch.setattr(restoring, "MOST", 0)
    status, problem = send(service, packed(("a", "1")), server="lab")
    assert (status, problem["reason"]) == (429, "too-many")
    assert list(home.iterdir()) == []


def begun(service, size=64 * MIB):
    """Begin to send an archive; return the connection when its Pod is there."""
    connection = connect(service)
    connection.putrequest("POST", f"{service.prefix}api/v1/restores?server=lab&folder=new")
    connection.putheader("Authorization", "token t-alice")
    connection.putheader("Content-Type", "application/zip")
    connection.putheader("Content-Length", str(size))
    connection.endheaders()
    connection.send(b"PK\x03\x04" + bytes(MIB))
    deadline = time.monotonic() + 20
    while not service.cluster.pods and time.monotonic() < deadline:
        time.sleep(0.02)
    connection.send(bytes(MIB))
    return connection


def test_whoever_breaks_off_leaves_nothing(service, home):
    begun(service).close()
    assert gone(service), "its Pod was left"
    assert list(home.iterdir()) == []
    assert service.restorer._at_work["alice"] == 0
    assert send(service, packed(("a", "1")), server="lab", folder="new")[0] == 200


def test_if_the_pod_dies_it_says_so_and_the_next_try_works(service, home):
    connection = begun(service, 4 * MIB)
    service.cluster.kill()
    connection.send(bytes(2 * MIB - 4))
    answer = connection.getresponse()
    assert answer.status == 422
    assert b"Try again" in answer.read()
    connection.close()
    service.sweep()
    assert list(home.iterdir()) == []
    assert send(service, packed(("a", "1")), server="lab", folder="new")[0] == 200


def test_what_was_begun_is_on_record_however_it_ends(service, home):
    begun(service).close()
    assert gone(service)
    send(service, b"no zip", server="lab", folder="other")
    found = service.run(service.store.audit.lines(about="workspace.alice/lab", action="restore"))
    assert [each.detail["folder"] for each in found] == ["/home/user/other", "/home/user/new"]
    assert list(home.iterdir()) == []


def test_without_a_store_nothing_is_written(service, home, monkeypatch):
    async def fails(*_, **__):
        message = "disk gone"
        raise StoreError(message)

    monkeypatch.setattr(service.store.audit, "record", fails)
    status, problem = send(service, packed(("a", "1")), server="lab", folder="new")
    assert (status, problem["reason"]) == (503, "store-unavailable")
    assert service.cluster.created == 0
    assert list(home.iterdir()) == []


@pytest.mark.usefixtures("home")
def test_a_pod_that_never_comes_up_goes_after_a_while(service):
    connection = begun(service)
    (pod,) = service.cluster.pods
    pod.never_ready = True
    service.clock.time += timedelta(minutes=19)
    service.sweep()
    assert service.cluster.pods == [pod]
    service.clock.time += timedelta(minutes=2)
    service.sweep()
    assert service.cluster.pods == []
    connection.close()


def test_what_fails_here_does_not_put_the_token_of_the_form_into_the_log(
    service, home, monkeypatch, caplog
):
    async def fails(*_, **__):
        message = "a fault of ours"
        raise ZeroDivisionError(message)

    alice = signed_in(service, "t-alice")
    monkeypatch.setattr(service.restorer, "begin", fails)
    status, _ = form(service, alice, {"workspace": "alice/lab"}, ("x.zip", packed(("a", "1"))))
    assert status == 500
    assert "a fault of ours" in caplog.text
    assert urllib.parse.quote(alice.token) not in caplog.text
    assert alice.token not in caplog.text
    assert list(home.iterdir()) == []


def test_the_sweep_leaves_alone_what_is_being_restored(service, home):
    connection = begun(service)
    service.sweep()
    assert len(service.cluster.pods) == 1
    connection.close()
    assert gone(service)
    assert list(home.iterdir()) == []


# The form


def form(service, victim, fields, archive=None, *, xsrf=None, boundary=b"x7"):
    """Send the form as a browser does."""
    parts = [
        b'--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
        % (boundary, name.encode(), value.encode())
        for name, value in fields.items()
    ]
    if archive is not None:
        name, content = archive
        parts.append(
            b'--%s\r\nContent-Disposition: form-data; name="archive"; filename="%s"\r\n'
            b"Content-Type: application/zip\r\n\r\n%s\r\n" % (boundary, name.encode(), content)
        )
    body = b"".join(parts) + b"--%s--\r\n" % boundary
    token = urllib.parse.quote(victim.token if xsrf is None else xsrf)
    connection = connect(service)
    try:
        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary.decode()}",
            "Cookie": "; ".join(f"{name}={value}" for name, value in victim.cookies.items()),
            "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate",
        }  # fmt: skip
        connection.request("POST", f"{service.prefix}restore?_xsrf={token}", body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_the_form_restores_without_a_script(service, home):
    alice = signed_in(service, "t-alice")
    content = packed(("a.bin", os.urandom(5 * MIB)), ("b", "x"))
    fields = {"workspace": "alice/lab", "folder": "back"}
    status, text = form(service, alice, fields, ("mine.zip", content))
    assert status == 200, text
    assert "2 files" in text
    assert "/home/user/back" in text
    assert (home / "back/a.bin").stat().st_size == 5 * MIB


@pytest.mark.parametrize(
    ("fields", "archive", "status", "said"),
    [
        ({"workspace": "alice/lab"}, None, 400, "Choose a ZIP file"),
        ({"workspace": "alice/lab"}, ("", b""), 400, "Choose a ZIP file"),
        ({"workspace": "alice/lab"}, ("x.zip", b"no"), 422, "no ZIP archive"),
        ({"workspace": "bob/lab"}, ("x.zip", packed(("a", "1"))), 404, "There is no workspace"),
        ({"workspace": "alice/lab", "folder": "/etc"}, ("x.zip", packed(("a", "1"))), 400, "no volume"),
        ({"workspace": "x" * 9000}, ("x.zip", packed(("a", "1"))), 413, "longer than any"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("home")
def test_the_form_says_what_is_wrong(service, fields, archive, status, said):
    alice = signed_in(service, "t-alice")
    found, text = form(service, alice, fields, archive)
    assert (found, said in text) == (status, True), text


def test_a_forged_form_restores_nothing(service, home):
    alice = signed_in(service, "t-alice")
    archive = ("x.zip", packed(("a", "1")))
    for xsrf in ("", "0" * 32, "2|aaaa|bbbb|1"):
        status, _ = form(service, alice, {"workspace": "alice/lab"}, archive, xsrf=xsrf)
        assert status in {401, 403}
    assert list(home.iterdir()) == []
    assert service.cluster.created == 0


def test_bytes_are_not_gathered_in_the_service(service, home):
    """Whoever sends faster than the Pod takes has to wait: what is between is a few parts."""
    delivered = []

    async def slow(chunks):
        async for chunk in chunks:
            delivered.append(len(chunk))
            await asyncio.sleep(0.001)
        return delivered

    async def run():
        delivery = restoring.Delivery(slow, lambda: None)
        ahead = 0
        for sent in range(1, 201):
            await delivery.put(b"x")
            ahead = max(ahead, sent - len(delivered))
        await delivery.done()
        return ahead

    assert service.run(run()) <= restoring._AHEAD + 2
    assert len(delivered) == 200
    assert list(home.iterdir()) == []


@pytest.mark.usefixtures("home")
def test_fields_without_an_end_are_refused(service):
    alice = signed_in(service, "t-alice")
    fields = {f"field-{number}": "" for number in range(500)}
    status, text = form(service, alice, fields, ("x.zip", packed(("a", "1"))))
    assert (status, "more fields than ours" in text) == (413, True)
