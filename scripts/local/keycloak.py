"""
Keycloak, the identity provider that many organizations run: for the nightly tests of signing in.

Fetched with Maven as its own project publishes it, so a mirror or a proxy in Maven's settings stays in force,
and compared with a digest that is written down here. It is built once, for a database in memory: starting it
then takes some 15 seconds instead of 40 and leaves nothing behind. It lies in `.venv` (`share/eugo/keycloak`).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from .environment import download, say
from .ports import LOOPBACK
from .tools import ANSWER_SECONDS
from .trouble import Trouble

if TYPE_CHECKING:
    from .environment import Environment

VERSION = "26.7.3"

DIGEST = "27a6535553c3cdcd083872ba40629efafb3475e3b758e0c6f691395561dd0f1f"
"""SHA-256 of the distribution's zip file."""

JAVA_MAJOR = 17
"""The oldest Java that Keycloak 26 runs on."""

ENABLED_BY = "apt-get install --no-install-recommends openjdk-17-jre-headless maven"

_ARTIFACT = f"org.keycloak:keycloak-quarkus-dist:{VERSION}:zip"
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
_STAMP = "eugo-digest"


def folder(share: Path) -> Path:
    """Return where it lies below *share*, or would."""
    return share / "keycloak"


def is_installed(share: Path) -> bool:
    """Tell whether this very version is there."""
    try:
        return (folder(share) / _STAMP).read_text("utf-8") == DIGEST
    except OSError:
        return False


def lacking(share: Path) -> str:
    """Return what this machine lacks to have it, as a sentence; "" if it lacks nothing."""
    if java_major() < JAVA_MAJOR:
        return f"Keycloak needs Java {JAVA_MAJOR} or newer; as root: {ENABLED_BY}"
    if not is_installed(share) and shutil.which("mvn") is None:
        return f"Keycloak is fetched with Maven, and there is none; as root: {ENABLED_BY}"
    return ""


def java_major() -> int:
    """Return the version of the Java that Keycloak's own script would take, 0 if there is none."""
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else "java"
    try:
        answer = subprocess.run(
            [java, "-version"], capture_output=True, text=True, timeout=ANSWER_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    return version_in(answer.stderr)


def version_in(said: str) -> int:
    """
    Return the major version in what `java -version` *said*, 0 if it says none.

    >>> version_in('openjdk version "17.0.15" 2025-04-15')
    17
    """
    found = re.search(r'version "(\d+)', said)
    return int(found[1]) if found else 0


def install(environment: Environment) -> None:
    """
    Install it, if that has not been done.

    Raises:
        Trouble: Java or Maven is missing, no registry was reached, or what came is something else.
    """
    share = environment.share
    if is_installed(share):
        return
    if missing := lacking(share):
        problem, _, remedy = missing.partition("; ")
        raise Trouble(problem=f"{problem}.", remedy=remedy.capitalize())
    with environment.alone():
        if is_installed(share):
            return  # someone else did it while we waited
        say(f"Installing Keycloak {VERSION} (160 MB), for the nightly tests …")
        share.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="keycloak-", dir=share) as scratch:
            built = _build(_fetch(Path(scratch)))
            shutil.rmtree(folder(share), ignore_errors=True)
            built.rename(folder(share))


def command(share: Path, port: int) -> list[str]:
    """Return the command line that serves it at *port*, forgetting everything when it ends."""
    address = f"http://{LOOPBACK}:{port}"
    return [
        str(folder(share) / "bin" / "kc.sh"), "start", "--optimized", "--cache=local",
        "--http-enabled=true", f"--http-host={LOOPBACK}", f"--http-port={port}",
        f"--hostname={address}",
    ]  # fmt: skip


def _fetch(scratch: Path) -> Path:
    """Return the distribution, unpacked below *scratch*."""
    quiet = ["--quiet", "--batch-mode"]
    download(["mvn", *quiet, _COPY, f"-Dartifact={_ARTIFACT}", "-DoutputDirectory=."],
             os.environ, folder=scratch)  # fmt: skip
    archive = scratch / f"keycloak-quarkus-dist-{VERSION}.zip"
    with archive.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    if digest != DIGEST:
        raise Trouble(
            problem=f"Maven's copy of {_ARTIFACT} is not the one that was tried.",
            remedy="Remove it from Maven's local repository, and ask whoever runs the mirror.",
        )
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(scratch)
    archive.unlink()
    return scratch / f"keycloak-{VERSION}"


def _build(unpacked: Path) -> Path:
    """Settle what Keycloak would find out anew at every start."""
    script = unpacked / "bin" / "kc.sh"
    script.chmod(0o755)
    download([str(script), "build", "--db=dev-mem"], os.environ, folder=unpacked)
    (unpacked / _STAMP).write_text(DIGEST, "utf-8")
    return unpacked
