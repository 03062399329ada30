"""
Exporters: has a Pod that reads volumes come up, and asks it.

A Pod is started when something is wanted of it and none is there: for the count, and again for the download if the
first has ended meanwhile. Whatever happened to the last one, the next try starts from what the cluster has now.
Source: F84; F85; L8.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

import aiohttp

from eugospawner.policy.errors import ClusterError, EugoError
from eugospawner.policy.volumes import key_of, place_of, project_of
from hub_services.export import choosing, links, manifest

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterable,
        AsyncIterator,
        Awaitable,
        Callable,
        Collection,
        Iterable,
        Mapping,
        Sequence,
    )

    from eugospawner.store.exports import Export
    from hub_services.export.cluster import Claim, Exporter
    from hub_services.export.manifest import Attached

_log: Final = logging.getLogger(__name__)

#: An image may have to be pulled first.
START_SECONDS: Final = 180
_LOOK_SECONDS: Final = 0.3
#: Counting reads every folder of a volume.
_SURVEY_SECONDS: Final = 900
_PROGRESS_SECONDS: Final = 5
_CHUNK: Final = 1 << 18
_UNFIT: Final = 422
_OK: Final = 200


class ExportError(EugoError):
    """An export cannot be had; says why and what to do."""


class Cluster(Protocol):
    """What is asked of Kubernetes; all raise `ClusterError`."""

    async def claims_of(self, owner: str, keys: Iterable[str]) -> tuple[Claim, ...]: ...  # noqa: D102

    async def attached(  # noqa: D102
        self, owner_slug: str, claims: Sequence[str], projects: Collection[str] = ()
    ) -> Attached | None: ...

    async def exporters(self, export: str = "") -> tuple[Exporter, ...]: ...  # noqa: D102

    async def create(self, pod: Any) -> None: ...  # noqa: D102

    async def delete(self, exporter: Exporter) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """
    What a Pod is for.

    Attributes:
        id: Random; the label by which it is known whose Pod is whose.
        volumes: What it reads of *owner*, by the names of `policy.volumes.name_of`.
        token: What it is asked with.
        is_document: Whether it makes a document, for which it needs more memory.
        is_restore: Whether it unpacks an archive.
    """

    id: str
    owner: str
    volumes: tuple[str, ...]
    token: str = field(repr=False)
    is_document: bool = False
    is_restore: bool = False


def errand_to(owner: str, volume: str, *, is_restore: bool = False) -> Errand:
    """Return a new errand to the volume of *owner* that is called *volume*."""
    return Errand(
        id=secrets.token_hex(16),
        owner=owner,
        volumes=(volume,),
        token=secrets.token_hex(32),
        is_restore=is_restore,
    )


def errand_of(export: Export) -> Errand:
    """Return what the Pod of *export* is for."""
    return Errand(
        id=export.id,
        owner=export.owner,
        volumes=tuple(export.choice),
        token=links.exporter_token(export),
        is_document=choosing.form_of(export.choice) != choosing.ZIP,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """
    What exporters are made with.

    Attributes:
        image: It has Python 3 and this package.
        priority_class: Returns one that preempts nobody.
        slug: Makes a user's name fit for a label.
    """

    image: str
    priority_class: Callable[[], Awaitable[str]]
    slug: Callable[[str], str]


class Exporters:
    """The Pods that read volumes."""

    def __init__(self, cluster: Cluster, session: aiohttp.ClientSession, means: Means) -> None:
        self._cluster = cluster
        self._session = session
        self._means = means
        self._locks: dict[str, asyncio.Lock] = {}

    async def survey(self, export: Export) -> Mapping[str, Any]:
        """
        Return what *export* comes to (`exporter.desk.Desk.survey`).

        Raises:
            ExportError: It cannot be had.
            ClusterError: Kubernetes cannot be asked.
        """
        words = {"choices": export.choice}
        async with self._asked(
            errand_of(export), "survey", seconds=_SURVEY_SECONDS, json=words
        ) as answer:
            found: Mapping[str, Any] = await answer.json()
            return found

    async def usage(self, errand: Errand) -> Mapping[str, Any]:
        """
        Return what the one volume of *errand* holds (`exporter.desk.Desk.usage`).

        Raises:
            ExportError: It cannot be had.
            ClusterError: Kubernetes cannot be asked.
        """
        (volume,) = errand.volumes
        async with self._asked(
            errand, "usage", seconds=_SURVEY_SECONDS, json={"volume": volume}
        ) as answer:
            found: Mapping[str, Any] = await answer.json()
            return found

    async def restore(
        self, errand: Errand, folder: str, chunks: AsyncIterable[bytes]
    ) -> Mapping[str, Any]:
        """
        Have the Pod of *errand* unpack what *chunks* are into the new *folder* (`exporter.desk.Desk.restore`).

        Raises:
            ExportError: It cannot be unpacked, or the Pod broke off.
            ClusterError: Kubernetes cannot be asked.
        """
        (volume,) = errand.volumes
        where = {"volume": volume, "folder": folder}
        try:
            async with self._asked(errand, "restore", params=where, data=chunks) as answer:
                found: Mapping[str, Any] = await answer.json()
                return found
        except aiohttp.ClientError as error:
            message = f"The Pod broke off: {error}. Nothing was restored. Try again."
            raise ExportError(message) from error

    @contextlib.asynccontextmanager
    async def archive(
        self, export: Export, about: Mapping[str, Any]
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """
        Give the archive of *export*, as it is made; one that breaks off raises `aiohttp.ClientError`.

        Raises:
            ExportError: It cannot be had.
            ClusterError: Kubernetes cannot be asked.
        """
        words = {
            "choices": export.choice, "about": dict(about), "at": export.created_at.isoformat(),
        }  # fmt: skip
        async with self._asked(errand_of(export), "archive", json=words) as answer:
            yield answer.content.iter_chunked(_CHUNK)

    async def progress(self, export: Export) -> Mapping[str, Any] | None:
        """Return how far the Pod of *export* is with whatever it does; `None`: there is none."""
        errand = errand_of(export)
        try:
            for pod in await self._cluster.exporters(export.id):
                if pod.is_ready and not pod.is_going:
                    async with self._session.get(
                        _address(pod, "progress"),
                        headers=_headers(errand),
                        timeout=aiohttp.ClientTimeout(total=_PROGRESS_SECONDS),
                    ) as answer:
                        if answer.status == _OK:
                            found: Mapping[str, Any] = await answer.json()
                            return found
        except (EugoError, aiohttp.ClientError, TimeoutError, ValueError) as error:
            _log.info("No word of the export %s: %s", export.id, error)
        return None

    async def end(self, errand: Errand) -> None:
        """Delete the Pod of *errand*, which nobody needs any more; if that fails, it is the sweep's or its own to end."""
        try:
            for pod in await self._cluster.exporters(errand.id):
                await self._cluster.delete(pod)
        except ClusterError as error:
            _log.info("The Pod of the errand %s is not deleted yet: %s", errand.id, error)

    @contextlib.asynccontextmanager
    async def _asked(
        self, errand: Errand, what: str, *, seconds: float | None = None, **sent: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Give the answer of the errand's Pod to what is *sent*, in the client's words."""
        pod = await self._running(errand)
        try:
            async with self._session.post(
                _address(pod, what),
                headers=_headers(errand),
                timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=_PROGRESS_SECONDS),
                **sent,
            ) as answer:
                if answer.status == _UNFIT:
                    raise ExportError((await answer.json())["detail"])
                if answer.status != _OK:
                    message = f"The Pod {pod.name} answered with {answer.status}. Try again."
                    raise ExportError(message)
                yield answer
        except TimeoutError as error:
            message = "The volume takes too long to read. Choose a folder, or try again."
            raise ExportError(message) from error
        except aiohttp.ClientConnectorError as error:
            message = f"The Pod {pod.name} does not answer. Try again."
            raise ExportError(message) from error

    async def _running(self, errand: Errand) -> Exporter:
        """Return the Pod of *errand* that answers; it is started if there is none."""
        lock = self._locks.setdefault(errand.id, asyncio.Lock())
        try:
            async with lock, asyncio.timeout(START_SECONDS):
                return await self._started(errand)
        except TimeoutError as error:
            trouble = [each.trouble for each in await self._cluster.exporters(errand.id)]
            said = "; ".join(filter(None, trouble)) or "Kubernetes does not say why"
            message = (
                f"The Pod that reads the volume did not come up within {START_SECONDS} s: {said}. "
                "Try again, or ask an admin."
            )
            raise ExportError(message) from error
        finally:
            if not lock.locked():
                self._locks.pop(errand.id, None)

    async def _started(self, errand: Errand) -> Exporter:
        is_created = False
        while True:
            seen = await self._cluster.exporters(errand.id)
            found = [each for each in seen if not each.is_going]
            for each in found:
                if each.is_ready and each.address:
                    return each
            if not found:
                if is_created:
                    why = "; ".join(filter(None, (each.trouble for each in seen)))
                    message = f"The Pod that reads the volume has ended at once ({why or 'it does not say why'}). "
                    message += "Try again, or ask an admin."
                    raise ExportError(message)
                await self._create(errand)
                is_created = True
            await asyncio.sleep(_LOOK_SECONDS)

    async def _create(self, errand: Errand) -> None:
        wanted = {place_of(key_of(name), errand.owner): name for name in errand.volumes}
        found = [
            each
            for holder in dict.fromkeys(holder for holder, _ in wanted)
            for each in await self._cluster.claims_of(
                holder, [key for other, key in wanted if other == holder]
            )
        ]
        claims = {
            wanted[each.owner, each.key]: each.name
            for each in found
            if (each.owner, each.key) in wanted and not each.is_going
        }
        lacking = set(errand.volumes) - claims.keys()
        if lacking:
            message = (
                f"There is no volume {', '.join(sorted(lacking))} yet, or it was destroyed. "
                "Start the workspace once: that makes it."
            )
            raise ExportError(message)
        owner_slug = self._means.slug(errand.owner)
        pod = manifest.make_exporter(
            export=errand.id,
            suffix=secrets.token_hex(3),
            owner=errand.owner,
            owner_slug=owner_slug,
            claims=claims,
            token=errand.token,
            image=self._means.image,
            priority_class=await self._means.priority_class(),
            attached=await self._cluster.attached(
                owner_slug,
                tuple(claims.values()),
                [project for holder, _ in wanted if (project := project_of(holder)) is not None],
            ),
            is_document=errand.is_document,
            is_restore=errand.is_restore,
        )
        await self._cluster.create(pod)


def _address(pod: Exporter, what: str) -> str:
    return f"http://{pod.address}/v1/{what}"


def _headers(errand: Errand) -> dict[str, str]:
    return {"Authorization": f"Bearer {errand.token}"}
