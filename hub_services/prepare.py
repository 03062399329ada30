"""
Prepare: what a hub on a cluster looks at before it begins, so that what is wrong is said once, in one line each.

Loaded by the chart's `hub.extraConfig` after the product's configuration, when all of it is known. It brings the store's
schema up to this release, and ends the hub's start where nothing could work: without a catalog that makes sense, and
without its database. What only some starts need (a queue's PriorityClass, a GPU driver, a StorageClass), and what may
come back by itself (the identity provider), is told and starts nothing anew. What ended it also stands in the Pod's
status, for `kubectl describe`. Source: promise 7; Kubernetes, "Customizing the termination message".
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import aiohttp
from kubernetes_asyncio.client import (
    ApiClient,
    CustomObjectsApi,
    ResourceV1Api,
    SchedulingV1Api,
    StorageV1Api,
)
from traitlets import TraitError

from eugospawner.authenticator import EugoAuthenticator
from eugospawner.cluster import call
from eugospawner.manifests import kueue
from eugospawner.oidc.provider import WELL_KNOWN, check_issuer, to_metadata
from eugospawner.policy.catalog import Engine
from eugospawner.policy.errors import (
    ClusterError,
    ConfigError,
    EugoError,
    StoreError,
    UnfitSettings,
)
from eugospawner.source import Source
from eugospawner.store import open_store, upgrade
from hub_services.common import process

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping

    from eugospawner.policy.catalog import Catalog

#: Kubernetes shows up to 4 KiB of what is written here.
TERMINATION_LOG: Final = Path("/dev/termination-log")
_LONGEST: Final = 4096
#: Of the identity provider, and of Kubernetes all in all.
_PATIENCE_SECONDS: Final = 15
_DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"
_OURS: Final = "EugoAuthenticator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is wrong, in one line; *is_fatal*: nothing would work."""

    sentence: str
    is_fatal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """
    What the cluster has for workspaces.

    Attributes:
        never_preempting: Names of PriorityClasses whose `preemptionPolicy` is `Never`; *preempting*: of the others.
        drivers: DRA drivers that publish devices now.
        storage_classes: Names of StorageClasses; *has_default*: whether one of them is used where none is named.
        local_queues: Why each LocalQueue of Kueue in the namespace admits nothing, by its name; empty: it does.
            `None`: the cluster has no Kueue, or nobody asked.
    """

    never_preempting: frozenset[str]
    preempting: frozenset[str]
    device_classes: frozenset[str]
    drivers: frozenset[str]
    storage_classes: frozenset[str]
    has_default: bool
    local_queues: Mapping[str, str] | None = None


class Cluster(Protocol):
    """What is asked of Kubernetes."""

    async def offer(self, engine: Engine) -> Offer:
        """Return what it has, of Kueue if that is the *engine*; raises `ClusterError` and `ConfigError`."""
        ...


def lacking(catalog: Catalog, offer: Offer, storage_class: str) -> Iterator[Finding]:
    """Yield what *catalog* promises and the cluster does not have."""
    for queue in catalog.queues.values():
        name = queue.priority_class
        if name in offer.preempting:
            problem = "would preempt people's work unasked: its preemptionPolicy is not Never. Name one of eugo-*"
        elif name not in offer.never_preempting:
            problem = "is not there. Apply helm-values/base, or name one of eugo-*"
        else:
            continue
        yield Finding(
            sentence=f"queues.{queue.key}.priority_class: the PriorityClass {name} {problem}. No workspace of this "
            "queue can start."
        )
    for model in catalog.gpu_models.values():
        if model.device_class not in offer.device_classes:
            problem = (
                f"device_class: the DeviceClass {model.device_class} is not there. Install the DRA driver "
                f"{model.driver}, or correct the name"
            )
        elif model.driver not in offer.drivers:
            problem = (
                f"driver: {model.driver} publishes no device. Look whether its Pods run on Nodes with GPUs, or "
                "correct the name"
            )
        else:
            continue
        yield Finding(sentence=f"gpu_models.{model.key}.{problem}. Until then nobody gets one.")
    yield from _lacking_queues(catalog, offer)
    if storage_class and storage_class not in offer.storage_classes:
        yield Finding(
            sentence=f"EUGO_STORAGE_CLASS: the StorageClass {storage_class} is not there. Name one that is, or leave "
            "it out. No home can be made."
        )
    elif not storage_class and not offer.has_default:
        yield Finding(
            sentence="EUGO_STORAGE_CLASS: not set, and no StorageClass is the cluster's default. Set it. No home can "
            "be made."
        )


def _lacking_queues(catalog: Catalog, offer: Offer) -> Iterator[Finding]:
    """Yield which queues Kueue does not have, where it is the engine."""
    if catalog.engine is not Engine.KUEUE:
        return
    if offer.local_queues is None:
        yield Finding(
            sentence="defaults.engine: kueue, and this cluster has no Kueue. Install it "
            "(docs/howto/kueue.md), or set defaults.engine to scheduler. No workspace can start."
        )
        return
    for queue in catalog.queues.values():
        where = f"queues.{queue.key}.local_queue: the LocalQueue {queue.local_queue}"
        if queue.local_queue not in offer.local_queues:
            problem = "is not there. Apply helm-values/kueue, or name one that is"
        elif offer.local_queues[queue.local_queue]:
            said = offer.local_queues[queue.local_queue].rstrip(".")
            problem = f"admits nothing: Kueue says: {said}. Mend its ClusterQueue"
        else:
            continue
        yield Finding(sentence=f"{where} {problem}. Workspaces of this queue wait until then.")


async def look(
    *,
    environment: Mapping[str, str],
    issuer: str | None,
    cluster: Cluster,
    fetch: Callable[[str], Awaitable[object]],
) -> tuple[Finding, ...]:
    """
    Bring the store up to this release, and return what is wrong.

    Args:
        issuer: The identity provider; `None`: people sign in in another way.
        fetch: Returns the JSON at an address; raises `OSError` and what stands in its place.
    """
    found: list[Finding] = []
    source = None
    try:
        source = Source(Path(environment.get("EUGO_CATALOG", "")), kinds={}, images={})
    except ConfigError as error:
        found += [Finding(sentence=line, is_fatal=True) for line in _lines(error)]
    found += await _look_at_store(environment.get("EUGO_DATABASE_URL", ""), source)
    if any(each.is_fatal for each in found):
        return tuple(found)
    if source is not None:
        found += await _look_at_cluster(
            cluster, source.settings.catalog, environment.get("EUGO_STORAGE_CLASS", "")
        )
    if issuer is not None:
        found += await _look_at_issuer(issuer, fetch)
    return tuple(found)


def or_exit(config: Any) -> None:
    """
    Look whether a hub with *config*, which is complete, can begin; say what is wrong, and end if it cannot.

    Raises:
        SystemExit: It cannot.
    """
    issuer = None
    if _OURS in str(config.JupyterHub.get("authenticator_class") or ""):
        issuer = str(config[_OURS].get("issuer") or "")
    cluster = Kubernetes(os.environ.get("EUGO_NAMESPACE") or "eugo")
    found = _in_thread(look(environment=os.environ, issuer=issuer, cluster=cluster, fetch=_fetch))
    if issuer is not None and not any(each.is_fatal for each in found):
        found += _look_at_authenticator(config)
    tell(found)
    if any(each.is_fatal for each in found):
        sys.exit(1)


def tell(found: tuple[Finding, ...], *, termination_log: Path = TERMINATION_LOG) -> None:
    """Print what was *found*; what ended the start goes where Kubernetes looks for it, too."""
    lines = [
        f"eugo: {'error' if each.is_fatal else 'warning'}: {each.sentence}"
        for each in sorted(found, key=lambda each: not each.is_fatal)
    ]
    for line in lines:
        sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
    if any(each.is_fatal for each in found):
        try:
            termination_log.write_text("\n".join(lines)[:_LONGEST], "utf-8")
        except OSError:
            return  # no Pod


@dataclass(frozen=True, slots=True)
class Kubernetes:
    """
    The cluster, asked as the hub.

    Attributes:
        namespace: Where workspaces are.
    """

    namespace: str

    async def offer(self, engine: Engine) -> Offer:
        """Return what it has, of Kueue if that is the *engine*; raises `ClusterError` and `ConfigError`."""
        async with ApiClient(await process.kubernetes()) as client:
            local_queues = None
            if engine is Engine.KUEUE:
                local_queues = await _local_queues(client, self.namespace)
            priorities = await _items(
                "PriorityClasses", SchedulingV1Api(client).list_priority_class
            )
            resource = ResourceV1Api(client)
            classes = await _items("DeviceClasses", resource.list_device_class)
            slices = await _items("ResourceSlices", resource.list_resource_slice)
            storage = await _items("StorageClasses", StorageV1Api(client).list_storage_class)
        never = {_name(each) for each in priorities if each.get("preemptionPolicy") == "Never"}
        return Offer(
            never_preempting=frozenset(never),
            preempting=frozenset(map(_name, priorities)) - never,
            device_classes=frozenset(map(_name, classes)),
            drivers=frozenset(each["spec"]["driver"] for each in slices),
            storage_classes=frozenset(map(_name, storage)),
            has_default=any(
                (each["metadata"].get("annotations") or {}).get(_DEFAULT_CLASS) == "true"
                for each in storage
            ),
            local_queues=local_queues,
        )


async def _look_at_store(url: str, source: Source | None) -> list[Finding]:
    if not url:
        said = "EUGO_DATABASE_URL: not set. Set it to the store: sqlite:////PATH or postgresql+asyncpg://…"
        return [Finding(sentence=said, is_fatal=True)]
    try:
        upgrade(url)
        if source is None:
            return []
        store = await open_store(url)
        try:
            source.take(await store.changes.since(0))
        finally:
            await store.close()
    except UnfitSettings as error:
        return [
            Finding(
                sentence=f"{' '.join(_lines(error))}. Until one of the two is mended no workspace starts."
            )
        ]
    except StoreError as error:
        return [Finding(sentence=f"EUGO_DATABASE_URL: {' '.join(_lines(error))}", is_fatal=True)]
    return []


async def _look_at_cluster(cluster: Cluster, catalog: Catalog, storage_class: str) -> list[Finding]:
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            return list(lacking(catalog, await cluster.offer(catalog.engine), storage_class))
    except (EugoError, TimeoutError) as error:
        said = " ".join(_lines(error)) or "Kubernetes does not answer"
        return [
            Finding(
                sentence=f"{said}. Whether the cluster has what the catalog names is not known."
            )
        ]


def _look_at_authenticator(config: Any) -> tuple[Finding, ...]:
    """Return why the hub could not have people sign in, which would end its start with a traceback."""
    try:
        EugoAuthenticator(config=config)
    except (ConfigError, TraitError) as error:
        secret = (
            " Secrets stand in the Secret that hub.existingSecret names."
            if "client_secret" in str(error)
            else ""
        )
        return (Finding(sentence=f"{' '.join(_lines(error))}.{secret}", is_fatal=True),)
    return ()


async def _look_at_issuer(issuer: str, fetch: Callable[[str], Awaitable[object]]) -> list[Finding]:
    where = f"{_OURS}.issuer"
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            checked = check_issuer(issuer)
            to_metadata(await fetch(checked.rstrip("/") + WELL_KNOWN), checked)
    except (EugoError, OSError, ValueError, aiohttp.ClientError, TimeoutError) as error:
        said = " ".join(_lines(error)) or "it does not answer"
        return [
            Finding(
                sentence=f"{where}: {issuer!r}: {said}. Nobody can sign in until that is mended."
            )
        ]
    return []


async def _fetch(url: str) -> object:
    async with (
        aiohttp.ClientSession(trust_env=True, raise_for_status=True) as session,
        session.get(url) as answer,
    ):
        return json.loads(await answer.read())


async def _items(what: str, method: Any) -> list[Any]:
    answer = await call(f"list the {what}", method, _request_timeout=_PATIENCE_SECONDS)
    return list(answer["items"] or ())


async def _local_queues(client: ApiClient, namespace: str) -> Mapping[str, str] | None:
    """Return why each LocalQueue of *namespace* admits nothing; empty: it does. `None`: there is no Kueue."""
    method = partial(
        CustomObjectsApi(client).list_namespaced_custom_object,
        kueue.GROUP, kueue.VERSION, namespace, "localqueues",
    )  # fmt: skip
    try:
        found = await _items("LocalQueues", method)
    except ClusterError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return None
        raise
    return {_name(each): _why_idle(each) for each in found}


def _why_idle(queue: Any) -> str:
    for each in (queue.get("status") or {}).get("conditions") or ():
        if each["type"] == "Active" and each["status"] != "True":
            return str(each.get("message") or each.get("reason") or "not active")
    return ""


def _name(found: Any) -> str:
    return str(found["metadata"]["name"])


def _lines(error: BaseException) -> list[str]:
    return [line.strip() for line in str(error).splitlines() if line.strip()]


def _in_thread(work: Coroutine[Any, Any, tuple[Finding, ...]]) -> tuple[Finding, ...]:
    """Run *work* to its end, whether a loop runs here already (the hub's does) or not."""
    found: list[tuple[Finding, ...]] = []
    thread = threading.Thread(target=lambda: found.append(asyncio.run(work)))
    thread.start()
    thread.join()
    if not found:
        sys.exit(1)  # the thread has said why
    return found[0]
