"""
The Kubernetes under the demo: the embedded one, or one that the user brings.

Either way the hub gets what `helm-values/base` grants and nothing else: the admin's credential is
used here, to apply the base, to list the images that may run and to ask for the hub's token, and
the hub is then started with a kubeconfig that holds this token alone. So least privilege is in
force from the first minute of the first demo.
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import sys
from typing import TYPE_CHECKING, Any

import yaml

from .images import references
from .trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .workdir import Workdir

NAMESPACE = "eugo"
READY_SIGN = "devcluster is ready"
"""How the embedded cluster's one ready line begins."""

TOKEN_DURATION = "8760h"  # noqa: S105  # a year; renewed at each start


def embedded_command(workdir: Workdir, *, kubeconfig: Path) -> list[str]:
    """Return the command line of the embedded cluster with its data in *workdir*."""
    data, inventory = workdir.folder / "cluster", workdir.folder / "inventory.yaml"
    options = {"--data": data, "--kubeconfig": kubeconfig, "--inventory": inventory}
    return [
        sys.executable, "-m", "devcluster",
        *(str(word) for option in options.items() for word in option),
    ]  # fmt: skip


def kubectl_command(*, embedded: bool) -> list[str]:
    """
    Return the kubectl to use.

    For a cluster of the user's own, theirs: ours would first have to be compiled.
    """
    own = None if embedded else shutil.which("kubectl")
    return [own] if own else [sys.executable, "-m", "devcluster", "kubectl"]


class Admin:
    """What the demo does in the cluster as its admin, before the hub starts."""

    def __init__(self, kubeconfig: Path, *, embedded: bool) -> None:
        """Act with the credential in *kubeconfig*, on the cluster of its current context."""
        self._kubeconfig = kubeconfig
        self._kubectl = kubectl_command(embedded=embedded)

    async def prepare(self, *, base: Path, catalog: Path) -> None:
        """
        Apply *base*, and the list of images that *catalog* allows.

        Raises:
            Trouble: The cluster refused, with its own words.
        """
        await self._run("apply", "-k", str(base))
        await self._run("apply", "-f", "-", given=json.dumps(image_list(catalog)))

    async def hub_kubeconfig(self) -> str:
        """Return a kubeconfig with which the hub is `helm-values/base`'s ServiceAccount."""
        token = await self._run(
            "create", "token", "hub", f"--namespace={NAMESPACE}", f"--duration={TOKEN_DURATION}"
        )
        admin = yaml.safe_load(self._kubeconfig.read_text("utf-8"))
        return yaml.safe_dump(as_hub(admin, token=token.strip(), folder=self._kubeconfig.parent))

    async def _run(self, *arguments: str, given: str = "") -> str:
        process = await asyncio.create_subprocess_exec(
            *self._kubectl,
            f"--kubeconfig={self._kubeconfig}",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            said, complaint = await process.communicate(given.encode())
        except asyncio.CancelledError:
            process.terminate()
            raise
        if process.returncode != 0:
            raise Trouble(
                problem=f"kubectl {' '.join(arguments[:3])} failed: {complaint.decode().strip()}",
                remedy="Check that the kubeconfig is an admin's and its cluster runs, "
                "then start again.",
            )
        return said.decode()


def image_list(catalog: Path) -> dict[str, Any]:
    """Return the ConfigMap from which the admission policy reads the images that may run."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "eugo-images", "namespace": NAMESPACE},
        "data": {"images": "".join(f"{reference}\n" for reference in references(catalog))},
    }


def as_hub(admin: Mapping[str, Any], *, token: str, folder: Path) -> dict[str, Any]:
    """
    Return the kubeconfig *admin*, cut down to its current cluster and to the hub's *token*.

    Args:
        admin: A parsed kubeconfig.

        token: Of the hub's ServiceAccount.

        folder: Where *admin* stands; paths in it are relative to this.
    """
    context = _named(admin, "contexts")[admin["current-context"]]["context"]
    cluster = dict(_named(admin, "clusters")[context["cluster"]]["cluster"])
    authority = cluster.pop("certificate-authority", None)
    if authority is not None:
        content = (folder / authority).read_bytes()
        cluster["certificate-authority-data"] = base64.b64encode(content).decode()
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "hub",
        "clusters": [{"name": "hub", "cluster": cluster}],
        "users": [{"name": "hub", "user": {"token": token}}],
        "contexts": [
            {"name": "hub", "context": {"cluster": "hub", "user": "hub", "namespace": NAMESPACE}}
        ],
    }


def _named(kubeconfig: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {entry["name"]: entry for entry in kubeconfig[kind]}
