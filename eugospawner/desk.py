"""
Desk: what all spawners of a hub process share.

JupyterHub makes one spawner object per server; catalog, store, reflectors and the memory of
claim templates exist once per process, configuration and event loop. The desk opens them when
they are first needed and hands them out; it knows no user and decides nothing.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from eugospawner import settings
from eugospawner.cluster import ClaimTemplates
from eugospawner.judge import Circumstances
from eugospawner.manifests import labels
from eugospawner.manifests.placement import Placement
from eugospawner.once import Once
from eugospawner.policy import accounts
from eugospawner.policy.admission import Gpus
from eugospawner.policy.errors import ConfigError
from eugospawner.policy.volumes import Volumes
from eugospawner.store import open_store
from eugospawner.watches import Watches

if TYPE_CHECKING:
    from datetime import datetime

    from kubespawner import KubeSpawner

    from eugospawner.policy.catalog import Catalog
    from eugospawner.store import Store

#: A Kubernetes object as JSON gives it.
Json = Any

#: Starts that are on their way to their Pod at the same time. In a crowd, the first then have it
#: while the last are still being prepared; all at once, each would wait for all.
_AT_ONCE: Final = 16

_DESKS: Final[dict[tuple[object, ...], Desk]] = {}


def desk_of(spawner: KubeSpawner) -> Desk:
    """Return the desk for the configuration of *spawner* on the running loop."""
    key = (
        asyncio.get_running_loop(),
        spawner.catalog_file,
        spawner.store_url,
        spawner.namespace,
    )
    if key not in _DESKS:
        _DESKS[key] = Desk(spawner)
    return _DESKS[key]


class Desk:
    """
    Catalog, store, watches and templates of a hub process.

    Args:
        spawner: Any spawner of the process; its configuration is everybody's.

    Raises:
        ConfigError: A setting is missing or wrong, or the catalog is.
    """

    def __init__(self, spawner: KubeSpawner) -> None:
        for setting in ("catalog_file", "store_url", "now"):
            if not getattr(spawner, setting):
                message = f"EugoSpawner.{setting} is not set: set c.EugoSpawner.{setting}"
                raise ConfigError(message)
        self.catalog: Catalog = settings.mark_unavailable(
            settings.load_catalog(Path(spawner.catalog_file)),
            kinds=spawner.unavailable_kinds,
            images=spawner.unavailable_images,
        )
        self.watches = Watches(
            spawner,
            spawner.namespace,
            spawner.component_label,
            Placement(
                tolerations=spawner._sorted_dict_values(spawner.tolerations),  # noqa: SLF001
                node_selector=dict(spawner.node_selector),
            ),
        )
        self.templates = ClaimTemplates()
        #: Held from the decision to the creation of the Pod; first come, first served.
        self.turn = asyncio.Semaphore(_AT_ONCE)
        self._log = spawner.log
        store_url: str = spawner.store_url
        self._store: Once[Store] = Once(lambda: open_store(store_url))

    async def store(self) -> Store:
        """
        Return the store, opened once.

        Raises:
            StoreError: It cannot be opened; the next call tries again.
        """
        return await self._store.get()

    async def circumstances(
        self, *, owner: str, owner_slug: str, now: datetime, volumes: bool
    ) -> Circumstances:
        """
        Return what a request of *owner* is judged by at *now*.

        Args:
            volumes: Whether the owner's extra volumes matter; a request that names none is judged
                without asking for them, which is a twentieth of a start's CPU.

        Raises:
            StoreError: The store does not answer.
        """
        store = await self.store()
        owned = await store.volumes.of_owner(owner) if volumes else {}
        return Circumstances(
            catalog=self.catalog,
            accounts=accounts.personal_accounts(owner_slug),
            volumes=Volumes(by_key=owned),
            cluster=await self.watches.view(self.catalog.gpu_models, self._log.warning),
            now=now,
        )

    def gpus_of(self, pod: Json | None) -> Gpus | None:
        """Return the GPUs that *pod* was made for, by its labels; `None`: none, or unknown."""
        found = (pod or {}).get("metadata", {}).get("labels") or {}
        model = self.catalog.gpu_models.get(found.get(labels.GPU_MODEL, ""))
        if model is None:
            return None
        return Gpus(
            model=model,
            count=int(found.get(labels.GPU_COUNT, 0)),
            sm_percent=int(found.get(labels.SM_PERCENT, 0)),
        )
