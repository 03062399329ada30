"""
Start, ask and stop demos, as a user does from a shell.

A demo under test is the real `scripts/demo.py` in a process of its own, on any free port and with
the test run's cluster. Its installation is not repeated: `scripts/test` has done it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http.cookiejar import CookieJar
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from devcluster import build
from scripts.local import tools
from tests.integration.demo import plain_user

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parents[3]
START_SECONDS = 120
_PLAIN_ID = 54321
"""Nobody's, and beyond what machines give to people and services."""


@dataclass(frozen=True, slots=True)
class Demo:
    """A demo that has said it is ready."""

    process: subprocess.Popen[str]
    data: Path

    @property
    def ready(self) -> dict[str, Any]:
        """What the ready file says."""
        said: dict[str, Any] = json.loads((self.data / "ready.json").read_text())
        return said

    def ask(self, path: str, *, method: str = "GET") -> Any:
        """Return the hub API's answer to the demo's admin token."""
        request = urllib.request.Request(  # noqa: S310  # loopback
            f"{self.ready['url']}/hub/api{path}",
            headers={"Authorization": f"token {self.ready['admin_token']}"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return json.loads(answer.read() or "null")

    def sign_in(self, name: str, password: str) -> bool:
        """Tell whether the sign-in form lets *name* in, as a browser without JavaScript."""
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        login = f"{self.ready['url']}/hub/login"
        page = browser.open(login, timeout=10).read().decode()
        token = re.search(r'name="_xsrf"\s+value="([^"]+)"', page)
        assert token, page
        fields = {"username": name, "password": password, "_xsrf": token[1]}
        form = urllib.parse.urlencode(fields).encode()
        try:
            answer = browser.open(f"{login}?next=/hub/home", form, timeout=10)
        except urllib.error.HTTPError as refused:
            with refused:
                return False
        with answer:
            return answer.url.endswith("/hub/home")

    def stop(self) -> str:
        """Ask it to end, and return what it printed."""
        self.process.terminate()
        said, _ = self.process.communicate(timeout=60)
        return said


def command(*options: str | Path) -> list[str | Path]:
    """Return the command line of a demo."""
    return [sys.executable, ROOT / "scripts" / "demo.py", *options]


def open_catalog(folder: Path) -> Path:
    """
    Write the sample catalog for tests, and return its path.

    A project without a plan may use everything in it: most tests are not about entitlements.
    """
    catalog = yaml.safe_load((ROOT / "helm-values" / "catalog.yaml").read_text("utf-8"))
    catalog["defaults"]["plan"] |= {"gpu_models": "all", "at_once": {}}
    catalog["defaults"]["plan"].pop("volumes")
    path = folder / "open-catalog.yaml"
    path.write_text(yaml.safe_dump(catalog, sort_keys=False), "utf-8")
    return path


def fails(*options: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a demo that is expected to give up by itself."""
    return subprocess.run(
        command(*options), cwd=cwd, capture_output=True, text=True, check=False, timeout=60
    )


@contextlib.contextmanager
def started(
    *options: str | Path, data: Path, cwd: Path, before: Sequence[str] = ()
) -> Iterator[Demo]:
    """
    Start a demo and wait for its ready file; it is killed if it is still there at the end.

    Args:
        before: Words before the command line, of a program that becomes it.
    """
    if "--catalog" not in options:
        options = (*options, "--catalog", open_catalog(data.parent))
    process = subprocess.Popen(
        [*before, *command("--port=0", "--data", data, *options)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    with process:
        try:
            deadline = time.monotonic() + START_SECONDS
            while not (data / "ready.json").exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    process.kill()
                    raise AssertionError(process.communicate()[0] + log_of(data))
                time.sleep(0.1)
            yield Demo(process, data)
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.communicate(timeout=60)
                except subprocess.TimeoutExpired:
                    process.kill()


@contextlib.contextmanager
def started_by_plain_user() -> Iterator[Demo]:
    """
    Start a demo with a cluster of its own as a user without privileges.

    For root that is somebody made for it; for anybody else, oneself.
    """
    # Not pytest's folder: it is closed to others.
    home = Path(tempfile.mkdtemp(prefix="eugo-newcomer-"))
    try:
        before: list[str] = []
        if os.geteuid() == 0:
            os.chown(home, _PLAIN_ID, _PLAIN_ID)
            home.chmod(0o755)
            programs = home / "programs"
            programs.mkdir()
            compiled = build.provide(keep=True, report=print)
            for program in (compiled.kube, compiled.runtime):
                shutil.copy2(program, programs)
                (programs / program.name).chmod(0o755)
            node = tools.find_node(os.environ.get("PATH", ""), venv=Path(sys.prefix))
            needs = {ROOT, Path(sys.prefix), Path(sys.base_prefix)}
            needs |= {node.executable.resolve().parent} if node else set()
            asked = {"id": _PLAIN_ID, "home": str(home), "needs": sorted(map(str, needs))}
            before = [
                "unshare", "--mount", "--propagation=private", "--",
                "env", f"EUGO_DEVCLUSTER_PROGRAMS={programs}",
                sys.executable, plain_user.__file__, json.dumps(asked),
            ]  # fmt: skip
        with started(data=home / "demo", cwd=home, before=before) as demo:
            yield demo
    finally:
        shutil.rmtree(home, ignore_errors=True)


def log_of(data: Path) -> str:
    """Return what the hub of the demo in *data* said."""
    log = data / "log" / "hub.log"
    return log.read_text() if log.exists() else ""
