"""What the hub's Pod has of the chart, as files and variables."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

from tests.deploy.charts import VALUES, one

if TYPE_CHECKING:
    from pathlib import Path

#: Where the chart mounts its configuration.
PLACE: Final = "/usr/local/etc/jupyterhub"


def as_mounted(
    objects: list[dict[str, Any]], folder: Path, *, below: str | None = None
) -> dict[str, str]:
    """
    Write what the hub's Pod has of the chart below *folder*; return its variables.

    Args:
        below: Where *folder* will be seen; `None`: where it is.
    """
    config = one(objects, "ConfigMap", "hub")["data"]
    secret = one(objects, "Secret", "hub")
    (folder / "config").mkdir()
    (folder / "secret").mkdir()
    for name, text in config.items():
        (folder / "config" / name).write_text(text)
        (folder / name).write_text(text.replace(PLACE, below or str(folder)))
    decoded = {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}
    for name, text in {**decoded, **secret["stringData"]}.items():
        (folder / "secret" / name).write_text(text)
    (container,) = one(objects, "Deployment", "hub")["spec"]["template"]["spec"]["containers"]
    told = {each["name"]: each["value"] for each in container["env"] if "value" in each}
    return told | {
        "POD_NAMESPACE": "eugo", "EUGO_NAMESPACE": "eugo", "CONFIGPROXY_AUTH_TOKEN": "x",
        "HUB_SERVICE_PORT": "8081", "PROXY_API_SERVICE_PORT": "8001",
        "EUGO_CATALOG": str(VALUES / "catalog.yaml"),
        "EUGO_DATABASE_URL": "sqlite:////srv/store.sqlite",
    }  # fmt: skip
