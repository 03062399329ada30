"""
Give the embedded cluster an image for each that the catalog allows.

An image of the development cluster is a name that stands for a local environment
(docs/reference/inventory.md). Those that serve JupyterLab all stand for `.venv`, which has
JupyterLab and the hub's single-user server. The inventory is the cluster's default, hardware
and all, with these images put in; an image that nothing here can run is left out, and the kubelet
then says so with a genuine ImagePullBackOff.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HOME = "/home/user"
"""Where the home volume is mounted (catalog.yaml, `defaults.storage.home_path`)."""

# Pods have no network namespace here: each must keep to the address that it was given.
_SERVE_JUPYTERLAB = ["sh", "-c", 'exec jupyterhub-singleuser --ip="$POD_IP" "$@"', "singleuser"]


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
        # Shebangs and kernels name these folders, and either may lie below a closed home.
        "show": sorted({str(venv), sys.base_prefix, sys.base_exec_prefix} - {"/usr"}),
    }
