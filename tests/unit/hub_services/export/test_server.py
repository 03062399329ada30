"""The exporter's door: whoever is refused leaves nobody waiting, so that the Pod ends by itself (L8)."""

import errno
import hashlib
import http.client
import os
import threading

import pytest
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets

from hub_services.export.exporter.desk import Desk
from hub_services.export.exporter.server import Attendance, make_app

TOKEN = "the token"


@pytest.fixture
def door(tmp_path):
    """Serve a volume in a thread; give who attends, and a function that sends an archive."""
    attendance, ready, loops = Attendance(), threading.Event(), []
    (socket,) = bind_sockets(0, "127.0.0.1")

    def serve():
        loop = IOLoop(make_current=False)
        app = make_app(
            Desk({"home": str(tmp_path), "gone": str(tmp_path / "gone")}),
            attendance,
            hashlib.sha256(TOKEN.encode()).hexdigest(),
        )

        async def begin():
            HTTPServer(app).add_sockets([socket])
            loops.append(IOLoop.current())
            ready.set()

        loop.add_callback(begin)
        loop.start()
        loop.close(all_fds=True)

    thread = threading.Thread(target=serve)
    thread.start()
    ready.wait(10)

    def send(content=b"PK", *, token=TOKEN, volume="home", length=None, folder="new"):
        connection = http.client.HTTPConnection("127.0.0.1", socket.getsockname()[1], timeout=10)
        connection.putrequest("POST", f"/v1/restore?volume={volume}&folder={folder}")
        connection.putheader("Authorization", f"Bearer {token}")
        connection.putheader("Content-Length", str(length or len(content)))
        connection.endheaders()
        connection.send(content)
        return connection

    yield attendance, send
    loops[0].add_callback(loops[0].stop)
    thread.join(10)


def nobody_waits(attendance):
    for _ in range(200):
        if not attendance._here:
            return True
        threading.Event().wait(0.02)
    return False


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ({"token": "another"}, 401),
        ({"volume": "nowhere"}, 422),
        ({"volume": "gone"}, 422),
        ({"content": b"no zip"}, 422),
    ],
    ids=str,
)
def test_whoever_is_refused_leaves_nobody_waiting(door, tmp_path, words, status):
    attendance, send = door
    connection = send(**words)
    with connection.getresponse() as answer:
        assert answer.status == status
    connection.close()
    assert nobody_waits(attendance)
    assert os.listdir(tmp_path) == []


def test_without_files_without_names_what_arrives_is_kept_on_the_volume_all_the_same(
    door, tmp_path, monkeypatch
):
    """On most file systems of networks; the Pod's own place is small (L8)."""
    attendance, send = door
    opened = os.open

    def refuses(path, flags, *rest, **words):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        if str(path).startswith(str(tmp_path)) and flags & os.O_CREAT:
            kept.append(path)
        return opened(path, flags, *rest, **words)

    kept = []
    monkeypatch.setattr(os, "open", refuses)
    connection = send(b"no zip")
    with connection.getresponse() as answer:
        assert answer.status == 422
        assert b"no ZIP archive" in answer.read()
    connection.close()
    assert len(kept) == 1
    assert os.listdir(tmp_path) == []
    assert nobody_waits(attendance)


def test_whoever_breaks_off_leaves_nobody_waiting(door, tmp_path):
    attendance, send = door
    connection = send(b"PK" * 1000, length=10_000_000)
    while not attendance._here:
        threading.Event().wait(0.01)
    connection.close()
    assert nobody_waits(attendance)
    assert os.listdir(tmp_path) == []
