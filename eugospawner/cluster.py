"""
Cluster: the objects that a start needs besides its Pod, through the Kubernetes API.

Each `ensure` is idempotent and survives a crash, a retry and a twin: the object is created, or
found to be there already and to be the right one. Refusals by the cluster (quota, admission
policy, permission) come out as `ClusterError` in the cluster's words; a passing fault is retried
within a bound. Source: design §5, steps 4 to 6; facts on Kubernetes faults.
"""

from __future__ import annotations

import asyncio
import json
import urllib.request
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import orjson
from kubernetes_asyncio.client import ApiException

from eugospawner.manifests import claims, labels, names
from eugospawner.policy.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

#: A Kubernetes object as JSON gives it.
Json = Any

#: Answers that the same call may not get a second time.
_PASSING: Final = frozenset({429, 500, 502, 503, 504})
_ATTEMPTS: Final = 6
#: Of one attempt. An API server that takes longer than its own admission webhooks may is gone.
_ANSWER_SECONDS: Final = 30
#: As the client has it: etcd takes no larger object.
_LARGEST_EVENT: Final = 2**21
_FIRST_ERROR: Final = 400
_FIRST_DELAY: Final = 0.1
_NOT_FOUND: Final = 404
_FORBIDDEN: Final = 403
_CONFLICT: Final = 409
_INVALID: Final = 422
#: A Pod deleted without grace is gone within a second or two; half a minute is patience.
_LEFTOVER_ATTEMPTS: Final = 60
_LEFTOVER_SECONDS: Final = 0.5


async def call(
    what: str, method: Callable[..., Awaitable[Any]], *arguments: object, **keywords: object
) -> Json:
    """
    Return the JSON answer of the API's *method*, called again while the fault is a passing one.

    The answer is read as it came. The client's own models would parse every date and be made
    into JSON again: half of the CPU of a start (benchmark B1).

    Args:
        what: What is tried, for errors: ``create the volume data``.
        method: Of one of the client's APIs; *arguments* and *keywords* are its own.

    Raises:
        ClusterError: The cluster refused, or went on failing.
    """
    delay = _FIRST_DELAY
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return await _answer(method, *arguments, **keywords)
        except ApiException as error:
            if error.status not in _PASSING or attempt == _ATTEMPTS:
                raise to_error(what, error) from error
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            if attempt == _ATTEMPTS:
                message = f"Could not {what}: the Kubernetes API does not answer ({error})"
                raise ClusterError(message) from error
        await asyncio.sleep(delay)
        delay *= 2
    raise AssertionError  # the last attempt returns or raises


async def _answer(
    method: Callable[..., Awaitable[Any]], *arguments: object, **keywords: object
) -> Json:
    timeout = {"_request_timeout": _ANSWER_SECONDS}
    sent = (_Plain(each) if isinstance(each, dict) else each for each in arguments)
    response = await method(*sent, **(timeout | keywords), _preload_content=False)
    try:
        text = await response.read()
    finally:
        response.release()
    if response.status >= _FIRST_ERROR:
        # Without preloading the client raises nothing by itself.
        error = ApiException(status=response.status, reason=response.reason)
        error.body = text.decode(errors="replace")
        raise error
    return orjson.loads(text)


def to_error(what: str, error: ApiException) -> ClusterError:
    """Return *error* in our words, with Kubernetes' own sentence in it."""
    said, reason = str(error.reason or ""), ""
    try:
        body = json.loads(error.body or "")
        said, reason = body.get("message") or said, body.get("reason") or ""
    except (ValueError, AttributeError, TypeError):
        pass  # not a Status object: the HTTP reason has to do
    return ClusterError(f"Could not {what}: {said}", status=error.status or 0, reason=reason)


class _Plain(dict[str, Json]):
    """JSON all through, in which no model and no time has to be looked for."""


def send_as_it_stands(client: Any) -> None:
    """Have an API client not look through what `call` sends, which is JSON (benchmark B1)."""
    sanitize = client.sanitize_for_serialization
    client.sanitize_for_serialization = lambda value: (
        value if isinstance(value, _Plain) else sanitize(value)
    )


def settle_route(client: Any) -> None:
    """
    Have an API client not look for a proxy and a netrc file anew at each request.

    It does so in a thread, twice a request, which costs a start more than what is sent (benchmark
    B1). Where the environment names a proxy the client stays as it is. A netrc entry for the API
    server would be an error anyway, since the client has a credential of its own.
    """
    if urllib.request.getproxies():
        return
    rest = client.rest_client
    before = rest.pool_manager
    connector = before.connector
    before.detach()
    rest.pool_manager = aiohttp.ClientSession(
        connector=connector, trust_env=False, read_bufsize=_LARGEST_EVENT
    )


class ClaimTemplates:
    """
    ResourceClaimTemplates by shape, created when first needed.

    Names are hashes of content, so a template that exists is the right one, and one that was
    seen need not be looked for again, until somebody says it is gone.
    """

    def __init__(self) -> None:
        self._known: set[tuple[str, str]] = set()

    def forget(self, namespace: str, template: Json) -> None:
        """Forget a template that the cluster says is missing, so that `ensure` makes it anew."""
        self._known.discard((namespace, names.of(template)))

    async def ensure(self, api: Any, namespace: str, template: Json) -> None:
        """
        Make sure that *template* exists.

        Raises:
            ClusterError: It could not be made; reason ``DropsShares`` if the API server keeps
                templates without their capacity, so that a share would become whole GPUs.
        """
        name = names.of(template)
        if (namespace, name) in self._known:
            return
        try:
            stored = await call(
                "create the GPU claim template",
                api.create_namespaced_resource_claim_template,
                namespace,
                template,
            )
        except ClusterError as error:
            if error.status != _CONFLICT:
                raise
            stored = await call(
                "read the GPU claim template",
                api.read_namespaced_resource_claim_template,
                name,
                namespace,
            )
        if not claims.keeps_capacity(template, stored):
            message = (
                "The API server drops a part of the GPU claim (capacity, constraints or "
                "configuration), so a share would become whole GPUs. "
                "Ask an admin to enable the feature gate DRAConsumableCapacity."
            )
            raise ClusterError(message, status=_CONFLICT, reason="DropsShares")
        self._known.add((namespace, name))


async def ensure_volume_claim(api: Any, namespace: str, claim: Json, *, known: bool) -> None:
    """
    Make sure that the PersistentVolumeClaim *claim* exists and belongs to its owner.

    Args:
        known: It was seen before, and is looked for first: then one call is enough either way.

    Raises:
        ClusterError: It could not be made, or one of that name belongs to somebody else.
    """
    name = claim["metadata"]["name"]
    existing = await _find_claim(api, namespace, name) if known else None
    if existing is None:
        try:
            await call(
                f"create the volume {name}",
                api.create_namespaced_persistent_volume_claim,
                namespace,
                claim,
            )
        except ClusterError as error:
            # A full quota is said before it is seen that the volume exists already.
            if error.status not in {_CONFLICT, _FORBIDDEN}:
                raise
            existing = await _find_claim(api, namespace, name)
            if existing is None:
                raise
    if existing is not None:
        _check_owner(existing, claim)


async def is_on_one_node(api: Any, namespace: str, name: str) -> bool:
    """
    Tell whether the volume behind the PersistentVolumeClaim *name* can be attached to one Node at a time only.

    Raises:
        ClusterError: Kubernetes could not be asked.
    """
    found = await _find_claim(api, namespace, name)
    modes = set() if found is None else set(found["spec"].get("accessModes") or ())
    return bool(modes) and not modes & {"ReadWriteMany", "ReadOnlyMany"}


def _check_owner(existing: Json, claim: Json) -> None:
    for annotation in (labels.USER, "hub.jupyter.org/username"):
        wanted = (claim["metadata"].get("annotations") or {}).get(annotation)
        found = (existing["metadata"].get("annotations") or {}).get(annotation)
        if wanted is not None and found is not None and wanted != found:
            message = f"The volume {names.of(existing)} belongs to somebody else"
            raise ClusterError(message, status=_CONFLICT, reason="ForeignVolume")


async def _find_claim(api: Any, namespace: str, name: str) -> Json | None:
    try:
        return await call(
            f"read the volume {name}",
            api.read_namespaced_persistent_volume_claim,
            name,
            namespace,
        )
    except ClusterError as error:
        if error.status == _NOT_FOUND:
            return None
        raise


async def create_pod(api: Any, namespace: str, pod: Json) -> Json:
    """
    Create *pod* as it stands, and return it as the API server stored it.

    A Pod of the same name and session is ours: an answer was lost, and the Pod is there. One of
    another session is a leftover; it is deleted, by its uid, and waited for.

    Raises:
        ClusterError: The cluster refused the Pod, or a leftover does not go.
    """
    name, session = names.of(pod), pod["metadata"]["labels"][labels.SESSION]
    for _ in range(_LEFTOVER_ATTEMPTS):
        try:
            return await call("create the workspace", api.create_namespaced_pod, namespace, pod)
        except ClusterError as error:
            if error.status != _CONFLICT or error.reason != "AlreadyExists":
                raise
            existing = await _find_pod(api, namespace, name)
            if (
                existing is not None
                and existing["metadata"]["labels"].get(labels.SESSION) == session
            ):
                return existing
            if existing is not None:
                await delete_pod(
                    api, namespace, name, grace_seconds=0, uid=existing["metadata"]["uid"]
                )
                await asyncio.sleep(_LEFTOVER_SECONDS)
    message = f"Could not create the workspace: its former Pod {name} does not go away"
    raise ClusterError(message, status=_CONFLICT, reason="AlreadyExists")


async def delete_pod(
    api: Any,
    namespace: str,
    name: str,
    *,
    grace_seconds: int,
    uid: str | None = None,
) -> None:
    """
    Ask for the Pod's deletion; one that is gone, or is another one by *uid*, is fine.

    Raises:
        ClusterError: The cluster refused, or went on failing.
    """
    options: Json = {"gracePeriodSeconds": grace_seconds}
    if uid is not None:
        options["preconditions"] = {"uid": uid}
    try:
        await call(f"stop the Pod {name}", api.delete_namespaced_pod, name, namespace, body=options)
    except ClusterError as error:
        if error.status != _NOT_FOUND and not (uid is not None and error.status == _CONFLICT):
            raise


async def label_pod(
    api: Any, namespace: str, name: str, values: Mapping[str, str], *, uid: str = ""
) -> None:
    """
    Set labels of a Pod; one that is gone is fine.

    Args:
        uid: Only if it is this very one; empty: whichever has the name.

    Raises:
        ClusterError: The cluster refused, or went on failing.
    """
    patch: Json = {"metadata": {"labels": dict(values)}}
    if uid:
        patch["metadata"]["uid"] = uid
    try:
        await call(
            f"label the Pod {name}",
            api.patch_namespaced_pod,
            name,
            namespace,
            patch,
            _content_type="application/merge-patch+json",
        )
    except ClusterError as error:
        is_another = uid and error.status == _INVALID and "metadata.uid" in str(error)
        if error.status != _NOT_FOUND and not is_another:
            raise


async def _find_pod(api: Any, namespace: str, name: str) -> Json | None:
    try:
        return await call(f"read the Pod {name}", api.read_namespaced_pod, name, namespace)
    except ClusterError as error:
        if error.status == _NOT_FOUND:
            return None
        raise
