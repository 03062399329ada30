"""
What stands for a web program in a workspace: says who it is, and shows and takes files of the home.

``GET /NAME`` answers with the file, ``PUT /NAME`` writes it, ``GET /`` with the program's own words
and arguments; listens where its arguments say, as the real program would.
"""

import json
import os
import signal
import socketserver
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path

HOME = Path(os.environ["HOME"])


class Handler(BaseHTTPRequestHandler):
    """Answers for the program that stands in `Handler.program`."""

    protocol_version = "HTTP/1.1"
    program = ""

    def do_GET(self) -> None:
        name = self.path.partition("?")[0].strip("/")
        if name.endswith("api/status"):
            self.answer(b'{"kernels": 0}')
        elif not name or not (HOME / name).is_file():
            words = {"program": self.program, "arguments": sys.argv[1:], "path": self.path}
            self.answer(json.dumps(words).encode())
        else:
            self.answer((HOME / name).read_bytes())

    def do_PUT(self) -> None:
        text = self.rfile.read(int(self.headers["Content-Length"]))
        (HOME / self.path.strip("/")).write_bytes(text)
        self.answer(b"written")

    def answer(self, text: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def address_string(self) -> str:
        return "proxy"


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """HTTP on a socket in the file system."""


class TcpServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """HTTP on a port of loopback."""

    allow_reuse_address = True


def option(name: str) -> str:
    """Return the value of the argument ``--NAME=VALUE``; empty if there is none."""
    found = (word for word in sys.argv if word.startswith(f"--{name}="))
    return next(found, "").partition("=")[2]


def serve(program: str) -> None:
    """Serve until ended."""
    Handler.program = program
    # The first process of a container has no action for any signal but those it asked for.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    server: socketserver.BaseServer
    if path := option("socket"):
        server = UnixServer(path, Handler)
    elif program == "notebook":
        server = TcpServer((os.environ["POD_IP"], 8888), Handler)
    else:
        server = TcpServer(("127.0.0.1", int(option("server.port"))), Handler)
    server.serve_forever()
