"""
Case: a request in its circumstances, with everything resolved that rules ask about.

`admission` makes one for each decision; the rules (`request_rules`, `entitlement_rules`) read it
and yield refusals. Source: design §5.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from eugospawner.policy.catalog import DEFAULT_QUEUE, WHOLE_PERCENT, Kind
from eugospawner.policy.decisions import Gpus
from eugospawner.policy.limits import limits_of, subjects_of
from eugospawner.policy.quota import SHORTEST, Amounts, Demand, mib
from eugospawner.policy.volumes import meant
from eugospawner.policy.windows import Open, open_now

if TYPE_CHECKING:
    from datetime import datetime

    from eugospawner.policy.accounts import Accounts, Actor, Project
    from eugospawner.policy.capacity import ClusterView
    from eugospawner.policy.catalog import (
        Catalog,
        Flavor,
        GpuModel,
        Image,
        Limits,
        Profile,
        Queue,
    )
    from eugospawner.policy.plans import Plan
    from eugospawner.policy.quota import Usage
    from eugospawner.policy.requests import WorkspaceRequest
    from eugospawner.policy.volumes import Attachment, Volumes

#: What a deadline comes from; `quota.EXHAUSTED` is the third.
MAX_SESSION: Final = "max-session"
WINDOW: Final = "plan-window"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """
    A request with its project, queue, profile and flavor resolved.

    What was asked and does not exist is replaced by what absence means, so that all rules can be
    asked; the rule whose business it is has refused the request then.
    """

    request: WorkspaceRequest
    actor: Actor
    catalog: Catalog
    accounts: Accounts
    project: Project
    queue: Queue
    profile: Profile
    flavor: Flavor
    usage: Usage
    volumes: Volumes
    cluster: ClusterView
    now: datetime

    @property
    def plan(self) -> Plan:
        """What the project is entitled to."""
        return self.project.plan

    @property
    def limits(self) -> Limits:
        """Bounds of one workspace."""
        return self.catalog.limits

    @property
    def gpu_count(self) -> int:
        """GPUs wanted."""
        if self.request.gpu_count is not None:
            return self.request.gpu_count
        return self.flavor.gpu.count if self.flavor.gpu else 0

    @property
    def model_key(self) -> str | None:
        """The model wanted, whether it exists or not."""
        if self.request.gpu_model is not None:
            return self.request.gpu_model
        return self.flavor.gpu.model if self.flavor.gpu else None

    @property
    def model(self) -> GpuModel | None:
        """The model, if GPUs are wanted and the catalog has it."""
        wanted = self.gpu_count > 0 and self.model_key is not None
        return self.catalog.gpu_models.get(self.model_key or "") if wanted else None

    @property
    def sm_percent(self) -> int:
        """The share wanted of each."""
        if self.request.sm_percent is not None:
            return self.request.sm_percent
        return WHOLE_PERCENT if self.model is None else self.model.most_percent

    @property
    def kind(self) -> Kind:
        """The editor wanted, if the profile has it."""
        asked = self.request.kind
        return asked if asked is not None and asked in self.profile.kinds else self.profile.kinds[0]

    @property
    def cpu_millicores(self) -> int:
        """CPU wanted."""
        asked = self.request.cpu_millicores
        return self.flavor.cpu_millicores if asked is None else asked

    @property
    def memory_bytes(self) -> int:
        """Memory wanted."""
        asked = self.request.memory_bytes
        return self.flavor.memory_bytes if asked is None else asked

    @property
    def gpus(self) -> Gpus | None:
        """The GPUs wanted, if they are such as a workspace may have at all."""
        model = self.model
        possible = (
            model is not None
            and 0 < self.gpu_count <= self.limits.max_gpu_count
            and model.offers(self.sm_percent)
        )
        if model is None or not possible:
            return None
        return Gpus(model=model, count=self.gpu_count, sm_percent=self.sm_percent)

    @property
    def usable_images(self) -> tuple[Image, ...]:
        """Images of the profile that run the editor, are there and are in the plan."""
        return self.images_of(self.profile, self.kind)

    def images_of(self, profile: Profile, kind: Kind) -> tuple[Image, ...]:
        """Return the images with which *kind* can be had in *profile*: there, and in the plan."""
        if kind in self.catalog.unavailable_kinds:
            return ()
        runners = self.catalog.runners(profile, kind)
        return tuple(
            image for image in runners if not image.unavailable and image.key in self.plan.images
        )

    def demand(self, gpus: Gpus | None) -> Demand:
        """
        Return what the session would take with *gpus*, to the latest end it could have.

        Is the queue closed, the request is refused; whether amounts are left is judged
        nevertheless, so that all refusals are told at once.
        """
        demand = demand_of(
            self.accounts,
            self.project,
            self.queue,
            self.profile,
            self.catalog,
            gpu_model=gpus.model.key if gpus else "",
            rates=Amounts(
                gpu=gpus.percent if gpus else 0,
                cpu=self.cpu_millicores,
                memory=mib(self.memory_bytes),
            ),
            now=self.now,
        )
        if self.opening() is None:
            return replace(demand, latest_end=self.now + SHORTEST)
        return demand

    @property
    def attached(self) -> tuple[Attachment, ...]:
        """What it would mount, and another workspace uses on one Node."""
        keys = [each.claim for each in self.request.volumes]
        return self.volumes.attached_for(self.request.workspace, keys)

    @property
    def node(self) -> str | None:
        """The Node where it has to run; `None`: any, or several, which `volumes_attached` refuses."""
        nodes = {each.node for each in self.attached}
        return nodes.pop() if len(nodes) == 1 else None

    @property
    def reachable(self) -> ClusterView:
        """The GPUs that it could have: those where its volumes are attached."""
        return self.cluster if self.node is None else self.cluster.on(self.node)

    def opening(self) -> Open | None:
        """Return until when the queue is open; `None`: it is closed, or closes at once."""
        return opening_of(self.project.plan, self.queue, self.now)


def resolve(
    request: WorkspaceRequest,
    actor: Actor,
    catalog: Catalog,
    accounts: Accounts,
    usage: Usage,
    volumes: Volumes,
    cluster: ClusterView,
    now: datetime,
) -> Case:
    """Return the case of *request*; arguments as of `admission.decide`."""
    profile = catalog.profiles.get(request.profile or catalog.default_profile)
    if profile is None:
        profile = catalog.profiles[catalog.default_profile]
    flavor = request.flavor if request.flavor in profile.flavors else profile.flavors[0]
    project = accounts.find(request.project) or accounts.personal
    mounts = tuple(
        replace(each, claim=meant(each.claim, project.key, volumes.by_key))
        for each in request.volumes
    )
    queue = catalog.queues.get(request.queue or DEFAULT_QUEUE)
    if queue is None or not project.plan.offers_queue(queue.key):
        queue = catalog.queues[DEFAULT_QUEUE]
    return Case(
        request=replace(request, volumes=mounts) if mounts else request,
        actor=actor,
        catalog=catalog,
        accounts=accounts,
        project=project,
        queue=queue,
        profile=profile,
        flavor=catalog.flavors[flavor],
        usage=usage,
        volumes=volumes,
        cluster=cluster,
        now=now,
    )


def demand_of(
    accounts: Accounts,
    project: Project,
    queue: Queue,
    profile: Profile,
    catalog: Catalog,
    *,
    gpu_model: str,
    rates: Amounts,
    now: datetime,
    began: datetime | None = None,
    extension: timedelta = timedelta(),
) -> Demand:
    """
    Return what a session would take from *now* on, to the latest end it could have.

    That is its longest session or the close of its plan's window; quotas may end it before. If the
    window is closed it is *now*: one that waited for its GPUs until then has no time left.

    Args:
        began: When it began, if that was before *now*.
        extension: By how much it may be longer than its profile says.
    """
    longest = (profile.max_session or catalog.max_session) + extension
    latest_end, because = max((began or now) + longest, now), MAX_SESSION
    if project.plan.binds(queue.key):
        opening = open_now(project.plan.windows, now)
        closes_at = now if opening is None else opening.closes_at
        if closes_at is not None and closes_at < latest_end:
            latest_end, because = closes_at, WINDOW
    return Demand(
        subjects=subjects_of(accounts.person.name, project, queue),
        gpu_model=gpu_model,
        rates=rates,
        start=now,
        latest_end=latest_end,
        because=because,
        limits=limits_of(accounts, project, queue, catalog.quotas, now),
        zone=catalog.zone,
    )


def opening_of(plan: Plan, queue: Queue, now: datetime) -> Open | None:
    """
    Return until when *queue* is open under *plan*.

    `None`: it is closed, or closes before a session would be worth its start (`SHORTEST`).
    """
    if not plan.binds(queue.key):
        return Open(closes_at=None)
    opening = open_now(plan.windows, now)
    if opening is None or opening.closes_at is None:
        return opening
    return opening if opening.closes_at - now >= SHORTEST else None
