"""
The zero-to-jupyterhub chart, Helm, and a release of the one by the other with our values.

The chart is not ours and not in this repository: it is looked for where people have it.
"""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from devcluster import build

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT: Final = Path(__file__).resolve().parents[2]
VALUES: Final = ROOT / "helm-values"
VERSION: Final = "4.4.0"
REPOSITORY: Final = "https://hub.jupyter.org/helm-chart/"
#: Each environment, as its operator names the files.
ENVIRONMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "small": ("values", "small"),
    "production": ("values", "production"),
    "restricted": ("values", "small", "restricted"),
    "production-restricted": ("values", "production", "restricted"),
}
#: Beside the chart, what the values name.
CATALOG: Final = ("--set-file", f"hub.extraFiles.catalog.stringData={VALUES / 'catalog.yaml'}")
_SECONDS: Final = 300
_DRAWN: Final[dict[tuple[str, ...], str]] = {}
#: That of C, where there is one: a rendered chart is long.
_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_FETCH_SECONDS: Final = 10


def find_chart(folder: Path) -> Path:
    """Return the chart, unpacked into *folder*; skip where there is none."""
    name = f"jupyterhub-{VERSION}.tgz"
    named = os.environ.get("EUGO_Z2JH_CHART")
    shared = ROOT.parent / "shared" / "charts" / name
    if named:
        return Path(named) if Path(named).is_dir() else _unpacked(Path(named), folder)
    if shared.exists():
        return _unpacked(shared, folder)
    try:
        with urllib.request.urlopen(REPOSITORY + name, timeout=_FETCH_SECONDS) as answer:  # noqa: S310 - https
            (folder / name).write_bytes(answer.read())
    except OSError as error:
        pytest.skip(f"no chart: set EUGO_Z2JH_CHART to {name} ({REPOSITORY}: {error})")
    return _unpacked(folder / name, folder)


def _unpacked(path: Path, folder: Path) -> Path:
    with tarfile.open(path) as packed:
        packed.extractall(folder, filter="data")
    return folder / "jupyterhub"


@dataclass(frozen=True, slots=True, kw_only=True)
class Helm:
    """Helm, asked as somebody."""

    program: Path
    kubeconfig: Path
    home: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it; fail with what it said if it fails."""
        done = self.try_(*arguments)
        assert done.returncode == 0, done.stderr
        return done

    def try_(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it, whatever comes of that."""
        surroundings = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "KUBECONFIG": str(self.kubeconfig),
            "NO_PROXY": "*",
            **self.environment,
        }
        return subprocess.run(
            [self.program, *arguments],
            capture_output=True, text=True, check=False, env=surroundings, timeout=_SECONDS,
        )  # fmt: skip


def make_helm(kubeconfig: Path, home: Path) -> Helm:
    """Return Helm as the admin of *kubeconfig*."""
    return Helm(
        program=build.provide_helm(keep=False, report=print), kubeconfig=kubeconfig, home=home
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The product as an operator installs it in *namespace*."""

    helm: Helm
    chart: Path
    namespace: str
    name: str = "eugo"

    def files(self, environment: str) -> list[str]:
        """Return the options that name the values of *environment*."""
        listed = [f"--values={VALUES / name}.yaml" for name in ENVIRONMENTS[environment]]
        return [*listed, *CATALOG]

    def install(self, environment: str, *more: str) -> subprocess.CompletedProcess[str]:
        """Install it, or upgrade what is installed, by the one command of the documentation."""
        return self.helm(*self.command(environment, *more))

    def command(self, environment: str, *more: str) -> list[str]:
        """Return that command."""
        return [
            "upgrade", "--install", self.name, str(self.chart), f"--namespace={self.namespace}",
            *self.files(environment), *more,
        ]  # fmt: skip

    def render(self, environment: str, *more: str) -> list[dict[str, Any]]:
        """Return what it would make."""
        return [each for each in yaml.load_all(self.draw(environment, *more), _Loader) if each]

    def draw(self, environment: str, *more: str) -> str:
        """Return the text of that; most tests ask for the same, which is drawn once."""
        command = (
            "template", self.name, str(self.chart), f"--namespace={self.namespace}",
            *self.files(environment), *more,
        )  # fmt: skip
        if more:  # their files may change
            return self.helm(*command).stdout
        if command not in _DRAWN:
            _DRAWN[command] = self.helm(*command).stdout
        return _DRAWN[command]

    def revisions(self) -> list[dict[str, Any]]:
        """Return its history, the first one first."""
        told = self.helm(
            "history", self.name, f"--namespace={self.namespace}", "--output=json"
        ).stdout
        found: list[dict[str, Any]] = json.loads(told)
        return found


def one(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """Return the object of this *kind* and *name*."""
    (found,) = (
        each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, name)
    )
    return found
