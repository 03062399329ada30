"""
Give the embedded cluster an image for each that the catalog allows.

An image of the development cluster is a name that stands for a local environment
(docs/reference/inventory.md). Those that serve JupyterLab all stand for `.venv`, which has
JupyterLab and the hub's single-user server. The inventory is the cluster's default, hardware
and all, with these images put in; an image that nothing here can run is left out, and the kubelet
then says so with a genuine ImagePullBackOff.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

HOME = "/home/user"
"""Where the home volume is mounted (catalog.yaml, `defaults.storage.home_path`)."""

# Pods have no network namespace here: each must keep to the address that it was given.
_SERVE_JUPYTERLAB = ["sh", "-c", 'exec jupyterhub-singleuser --ip="$POD_IP" "$@"', "singleuser"]

_LINKS = 40
"""How many links the kernel follows (path_resolution(7)); more are a circle."""


def references(catalog: Path, *, kind: str | None = None) -> tuple[str, ...]:
    """Return the image references that *catalog* allows, only those of *kind* if it is given."""
    images = yaml.safe_load(catalog.read_text("utf-8"))["images"].values()
    return tuple(
        image["reference"]
        for image in images
        if kind is None or kind in image.get("kinds", ["jupyterlab"])
    )


def inventory(default: Mapping[str, Any], *, catalog: Path, venv: Path) -> str:
    """Return the inventory *default*, as YAML, and in it the images of *catalog* for *venv*."""
    known = dict.fromkeys(references(catalog, kind="jupyterlab"), environment_image(venv))
    return yaml.safe_dump({**default, "images": default["images"] | known}, sort_keys=False)


def environment_image(venv: Path) -> dict[str, Any]:
    """Return the image that runs JupyterLab from *venv*, an environment of this interpreter."""
    return {
        "command": _SERVE_JUPYTERLAB,
        "path": [str(venv / "bin")],
        "env": {"HOME": HOME, "SHELL": "/bin/bash"},
        "workingDir": HOME,
        # Shebangs and kernels name these folders, and any may lie below a closed home.
        "show": [str(folder) for folder in environment_folders(venv)],
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
    own = {folder for folder in needed if not folder.is_relative_to("/usr")}
    return tuple(sorted(one for one in own if not own.intersection(one.parents)))
