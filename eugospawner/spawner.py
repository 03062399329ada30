"""
EugoSpawner: a KubeSpawner whose every start was decided.

It translates and never decides: options were judged and became KubeSpawner's traits (`deciding`),
the Pod gets a few additions (`podspec`), and what Kubernetes reports becomes plain words
(`diagnosis`). `_start` is our own, in the order of design §5, because KubeSpawner's polls for
readiness, trusts a remembered PVC, deletes any Pod of the same name and lets the cluster's
refusals count as failures of the hub. What a start makes is found again by label, so a hub that
dies at any await leaves nothing that it does not adopt or sweep later (promise 6).
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from jupyterhub.utils import maybe_future
from kubernetes_asyncio.client import ApiException
from kubespawner.clients import shared_client

from eugospawner import cluster, diagnosis, podspec, refusals
from eugospawner.deciding import DecidingSpawner
from eugospawner.manifests import allocation, claims, configured, gate, labels, storage
from eugospawner.policy.errors import ClusterError, StoreError
from eugospawner.policy.lifecycle import ENDINGS, Ending
from eugospawner.policy.volumes import project_named_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from jupyterhub.spawner import SpawnException

    from eugospawner.policy.decisions import Gpus
    from eugospawner.reflector import EventReflector, PodReflector

#: A Kubernetes object as JSON gives it.
Json = Any

#: Beyond its grace period a Pod's end takes a moment of the kubelet's.
_STOP_SECONDS: Final = 60
#: A claim that its running Pod uses is allocated; only our copy of it may lag.
_CLAIM_SECONDS: Final = 30
#: How often progress looks at the clock when nothing happens.
_PROGRESS_SECONDS: Final = 5


class EugoSpawner(DecidingSpawner):
    """Starts workspaces that admission admitted, and says what happens in plain words."""

    _end_reason = ""
    _problem: str | None = None
    #: Who wants the server removed, for the audit.
    removed_by = ""
    _pvc_exists: bool

    @property
    def pod_reflector(self) -> PodReflector:
        """Our reflector in the place of KubeSpawner's."""
        return self.desk.watches.pods

    @property
    def event_reflector(self) -> EventReflector:
        """Our reflector in the place of KubeSpawner's."""
        return self.desk.watches.events

    async def _start_watching_pods(self, replace: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - upstream's signature
        await self.desk.watches.started(self.pod_reflector)

    @property
    def _pod_key(self) -> str:
        return f"{self.namespace}/{self.pod_name}"

    @property
    def _pod(self) -> Json | None:
        return self.pod_reflector.pods.get(self._pod_key)

    # Starting

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        #: What was seen of the start that is on its way: when, by sentence, in order.
        self._seen: dict[str, str] = {}

    async def _start(self) -> str:
        """
        Start the workspace and return its address.

        Raises:
            SpawnException: Denied, refused by the cluster, or failed for a cause that waiting
                cannot mend. JupyterHub then calls `stop`, which removes what was made.
            TimeoutError: It was not ready within `start_timeout`.
        """
        self._end_reason, self._problem, self._seen = Ending.START_FAILED.value, None, {}
        await self.load_user_options()
        try:
            await self.desk.watching()
            async with self.desk.turn:
                await self._create()
            async with self._in_time():
                ready = await self._until_ready()
            await self._bind(ready)
        except ApiException as error:
            raise self._broke(refusals.cluster_refused(cluster.to_error("start", error))) from error
        except (StoreError, ClusterError, gate.ManifestRefused) as error:
            raise self._broke(refusals.answer_to(error, self.log)) from error
        self._end_reason = ""
        return str(self._get_pod_url(ready))

    def _broke(self, refusal: SpawnException) -> SpawnException:
        """Keep what *refusal* says as what was wrong with the start."""
        self._problem = str(refusal.jupyterhub_message)
        return refusal

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        """Allow a start its time, and keep what it waited for if that was too short."""
        try:
            async with asyncio.timeout(self.start_timeout):
                yield
        except TimeoutError:
            waited = list(self._seen)[-1:]
            self._problem = (
                f"It was not ready within {self.start_timeout // 60} minutes. "
                f"The last that was seen: {waited[0] if waited else 'nothing.'}"
            )
            raise

    async def _create(self) -> None:
        """Record the session and create its Pod, after everything the Pod refers to."""
        await self.reserve()
        pod, declared = await self.get_pod_manifest(), configured.of(self)
        if self.modify_pod_hook:
            pod = await maybe_future(self.modify_pod_hook(self, pod))
        manifest = self.api.api_client.sanitize_for_serialization(pod)
        gate.hold(manifest, self._admitted.grant if self._admitted else None, declared)
        await self._prepare()
        created = await cluster.create_pod(self.api, self.namespace, manifest)
        self.desk.watches.pods.put(created)
        if self.after_pod_created_hook:
            await maybe_future(self.after_pod_created_hook(self, created))

    async def _prepare(self) -> None:
        """Make sure that everything the Pod refers to exists."""
        if self._admitted is None:
            return
        grant = self._admitted.grant
        home = self.api.api_client.sanitize_for_serialization(self.get_pvc_manifest())
        await cluster.ensure_volume_claim(self.api, self.namespace, home, known=self._pvc_exists)
        self._pvc_exists = True
        for mount in grant.mounts:
            if not project_named_in(mount.key):
                # The record first: a volume without one would be nobody's.
                await self.record_volume(storage.to_volume(mount, owner=grant.owner))
            claim = storage.make_volume_claim(
                mount,
                owner=grant.owner,
                owner_slug=self._slug(grant.owner),
                storage_class=self.storage_class,
                access_modes=self.desk.catalog.storage.access_modes,
            )
            await cluster.ensure_volume_claim(
                self.api, self.namespace, claim, known=bool(mount.claim_name)
            )
        if grant.gpus is not None:
            await self._ensure_template(grant.gpus)

    async def _ensure_template(self, gpus: Gpus) -> None:
        template = claims.make_claim_template(gpus)
        await self.desk.templates.ensure(shared_client("ResourceV1Api"), self.namespace, template)

    async def get_pod_manifest(self) -> Any:
        """Return KubeSpawner's Pod, completed by what was granted."""
        pod = await super().get_pod_manifest()
        if self._admitted is not None:
            podspec.complete(
                pod,
                self._admitted.grant,
                labels=self._pod_labels,
                home_claim=self.pvc_name,
                home_path=self.desk.catalog.storage.home_path,
            )
        return pod

    async def _until_ready(self) -> Json:
        """Return the Pod once it is ready; woken by its changes, never polling."""
        watches, healed = self.desk.watches, False
        while True:
            pod = self._pod
            events = watches.events.of_pod(self._pod_key)
            self._note(pod, events)
            if diagnosis.is_ready(pod):
                return pod
            if (failure := diagnosis.failure_of(pod, events)) is not None:
                self._end_reason = failure.reason
                # An end with words of its own has more said of it where it was asked for.
                self._problem = None if failure.reason in ENDINGS else failure.sentence
                raise refusals.failed(failure)
            gpus = self.desk.gpus_of(pod)
            if gpus is not None and not healed and diagnosis.misses_template(events):
                # Somebody removed the shared template; the controller tries again by itself.
                healed = True
                self.desk.templates.forget(self.namespace, claims.make_claim_template(gpus))
                await self._ensure_template(gpus)
            await watches.bell.wait(self._pod_key)

    def _note(self, pod: Json | None, events: Sequence[Json]) -> None:
        """Keep what is seen of the start for its log (F91): our words, then those of Kubernetes."""
        at = self.now().isoformat(timespec="seconds")
        claim = self.desk.watches.claims.of_pod(pod) if pod else None
        progress = diagnosis.progress_of(
            pod, claim, events, self.desk.gpus_of(pod), self.desk.ticket_of(pod)
        )
        self._seen.setdefault(progress.message, at)
        for event in events:
            self._seen.setdefault(diagnosis.event_words(event), at)

    async def _keep_log(self, session: str) -> None:
        """Keep what was seen of the start; without a log it is a start all the same."""
        seen, self._seen = self._seen, {}
        if not seen or not session:
            return
        try:
            store = await self.desk.store()
            await store.sessions.note_deployment(
                session, [(at, sentence) for sentence, at in seen.items()]
            )
        except StoreError as error:
            self.log.warning("The log of the start of %s was lost: %s", self._log_name, error)

    async def _bind(self, pod: Json) -> None:
        """Read what the cluster gave and correct the charge to it (promise 5)."""
        session = pod["metadata"]["labels"].get(labels.SESSION) or self._session_id
        gpus, percent = self.desk.gpus_of(pod), 0
        if gpus is not None:
            watches = self.desk.watches
            await watches.started(watches.claims)
            async with asyncio.timeout(_CLAIM_SECONDS):
                claim = await watches.bell.until(
                    self._pod_key, lambda: watches.claims.allocated_to(pod)
                )
            percent = allocation.consumed_percent(claim, gpus)
        store, at = await self.desk.store(), self.now()
        # A hub that adopts a start of the one before it has not opened the session itself.
        record = self._record or await store.sessions.get(session)
        demand = None
        if record is not None:
            demand = self.desk.demand_of(record, self._slug, percent=percent, now=at)
        self._seen.setdefault("Ready.", at.isoformat(timespec="seconds"))
        await asyncio.gather(  # one transaction for both
            store.sessions.bind(session, granted_percent=percent, at=at, demand=demand),
            self._keep_log(session),
        )

    async def get_url(self) -> str:
        """
        Return the address of a workspace that the hub finds after its own restart.

        A Pod that was still starting when the hub died is adopted: waited for, then bound.
        """
        await self.desk.watching()
        if self._pod is not None:
            try:
                async with asyncio.timeout(self.start_timeout):
                    pod = await self._until_ready()
                await self._bind(pod)
                url = str(self._get_pod_url(pod))
            except Exception as error:  # noqa: BLE001 - the hub then finds no server and stops it
                self.log.warning("%s could not be adopted: %s", self._log_name, error)
            else:
                return url
        return str(self.server.url)

    # Watching

    async def progress(self) -> AsyncIterator[dict[str, object]]:
        """Yield what a start is doing, in plain words, at each change (F19, F26)."""
        watches, shown = self.desk.watches, None
        while True:
            ended = self._start_future is not None and self._start_future.done()
            pod = self._pod
            claim = watches.claims.of_pod(pod) if pod else None
            events = watches.events.of_pod(self._pod_key)
            progress = diagnosis.follow(
                shown,
                pod,
                claim,
                events,
                self.desk.gpus_of(pod),
                self.desk.ticket_of(pod),
                stopping=self._stop_pending,
            )
            if progress != shown:
                shown = progress
                yield diagnosis.to_event(progress, startup=diagnosis.startup_report(pod))
            if ended:
                return
            waits = [asyncio.ensure_future(watches.bell.wait(self._pod_key))]
            if self._start_future is not None:
                waits.append(self._start_future)
            await asyncio.wait(
                waits, timeout=_PROGRESS_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            waits[0].cancel()

    async def poll(self) -> int | None:
        """Return `None` while the Pod lives, else its exit code; ends what has ended."""
        await self.desk.watches.started(self.desk.watches.pods)
        if (status := diagnosis.exit_code(self._pod)) is None:
            if self._pod is not None and diagnosis.is_ready(self._pod) and self.server:
                await super().poll()  # keeps the address right if the Pod's changed
            return None
        if self._pod is not None:
            # 0: somebody shut the program down from inside, which is a stop like any.
            self._end_reason = self._end_reason or diagnosis.ending_of(self._pod, status)
            self._problem = self._problem or diagnosis.last_words(self._pod)
            await self.stop(now=True)
        else:
            await self._end_session(Ending.POD_GONE)
        return status

    # Stopping

    async def stop(self, now: bool = False) -> None:  # noqa: FBT001, FBT002 - upstream's signature
        """Delete the Pod, wait until it is gone, and end the session."""
        watches = self.desk.watches
        await watches.started(watches.pods)
        session = self._session_of_pod()
        grace = 0 if now else self.delete_grace_period
        await cluster.delete_pod(self.api, self.namespace, self.pod_name, grace_seconds=grace)
        async with asyncio.timeout(grace + _STOP_SECONDS):
            await watches.bell.until(self._pod_key, lambda: None if self._pod else True)
        await self._end_session(Ending.STOPPED, session)

    def _session_of_pod(self) -> str:
        pod = self._pod
        found = pod["metadata"].get("labels", {}).get(labels.SESSION) if pod else None
        return found or self._session_id

    async def _end_session(self, otherwise: str, session: str = "") -> None:
        """End the session's record; a store that is down is told by the next sweep."""
        session, reason = session or self._session_id, self._end_reason or otherwise
        if not session:
            return
        try:
            store = await self.desk.store()
            await asyncio.gather(
                store.sessions.end(session, reason=reason, at=self.now(), problem=self._problem),
                self._keep_log(session),
            )
        except StoreError as error:
            self.log.warning("%s ended and could not be recorded: %s", self._log_name, error)

    async def delete_forever(self) -> None:
        """Forget a server that the hub removed, so that its name is free (F36)."""
        await super().delete_forever()
        try:
            store = await self.desk.store()
            await store.workspaces.remove(
                self.user.name, self.name, actor=self.removed_by or "hub", at=self.now()
            )
        except StoreError as error:
            self.log.warning("%s was removed and keeps its name: %s", self._log_name, error)

    def clear_state(self) -> None:
        """Forget the run that has ended."""
        super().clear_state()
        self._session_id = self._end_reason = self.landing_path = ""
        self._problem, self._seen = None, {}
        self._admitted = self._record = None
