"""
Admission: the one decision about a start.

`decide` answers whether a request may become a workspace. Form, REST path, services, command
line and diagnosis call it with the same values, so they can never disagree; nothing reaches
Kubernetes that it did not admit in this very start (promise 1). The rules run in the order of
design §5: the first refusal is the message, all refusals together are what the form shows.

What is admitted carries its deadline, the earliest of the longest session, the close of the
plan's window and the quota's last millisecond (promise 3). Usage is what was last read: the store
decides anew about the amounts, by the same `quota.fit`, in the transaction that reserves them.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias, assert_never

from eugospawner.policy import entitlement_rules, request_rules
from eugospawner.policy.capacity import Fit
from eugospawner.policy.case import resolve
from eugospawner.policy.catalog import Strategy
from eugospawner.policy.decisions import (
    Admitted,
    Decision,
    Denied,
    Grant,
    Mount,
    Queued,
    Refusal,
    Share,
)
from eugospawner.policy.errors import PolicyError
from eugospawner.policy.quota import (
    Exceeds,
    Span,
    counts,
    fit,
    milliseconds,
    period_at,
)
from eugospawner.policy.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from eugospawner.policy.accounts import Accounts, Actor
    from eugospawner.policy.capacity import ClusterView
    from eugospawner.policy.case import Case
    from eugospawner.policy.catalog import Catalog, Image
    from eugospawner.policy.decisions import Gpus
    from eugospawner.policy.quota import Demand, Usage
    from eugospawner.policy.requests import VolumeRequest, WorkspaceRequest
    from eugospawner.policy.volumes import Volumes

_Rule: TypeAlias = "Callable[[Case], Iterator[Refusal]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One rule of a decision: what was asked, and why the answer was no, if it was."""

    rule: str
    refusals: tuple[Refusal, ...]


#: Who asks and where; asked even if the profile does not exist.
_ACCESS: Final = (
    entitlement_rules.account,
    entitlement_rules.organization,
    entitlement_rules.prerequisites,
    entitlement_rules.permission,
    entitlement_rules.project,
    entitlement_rules.name,
    entitlement_rules.state,
    entitlement_rules.queue,
)
#: Design §5, from the profile on.
_RULES: Final = (
    request_rules.offered,
    entitlement_rules.profile_in_plan,
    request_rules.image,
    entitlement_rules.image_in_plan,
    entitlement_rules.root,
    request_rules.gpu_model,
    entitlement_rules.model_in_plan,
    request_rules.gpu_amounts,
    request_rules.compute,
    entitlement_rules.within_plan,
    request_rules.storage,
    entitlement_rules.volumes_within_limits,
    entitlement_rules.left,
    request_rules.presence,
    entitlement_rules.volumes_attached,
)


def decide(
    request: WorkspaceRequest,
    actor: Actor,
    catalog: Catalog,
    accounts: Accounts,
    usage: Usage,
    volumes: Volumes,
    cluster: ClusterView,
    now: datetime,
) -> Decision:
    """
    Decide about a start.

    Args:
        actor: Who asks; permissions are judged for them, entitlements for the owner.
        accounts: Who the owner is, and their projects.
        usage: What counts against the limits of everybody on whose account it would run.
        volumes: The owner's extra volumes.
        cluster: Advisory view of devices.
        now: Aware UTC; deadlines are counted from it.

    Source: design §5.
    """
    case = resolve(request, actor, catalog, accounts, usage, volumes, cluster, now)
    refusals = [refusal for rule in _rules_of(case) for refusal in rule(case)]
    return Denied(refusals=tuple(refusals)) if refusals else _admit(case)


def path(
    request: WorkspaceRequest,
    actor: Actor,
    catalog: Catalog,
    accounts: Accounts,
    usage: Usage,
    volumes: Volumes,
    cluster: ClusterView,
    now: datetime,
) -> tuple[Asked, ...]:
    """Return every rule that `decide` asks with these arguments, in its order, and the answer."""
    case = resolve(request, actor, catalog, accounts, usage, volumes, cluster, now)
    return tuple(
        Asked(rule=QUESTIONS[rule], refusals=tuple(rule(case))) for rule in _rules_of(case)
    )


def _rules_of(case: Case) -> tuple[_Rule, ...]:
    asked = case.request.profile
    if asked is not None and asked not in case.catalog.profiles:
        # Whatever else was asked cannot be judged without a profile.
        return (*_ACCESS, _unknown_profile)
    return (*_ACCESS, *_RULES)


def _unknown_profile(case: Case) -> Iterator[Refusal]:
    yield Refusal(
        reason=Reason.PROFILE_UNKNOWN,
        word="profile",
        sentence=f"There is no profile {case.request.profile!r}. "
        f"Choose one of: {', '.join(case.catalog.profiles)}.",
        change={"profile": case.catalog.default_profile},
    )


#: Each rule as a question.
QUESTIONS: Final[Mapping[_Rule, str]] = MappingProxyType(
    {
        entitlement_rules.account: "Is the owner's account active?",
        entitlement_rules.organization: "Is the organization that would pay active?",
        entitlement_rules.prerequisites: "Is everything there that must be?",
        entitlement_rules.permission: "May who asks start workspaces of the owner?",
        entitlement_rules.project: "Is the owner in the project?",
        entitlement_rules.name: "Is the workspace's name fit and free?",
        entitlement_rules.state: "Is the workspace in a state from which it starts?",
        entitlement_rules.queue: "Is the queue in the plan, and open?",
        _unknown_profile: "Does the profile exist?",
        request_rules.offered: "Does the profile have the flavor and the editor?",
        entitlement_rules.profile_in_plan: "Is the profile in the plan?",
        request_rules.image: "Is the image in the allowlist?",
        entitlement_rules.image_in_plan: "Is the image in the plan?",
        entitlement_rules.root: "Is a root shell allowed?",
        request_rules.gpu_model: "Does the GPU model exist?",
        entitlement_rules.model_in_plan: "Is the GPU model in the plan?",
        request_rules.gpu_amounts: "Can the model be had in this number and share?",
        request_rules.compute: "Are CPU and memory within bounds?",
        entitlement_rules.within_plan: "Is it no more than the plan allows at once?",
        request_rules.storage: "Can the volumes be mounted so?",
        entitlement_rules.volumes_within_limits: "Is there room for new volumes?",
        entitlement_rules.left: "Is enough left of what may be used?",
        request_rules.presence: "Does the cluster have such GPUs?",
        entitlement_rules.volumes_attached: "Can it run where its volumes are attached?",
    }
)


def nearest(
    request: WorkspaceRequest, again: Callable[[WorkspaceRequest], Decision]
) -> WorkspaceRequest | None:
    """
    Return the nearest request that is admitted, *request* itself if it already is.

    One change may uncover another refusal (another model that is handed out whole only), so the
    changed request is decided about again.

    Args:
        again: `decide` with everything but the request filled in.

    Returns:
        `None` if no change of the request helps.
    """
    for _ in range(_MOST_AMENDMENTS):
        decision = again(request)
        if not isinstance(decision, Denied):
            return request
        amended = decision.amend(request)
        if amended is None or amended == request:
            return None
        request = amended
    return None


#: Each round removes what the round before showed: profile, model, SM percent, size and count at
#: most, one after the other, and the last round admits. The rest is margin.
_MOST_AMENDMENTS = 8


def _admit(case: Case) -> Admitted | Queued:
    gpus, demand = case.gpus, case.demand(case.gpus)
    fitted = fit(demand, case.usage)
    if isinstance(fitted, Exceeds):  # the rules have refused it
        message = "a demand that exceeds its limits was not refused"
        raise PolicyError(message)
    capacity = case.reachable.fit(gpus.model.key, gpus.count, gpus.sm_percent) if gpus else Fit.NOW
    admitted = Admitted(
        grant=Grant(
            owner=case.request.owner,
            workspace=case.request.workspace,
            project=case.project,
            profile=case.profile,
            flavor=case.flavor,
            kind=case.kind,
            image=_granted_image(case),
            queue=case.queue,
            gpus=gpus,
            cpu_millicores=case.cpu_millicores,
            memory_bytes=case.memory_bytes,
            mounts=tuple(_mount(case, volume) for volume in case.request.volumes),
            root_shell=case.request.root_shell,
            node=case.node,
        ),
        ends_at=fitted.ends_at,
        ends_because=fitted.because,
        charge_percent=gpus.percent if gpus else 0,
        fit=capacity,
        demand=demand,
        shares=tuple(_shares(demand, case.usage, fitted.ends_at)),
    )
    if gpus is not None and capacity is Fit.WAITS:
        return Queued(
            admitted=admitted,
            sentence=f"Every {_wanted(gpus)} is taken. "
            "The workspace waits and starts by itself as soon as one is released.",
        )
    return admitted


def _shares(demand: Demand, usage: Usage, ends_at: datetime) -> Iterator[Share]:
    for limit in demand.limits:
        if not counts(limit, demand):
            continue
        rate = demand.rates.of(limit.resource)
        if limit.span is Span.AT_ONCE:
            yield Share(limit=limit, used=usage.against(limit, ""), takes=rate, period=None)
            continue
        period = period_at(limit.span, demand.zone, demand.start)
        lasts = milliseconds(min(ends_at, period.end)) - milliseconds(demand.start)
        yield Share(
            limit=limit, used=usage.against(limit, period.key), takes=rate * lasts, period=period
        )


def _wanted(gpus: Gpus) -> str:
    """Return what must be free, in words."""
    model, percent = gpus.model, gpus.sm_percent
    match model.strategy:
        case Strategy.CONSUMABLE_CAPACITY:
            return f"{model.display_name} with {percent} % SM free"
        case Strategy.EXCLUSIVE | Strategy.MPS:
            return model.display_name
        case Strategy.MIG:
            return f"{model.display_name} that can be cut to {percent} % SM"
        case _:
            assert_never(model.strategy)


def _granted_image(case: Case) -> Image:
    if case.request.image is not None:
        image = case.catalog.image_of(case.profile, case.request.image)
        if image is not None:
            return image
    return case.usable_images[0]


def _mount(case: Case, asked: VolumeRequest) -> Mount:
    known = case.volumes.by_key.get(asked.claim)
    return Mount(
        key=asked.claim,
        mount_path=asked.mount_path,
        claim_name=known.claim_name if known else None,
        size_bytes=known.size_bytes if known else case.catalog.storage.volume_bytes,
    )
