"""
Make `.venv` hold what the lock file says, and nothing twice.

Three steps: the standard library's venv, `uv` by pip at the version that uv.lock names, and
`uv sync --locked` for the groups that are wanted. `--inexact` keeps what other commands have put
there. A stamp in the environment remembers, for each group, a hash of everything that decides
its content; when all wanted groups carry the present hash, nothing is started at all.

Settings of pip and uv in the machine's environment stay in force. uv trusts only the
certificates it brings along unless told otherwise, while company networks put theirs into the
system's store: so that store is used wherever there is one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import re
import ssl
import subprocess
import sys
import tomllib
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

OTHERS_MAY_READ = 0o022
"""The umask of an installation: as root, workspaces run as another user and read these files."""

_NO_NETWORK = (
    "temporary failure in name resolution",
    "name or service not known",
    "dns error",
    "failed to lookup address",
    "network is unreachable",
    "connection refused",
    "connection reset",
    "newconnectionerror",
    "no route to host",
    "timed out",
    "tunnel error",
    "eai_again",
    "enotfound",
    "econnrefused",
    "etimedout",
    "no matching distribution found for uv==",
)
"""What pip, uv and npm print when they reach no registry (pip 23–25, uv 0.13, npm 9–11)."""

_PROGRESS = re.compile(
    r"\s*(Resolved|Prepared|Download|Buil[dt]|(Uni|I)nstalled|Bytecode|(added|changed) \d+)"
)
"""The lines of uv and npm that tell how far they are."""


@dataclass(frozen=True, slots=True)
class Environment:
    """The virtual environment of a checkout."""

    root: Path
    """The checkout."""

    @property
    def folder(self) -> Path:
        """Where the environment is."""
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def share(self) -> Path:
        """What we keep there beside Python packages."""
        return self.folder / "share" / "eugo"

    @property
    def _stamp(self) -> Path:
        return self.share / "groups.json"

    def missing(self, groups: Sequence[str]) -> tuple[str, ...]:
        """Return those of *groups* that are not installed as the lock file now says."""
        wanted = self._content()
        installed = self._installed() if self.python.exists() else {}
        return tuple(group for group in groups if installed.get(group) != wanted)

    def install(self, groups: Sequence[str]) -> None:
        """
        Install *groups*; quick and silent if they are there.

        Raises:
            Trouble: Nothing can be written or downloaded, or the interpreter has no venv module.
        """
        if not self.missing(groups):
            return
        with self.alone():
            if not self.missing(groups):
                return  # someone else did it while we waited
            self._create()
            self._install_uv()
            say(f"Installing the locked dependencies ({', '.join(groups)}) into {self.folder} …")
            self._sync(groups)
            remembered = self._installed() | dict.fromkeys(groups, self._content())
            self.share.mkdir(parents=True, exist_ok=True)
            self._stamp.write_text(json.dumps(remembered, indent=2), "utf-8")

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """
        Hold the installation's lock; files are made readable for all meanwhile.

        Raises:
            Trouble: In place of any error that says that files cannot be written.
        """
        before = os.umask(OTHERS_MAY_READ)
        try:
            (self.root / ".eugo").mkdir(exist_ok=True)
            with (self.root / ".eugo" / "install.lock").open("w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    say("Another installation is under way in this checkout; waiting for it …")
                    fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except PermissionError as error:
            raise Trouble(
                problem=f"Cannot write to {error.filename or self.root}: {error.strerror}.",
                remedy="Run it as the owner of this checkout, or clone it to a folder of your own.",
            ) from error
        except OSError as error:
            raise Trouble(
                problem=f"Cannot install into {self.folder}: {error.strerror}.",
                remedy="Free some space, or clone to a folder where files can be written.",
            ) from error
        finally:
            os.umask(before)

    def _create(self) -> None:
        """Make the environment unless its interpreter already runs."""
        if _runs(self.python):
            return
        say(f"Creating {self.folder} with Python {platform.python_version()} …")
        try:
            import ensurepip  # noqa: F401, PLC0415  # Debian splits it off
        except ImportError as error:
            raise Trouble(
                problem="This Python cannot create virtual environments.",
                remedy="Install its venv module, e.g.: apt-get install python3-venv",
            ) from error
        try:
            venv.create(self.folder, with_pip=True, symlinks=True, clear=self.folder.exists())
        except subprocess.CalledProcessError as error:
            raise Trouble(
                problem="This Python cannot create virtual environments.",
                remedy="Install its venv module, e.g.: apt-get install python3-venv",
            ) from error

    def _install_uv(self) -> None:
        version = locked_version(self.root / "uv.lock", "uv")
        if _says(self.folder / "bin" / "uv", "--version").startswith(f"uv {version}"):
            return
        say(f"Installing uv {version} …")
        download(
            [str(self.python), "-m", "pip", "install", "--quiet", f"uv=={version}"], os.environ
        )

    def _sync(self, groups: Sequence[str]) -> None:
        chosen = [word for group in groups for word in ("--group", group)]
        uv = str(self.folder / "bin" / "uv")
        # Compiled once here: a workspace that runs as another user could not keep its own.
        command = [uv, "sync", "--locked", "--inexact", "--compile-bytecode", *chosen]
        download(command, self._settings(), folder=self.root)

    def _settings(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
        if trusts_system_store() and "UV_NATIVE_TLS" not in kept:
            kept.setdefault("UV_SYSTEM_CERTS", "1")
        own = {"UV_PROJECT_ENVIRONMENT": str(self.folder), "UV_PYTHON": str(self.python)}
        return kept | own

    def _content(self) -> str:
        """Return the hash of all that decides what a group contains."""
        configuration = self.folder / "pyvenv.cfg"
        parts = [
            (self.root / "uv.lock").read_bytes(),
            (self.root / "pyproject.toml").read_bytes(),
            # Of the environment, once there is one: any interpreter may run this script.
            configuration.read_bytes() if configuration.exists() else b"",
            str(self.folder).encode(),
        ]
        return hashlib.sha256(b"\0".join(parts)).hexdigest()

    def _installed(self) -> dict[str, str]:
        try:
            stamp: dict[str, str] = json.loads(self._stamp.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return stamp


def locked_version(lock: Path, package: str) -> str:
    """Return the version of *package* in the uv lock file *lock*."""
    entries = tomllib.loads(lock.read_text("utf-8"))["package"]
    return next(str(entry["version"]) for entry in entries if entry["name"] == package)


def trusts_system_store() -> bool:
    """Tell whether this machine has certificates of its own that a client could trust."""
    paths = ssl.get_default_verify_paths()
    return bool(paths.cafile) or bool(paths.capath and any(Path(paths.capath).iterdir()))


def download(
    command: Sequence[str], settings: Mapping[str, str], *, folder: Path | None = None
) -> None:
    """
    Run *command*, which fetches something from a registry, showing its progress.

    Its complaints are held back until it is known what they come to: pip retries for ten seconds
    with a warning each, and "there is no network" wants one line.

    Raises:
        Trouble: It failed; without a network this is said, else its own words are.
    """
    heard: list[str] = []
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=dict(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
    )
    with process:
        for line in process.stdout or ():
            heard.append(f"  {line.rstrip()}")
            if _PROGRESS.match(line):
                say(heard[-1])
    if process.returncode == 0:
        return
    said = "\n".join(heard)
    if any(sign in said.lower() for sign in _NO_NETWORK):
        raise Trouble(
            problem="No package registry could be reached.",
            remedy="Check the network (or HTTPS_PROXY, PIP_INDEX_URL and UV_DEFAULT_INDEX), "
            "then run the same command again.",
        )
    say(said)
    raise Trouble(
        problem=f"`{' '.join(command)}` failed with exit code {process.returncode}.",
        remedy="Its own words stand above.",
    )


def say(line: str) -> None:
    """Print *line* at once, also when the output is a pipe."""
    print(line, flush=True, file=sys.stdout)


def _runs(python: Path) -> bool:
    return _says(python, "-c", "print('yes')") == "yes"


def _says(*command: Path | str) -> str:
    """Return what *command* prints, "" if it does not run."""
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()
