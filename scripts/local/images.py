"""
Give the embedded cluster an image for each of the catalog that this machine can run.

An image of the development cluster is a name that stands for a local environment
(docs/reference/inventory.md). Those that serve JupyterLab all stand for `.venv`, which has
JupyterLab and the hub's single-user server; other programs are looked for in `.venv` and in the
folders given beside it. The inventory is the cluster's default, hardware and all, with these images
put in. What cannot be run is left out, and `unavailable` says why: people read it on the spawn page.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

HOME = "/home/user"
"""Where the home volume is mounted (catalog.yaml, `defaults.storage.home_path`)."""

# An entry point that runs what it is told to, as those of real images do, and JupyterLab otherwise.
_START = """\
case "$1" in
  "" | -*) exec jupyterhub-singleuser "$@" ;;
  *) exec "$@" ;;
esac
"""
_OURS = Path(__file__).resolve().parent.parent / "workspace"
"""Stand before those of `.venv`, and tell them the address that the Pod was given: it has no network of its own."""

_CODE_SERVER = "code-server"

EXPORTER = "registry.example/eugo/exporter:1"
"""The image whose Pods read volumes for exports: this package, from its checkout."""

_PACKAGE = Path(__file__).resolve().parents[2] / "hub_services"

_LINKS = 40
"""How many links the kernel follows (path_resolution(7)); more are a circle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """What this machine can run in a workspace."""

    venv: Path
    """Has JupyterLab."""

    more: tuple[Path, ...] = ()
    """Folders with further programs, and everything they need."""

    def has(self, name: str) -> bool:
        """Whether a workspace would find the program *name*."""
        folders = (self.venv / "bin", *self.more)
        return shutil.which(name, path=":".join(map(str, folders))) is not None


def references(catalog: Path) -> tuple[str, ...]:
    """Return the image references that *catalog* allows, and the one that reads volumes."""
    return (*(image["reference"] for image in _images(catalog).values()), EXPORTER)


def inventory(default: Mapping[str, Any], *, catalog: Path, programs: Programs) -> str:
    """Return the inventory *default*, as YAML, and in it the images of *catalog* that can run."""
    made = environment_image(programs)
    known = {
        image["reference"]: made
        for image in _images(catalog).values()
        if not _obstacle(image, programs)
    }
    known[EXPORTER] = exporter_image(programs)
    return yaml.safe_dump({**default, "images": default["images"] | known}, sort_keys=False)


def unavailable(catalog: Path, programs: Programs) -> dict[str, dict[str, str]]:
    """Return why kinds and images of *catalog* cannot be had here, by `kinds` and `images`."""
    images = _images(catalog)
    offered = {kind for image in images.values() for kind in image["kinds"]}
    kinds = {}
    if "vscode" in offered and not programs.has(_CODE_SERVER):
        kinds["vscode"] = (
            "VS Code is not installed here. Start the demo with scripts/demo --vscode, or choose "
            "JupyterLab."
        )
    obstacles = {key: _obstacle(image, programs) for key, image in images.items()}
    return {"kinds": kinds, "images": {key: why for key, why in obstacles.items() if why}}


def _images(catalog: Path) -> dict[str, dict[str, Any]]:
    images: dict[str, dict[str, Any]] = yaml.safe_load(catalog.read_text("utf-8"))["images"]
    return images


def _obstacle(image: Mapping[str, Any], programs: Programs) -> str:
    """Return why nothing of *image* can run here; empty: something can."""
    if framework := image.get("framework"):
        return (
            "The demo runs workspaces from its own Python environment, which has no "
            f"{framework}. Choose another image."
        )
    if "jupyterlab" in image["kinds"]:
        return ""
    needed = _CODE_SERVER if "vscode" in image["kinds"] else image["web"]["command"][0]
    return (
        "" if programs.has(needed) else f"The demo has no program {needed}. Choose another image."
    )


def environment_image(programs: Programs) -> dict[str, Any]:
    """Return the image that runs JupyterLab from an environment of this interpreter."""
    return {
        "command": ["sh", "-c", _START, "start"],
        "path": [str(folder) for folder in (_OURS, programs.venv / "bin", *programs.more)],
        "env": {"HOME": HOME, "SHELL": "/bin/bash"},
        "workingDir": HOME,
        # Shebangs and kernels name these folders, and any may lie below a closed home.
        "show": [
            str(folder)
            for folder in _outermost({*environment_folders(programs.venv), _OURS, *programs.more})
        ],
    }


def exporter_image(programs: Programs) -> dict[str, Any]:
    """Return the image that reads volumes with this package and an environment of this interpreter."""
    return {
        "command": ["python3", "-m", "hub_services.export.exporter"],
        "path": [str(programs.venv / "bin")],
        "env": {"PYTHONPATH": str(_PACKAGE.parent)},
        "show": [
            str(folder) for folder in _outermost({*environment_folders(programs.venv), _PACKAGE})
        ],
    }


def environment_folders(venv: Path) -> tuple[Path, ...]:
    """
    Return all folders without which *venv* does not run, none inside another.

    Beside itself and the interpreter's prefix these are the folders through which the links to
    the interpreter lead: `~/bin/python3` may point at a Python that lies elsewhere.
    """
    needed = {venv, Path(sys.base_prefix), Path(sys.base_exec_prefix)}
    link = venv / "bin" / "python"
    for _ in range(_LINKS):
        needed.add(link.parent)
        if not link.is_symlink():
            break
        # The folder resolved first: only then may `..` be taken away by its letters.
        link = Path(os.path.normpath(link.parent.resolve() / link.readlink()))
    return _outermost(needed)


def _outermost(folders: set[Path]) -> tuple[Path, ...]:
    """Return *folders* but those of the system, and those inside another."""
    own = {folder for folder in folders if not folder.is_relative_to("/usr")}
    return tuple(sorted(one for one in own if not own.intersection(one.parents)))
