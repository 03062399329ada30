"""
Rules about entitlements: who may start, where, with what of the plan, and how much is left.

Each takes a case and yields refusals; `admission` says in which order they are asked. What does
not depend on accounts is the business of `request_rules`. Source: design §5; F5, F6, F35 to F41,
F59, F60, F98 to F103.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from eugospawner.policy import names, permissions, storage, units
from eugospawner.policy.accounts import Prerequisite
from eugospawner.policy.capacity import Fit
from eugospawner.policy.catalog import WHOLE_PERCENT, Strategy
from eugospawner.policy.decisions import Refusal, shown
from eugospawner.policy.lifecycle import State
from eugospawner.policy.limits import limits_of, used_words, words_of
from eugospawner.policy.quota import MIB, Exceeds, Resource, Span, SubjectKind, fit
from eugospawner.policy.reasons import Reason
from eugospawner.policy.roles import Action
from eugospawner.policy.volumes import HOME, project_named_in
from eugospawner.policy.windows import next_opening, open_now

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from eugospawner.policy.accounts import Organization
    from eugospawner.policy.case import Case
    from eugospawner.policy.catalog import GpuModel
    from eugospawner.policy.decisions import Gpus
    from eugospawner.policy.quota import Exceeded, Limit, Subject
    from eugospawner.policy.storage import StorageLimit
    from eugospawner.policy.volumes import Attachment

_ASK_FOR_PLAN: Final = "Ask a project manager to bind a plan that includes"


# Who, and where


def account(case: Case) -> Iterator[Refusal]:
    """Refuse somebody who may start nothing at all."""
    person = case.accounts.person
    if person.suspended_because:
        yield Refusal(
            reason=Reason.ACCOUNT_SUSPENDED,
            word="options",
            sentence=f"The account of {shown(person.name)} is suspended: {person.suspended_because}. "
            "Ask an admin to lift the suspension.",
        )


def organization(case: Case) -> Iterator[Refusal]:
    """Refuse what a suspended organization would pay for (F103)."""
    paying = case.project.organization
    if paying is not None and paying.suspended_because:
        yield Refusal(
            reason=Reason.ORGANIZATION_SUSPENDED,
            word="project",
            sentence=f"{paying.display_name} is suspended: {paying.suspended_because}. "
            f"Nothing can be started on its account until that is settled. {_contact(paying)}",
            change=_paid_for(case),
        )


def state(case: Case) -> Iterator[Refusal]:
    """Refuse a workspace that is suspended or is being destroyed (F20, F28)."""
    match case.accounts.states.get(case.request.workspace):
        case State.SUSPENDING | State.SUSPENDED | State.SUSPEND_FAILED:
            yield Refusal(
                reason=Reason.WORKSPACE_SUSPENDED,
                word="options",
                sentence="This workspace is suspended. Its files are kept. Contact your organization "
                "owner, who can resume it.",
            )
        case State.TERMINATING | State.TERMINATE_FAILED:
            yield Refusal(
                reason=Reason.WORKSPACE_ENDING,
                word="options",
                sentence="This workspace is being destroyed. Create another one.",
            )
        case _:
            return


def prerequisites(case: Case) -> Iterator[Refusal]:
    """Refuse whoever lacks what the operator demands; all that is missing at once (F11)."""
    required, person = case.accounts.required, case.accounts.person
    paying = case.project.organization
    if Prerequisite.MEMBERSHIP in required and not person.organization:
        yield Refusal(
            reason=Reason.MEMBERSHIP_MISSING,
            word="options",
            sentence="You need an active organization membership. "
            "Ask an owner of your organization to add you.",
        )
    exists = case.request.workspace in case.accounts.servers
    if not exists and not permissions.has(person, Action.CREATE):
        yield Refusal(
            reason=Reason.ROLE_WITHOUT_CREATE,
            word="options",
            sentence="Your role must include workspace creation permissions. "
            "Ask an owner or admin of your organization for a role that includes them.",
        )
    elif not permissions.has(person, Action.DEPLOY):
        yield Refusal(
            reason=Reason.ROLE_WITHOUT_DEPLOY,
            word="options",
            sentence="Your role must include the permission to deploy workspaces. "
            "Ask an owner or admin of your organization for a role that includes it.",
        )
    for lacking in _lacking(required, paying):
        reason, sentence = _MISSING[lacking]
        yield Refusal(
            reason=reason,
            word="project",
            sentence=f"{sentence} {_contact(paying)}",
            change=_paid_for(case),
        )


def _lacking(
    required: frozenset[Prerequisite], paying: Organization | None
) -> Iterator[Prerequisite]:
    """Yield what is required of who pays and is not there."""
    for prerequisite, reference in (
        (Prerequisite.SUBSCRIPTION, paying and paying.subscription),
        (Prerequisite.PAYMENT_METHOD, paying and paying.payment_method),
    ):
        if prerequisite in required and not reference:
            yield prerequisite


def _paid_for(case: Case) -> dict[str, object]:
    """Return the change to the first project that somebody pays for; empty: there is none."""
    for project in case.accounts.projects:
        paying = project.organization
        suspended = paying is not None and paying.suspended_because
        if not suspended and not any(_lacking(case.accounts.required, paying)):
            return {"project": project.key}
    return {}


_MISSING: Final = {
    Prerequisite.SUBSCRIPTION: (
        Reason.SUBSCRIPTION_MISSING,
        "Your organization needs an active subscription.",
    ),
    Prerequisite.PAYMENT_METHOD: (
        Reason.PAYMENT_METHOD_MISSING,
        "A payment method must be set up.",
    ),
}


def _contact(paying: Organization | None) -> str:
    if paying is None:
        return "No organization pays for this project: choose another, or ask an admin."
    return f"Contact {paying.contact or f'an owner of {paying.display_name}'}."


def permission(case: Case) -> Iterator[Refusal]:
    """Refuse an actor who may not start workspaces for the owner."""
    workspace = permissions.Workspace(owner=case.accounts.person, project=case.project)
    if not permissions.may(case.actor, Action.DEPLOY, workspace, {}):
        actor, owner = shown(case.actor.name), shown(case.request.owner)
        yield Refusal(
            reason=Reason.NOT_PERMITTED,
            word="options",
            sentence=f"{actor} may not start workspaces of {owner}. "
            f"Ask {owner} or an admin to start it.",
        )


def project(case: Case) -> Iterator[Refusal]:
    """Refuse a project that does not exist for the owner (F5)."""
    asked = case.request.project
    if case.accounts.find(asked) is None:
        yield Refusal(
            reason=Reason.PROJECT_UNKNOWN,
            word="project",
            sentence=f"You are not a member of a project {asked!r}. "
            "Start in your personal project, or ask a project manager to add you.",
            change={"project": None},
        )


def name(case: Case) -> Iterator[Refusal]:
    """Refuse a name that cannot be one, or that another workspace of the project has (F36)."""
    request, project = case.request, case.project
    if request.name is None:
        return
    if (problem := names.problem_of(request.name)) is not None:
        yield Refusal(
            reason=Reason.WORKSPACE_NAME,
            word="name",
            sentence=f"The name {problem}. Choose another, or leave it empty.",
            change={"name": None},
        )
        return
    held = case.accounts.names
    here = (request.owner, request.workspace)
    if held.get((project.key, names.key_of(request.name)), here) != here:
        free = names.free(request.name, {key for of, key in held if of == project.key})
        yield Refusal(
            reason=Reason.NAME_TAKEN,
            word="name",
            sentence=f"This name is already in use in {project.display_name}. "
            f"{free} is still free.",
            change={"name": free},
        )


def queue(case: Case) -> Iterator[Refusal]:
    """Refuse a queue that is not bound to the plan (F39), or closed (F60)."""
    asked = case.request.queue
    if asked is not None and (
        asked not in case.catalog.queues or not case.plan.offers_queue(asked)
    ):
        yield Refusal(
            reason=Reason.QUEUE_UNKNOWN,
            word="queue",
            sentence=f"The project has no queue {asked!r}. The default queue is always available.",
            change={"queue": None},
        )
    elif case.opening() is None:
        yield Refusal(
            reason=Reason.WINDOW_CLOSED,
            word="queue",
            sentence=f"The queue {case.queue.display_name} {_opens(case)} (plan "
            f"{case.plan.display_name}). The default queue is always available.",
            change={"queue": None},
        )


def _opens(case: Case) -> str:
    windows = case.plan.windows
    closed = "is closed" if open_now(windows, case.now) is None else "closes within a minute"
    opening = next_opening(windows, case.now)
    if opening is None:
        return f"{closed} and does not open again"
    return f"{closed} and opens {local(opening.opens_at, case.catalog.zone)}"


def local(at: datetime, zone: str) -> str:
    """Return a time for people: ``Mon 2026-11-30 08:00 Europe/Berlin``."""
    return f"{at.astimezone(ZoneInfo(zone)):%a %Y-%m-%d %H:%M} {zone}"


# What the plan includes


def profile_in_plan(case: Case) -> Iterator[Refusal]:
    """Refuse a profile that the plan does not have."""
    if case.profile.key in case.plan.profiles:
        return
    yield Refusal(
        reason=Reason.PROFILE_NOT_IN_PLAN,
        word="profile",
        sentence=f"{_excludes(case, f'The profile {case.profile.display_name}')} "
        f"{_choose([key for key in case.catalog.profiles if key in case.plan.profiles])}"
        f"{_ASK_FOR_PLAN} it.",
        change=elsewhere(case),
    )


def image_in_plan(case: Case) -> Iterator[Refusal]:
    """Refuse an image that the plan does not have; references are compared to the letter."""
    catalog, allowed = case.catalog, case.plan.images
    reference = case.request.image
    if reference is None:
        there = [each for each in catalog.runners(case.profile, case.kind) if not each.unavailable]
        # The first that the plan has is taken; if it has none, the first is what was meant.
        asked = next((each for each in there if each.key in allowed), next(iter(there), None))
    else:
        asked = catalog.image_of(case.profile, reference)
    if asked is not None and asked.key not in allowed:
        yield Refusal(
            reason=Reason.IMAGE_NOT_IN_PLAN,
            word="image",
            sentence=f"{_excludes(case, f'The image {asked.display_name}')} "
            f"{_ASK_FOR_PLAN} it, or choose another image.",
            change={"image": None} if case.usable_images else elsewhere(case),
        )


def elsewhere(case: Case) -> dict[str, object]:
    """Return the change to an editor that can be had, or else to a profile; empty: nothing can."""
    if case.profile.key in case.plan.profiles:
        for kind in case.profile.kinds:
            if case.images_of(case.profile, kind):
                return {"kind": kind, "image": None}
    works = [
        each
        for each in case.catalog.profiles.values()
        if each.key in case.plan.profiles and case.images_of(each, each.kinds[0])
    ]
    if not works:
        return {}
    # The first with the same flavor, else the default, else the first of all.
    default = case.catalog.default_profile
    profile = min(
        works, key=lambda each: (case.flavor.key not in each.flavors, each.key != default)
    )
    return {
        "profile": profile.key,
        "flavor": case.flavor.key if case.flavor.key in profile.flavors else None,
        "kind": None,
        "image": None,
    }


def root(case: Case) -> Iterator[Refusal]:
    """Refuse a root shell unless project and owning group allow it (F38)."""
    if case.request.root_shell and not case.project.may_run_as_root:
        yield Refusal(
            reason=Reason.ROOT_NOT_ALLOWED,
            word="root_shell",
            sentence="A root shell is not enabled here. "
            "Ask an admin to enable root containers on the project and the owning group.",
            change={"root_shell": False},
        )


def model_in_plan(case: Case) -> Iterator[Refusal]:
    """Refuse a GPU model that the plan does not have (F41)."""
    model = case.model
    if model is None or model.key in case.plan.gpu_models:
        return
    yield Refusal(
        reason=Reason.GPU_MODEL_NOT_IN_PLAN,
        word="gpu_model",
        sentence=f"{_excludes(case, model.display_name)} "
        f"{_choose([key for key in case.catalog.gpu_models if key in case.plan.gpu_models])}"
        f"{_ASK_FOR_PLAN} the model you need.",
        change=other_model(case),
    )


def other_model(case: Case) -> dict[str, object]:
    """
    Return the change to a model that the plan has, the cluster has and the limits leave, or none.

    At the share that was asked, else at the model's own, or at as much of it as may be held; one
    GPU, because how many of another model somebody wants is theirs to say.
    """
    asked, room = case.request.sm_percent, _room(case, Resource.GPU)
    for key, model in case.catalog.gpu_models.items():
        wanted = model.most_percent if asked is None else min(max(asked, 1), WHOLE_PERCENT)
        if (
            key not in case.plan.gpu_models
            or not model.offers(wanted)
            or case.cluster.most_on_a_node(key, wanted) == 0
            or (share := _largest_share(case, model, 1, wanted, room)) is None
        ):
            continue
        change: dict[str, object] = {"gpu_model": key, "gpu_count": 1}
        if share != wanted:
            change["sm_percent"] = share
        other = replace(case, request=replace(case.request, **change))  # type: ignore[arg-type]
        if not any(each.limit.resource is Resource.GPU for each in _exceeded(other)):
            return change
    return {"gpu_model": None, "gpu_count": 0}


def within_plan(case: Case) -> Iterator[Refusal]:
    """Refuse a workspace that is by itself more than the plan allows at once."""
    rates = case.demand(case.gpus).rates
    for limit in _at_once(case):
        asked = rates.of(limit.resource)
        if asked > limit.amount:
            yield Refusal(
                reason=Reason.MORE_THAN_PLAN,
                word=_WORDS[limit.resource],
                sentence=f"You asked for {words_of(asked, limit, up=True)}; {_whose(limit.subject, case)} "
                f"may have {words_of(limit.amount, limit)} at once. Ask for less, or "
                f"{_MORE_OF[limit.subject.kind is SubjectKind.QUEUE]}.",
                change=_less(case, limit.resource),
            )


#: What to do beside asking for less, if it is the plan that allows no more, or the queue.
_MORE_OF: Final = {
    False: "ask a project manager to bind a plan with more",
    True: "choose another queue",
}


def volumes_within_limits(case: Case) -> Iterator[Refusal]:
    """Refuse new volumes for which plan or quotas have no room."""
    new = [
        each
        for each in case.request.volumes
        if each.claim not in case.volumes.by_key and not project_named_in(each.claim)
    ]
    limits = storage.limits_of(
        case.request.owner, case.project, case.catalog.storage_quotas, case.now
    )
    held, each_bytes = case.volumes.held, case.catalog.storage.volume_bytes
    asked = len(new) * each_bytes
    exceeded = storage.exceeded(limits, held, asked) if new else ()
    if not exceeded:
        return
    too_many = new[(storage.room(limits, held) or 0) // each_bytes :]
    kept = tuple(each for each in case.request.volumes if each not in too_many)
    for limit in exceeded:
        sizes = [
            units.format_memory(size)
            for size in (asked, held.get(limit.subject, 0), limit.size_bytes)
        ]
        yield (_over_quota if limit.quota else _over_plan)(case, limit, sizes, {"volumes": kept})


def volumes_attached(case: Case) -> Iterator[Refusal]:
    """Refuse what cannot run where the volumes that it mounts are attached (F44)."""
    attached = case.attached
    nodes = {each.node for each in attached}
    if len(nodes) > 1:
        first = attached[0]
        elsewhere = [each for each in attached if each.node != first.node]
        keys = {each.key for each in elsewhere}
        yield Refusal(
            reason=Reason.VOLUME_ATTACHED,
            word="volumes",
            sentence=f"{_volume(first.key)} is in use by {_user(first)}, and "
            f"{', '.join(_volume(each.key).lower() for each in elsewhere)} by "
            f"{_user(elsewhere[0])}, on another Node; a volume is attached to one Node at a "
            "time. Stop one of them, or leave that volume out.",
            change={"volumes": tuple(e for e in case.request.volumes if e.claim not in keys)},
        )
    elif nodes and (gpus := case.gpus) is not None and _fits_elsewhere_only(case, gpus):
        last = attached[-1]
        keys = {each.key for each in attached}
        kept = tuple(each for each in case.request.volumes if each.claim not in keys)
        yield Refusal(
            reason=Reason.VOLUME_ATTACHED,
            word="gpu_model" if HOME in keys else "volumes",
            sentence=f"{_volume(last.key)} is in use by {_user(last)}, on a Node without "
            f"such GPUs ({gpus.count} × {gpus.model.key}); a volume is attached to one Node "
            f"at a time. Stop {_user(last)} first, or choose "
            f"{'another model' if HOME in keys else 'another model, or leave that volume out'}.",
            change={} if HOME in keys else {"volumes": kept},
        )


def _fits_elsewhere_only(case: Case, gpus: Gpus) -> bool:
    wanted = (gpus.model.key, gpus.count, gpus.sm_percent)
    return case.reachable.fit(*wanted) is Fit.NEVER and case.cluster.fit(*wanted) is not Fit.NEVER


def _volume(key: str) -> str:
    return f"The volume “{key}”" if key else "Your home"


def _user(attached: Attachment) -> str:
    if attached.is_others:
        return "a workspace of somebody else in the project"
    return f"“{attached.server}”" if attached.server else "your default workspace"


def _over_plan(
    case: Case, _limit: StorageLimit, sizes: list[str], change: dict[str, object]
) -> Refusal:
    asked, held, most = sizes
    plan = case.plan
    whose = f"the plan {plan.display_name}" if plan.key else "a project without a plan"
    return Refusal(
        reason=Reason.VOLUMES_MORE_THAN_PLAN,
        word="volumes",
        sentence=f"New volumes would take {asked}, and the volumes that there are have {held} of "
        f"the {most} that {whose} allows. Mount a volume that exists, or ask a project manager to "
        "bind a plan with more.",
        change=change,
    )


def _over_quota(
    case: Case, limit: StorageLimit, sizes: list[str], change: dict[str, object]
) -> Refusal:
    asked, held, most = sizes
    return Refusal(
        reason=Reason.STORAGE_EXHAUSTED,
        word="volumes",
        sentence=f"New volumes would take {asked}, and the volumes of "
        f"{_whose(limit.subject, case)} have {held} of {most} (quota {limit.quota}). Mount a volume "
        "that exists, delete one, or ask an admin for more.",
        change=change,
    )


# How much is left


def left(case: Case) -> Iterator[Refusal]:
    """
    Refuse what is not left.

    First what project, user or queue have no room for at present (F6, F98), then amounts per day
    or month that are used up (F99 to F101): limits stand in that order.
    """
    for exceeded in _exceeded(case):
        if exceeded.limit.span is not Span.AT_ONCE:
            yield _exhausted(case, exceeded)
        elif exceeded.asked <= exceeded.limit.amount:  # else `within_plan` has said it
            yield _in_use(case, exceeded)


def _in_use(case: Case, exceeded: Exceeded) -> Refusal:
    limit = exceeded.limit
    remedy = {
        SubjectKind.USER: "Stop a workspace, or ask for less",
        SubjectKind.QUEUE: "Ask for less, or choose another queue",
    }.get(limit.subject.kind, "Stop a workspace of the project, or ask for less")
    return Refusal(
        reason=Reason.IN_USE,
        word=_WORDS[limit.resource],
        sentence=f"{_begin(_whose(limit.subject, case))} has {used_words(exceeded.used, limit)} in use or "
        f"reserved, and you asked for {words_of(exceeded.asked, limit, up=True)} more. {remedy}.",
        change=_less(case, limit.resource),
    )


def _exhausted(case: Case, exceeded: Exceeded) -> Refusal:
    limit = exceeded.limit
    resets = "" if exceeded.resets_at is None else local(exceeded.resets_at, case.catalog.zone)
    rest = ", and the rest would not last a minute" if exceeded.used < limit.amount else ""
    return Refusal(
        reason=Reason.QUOTA_EXHAUSTED,
        word="gpu_model" if limit.resource is Resource.GPU else _WORDS[limit.resource],
        sentence=f"{_begin(_whose(limit.subject, case))} has used or reserved "
        f"{used_words(exceeded.used, limit)} per {limit.span} (quota {limit.key}){rest}. "
        f"The quota resets {resets}; an admin can grant more before.",
        change=other_model(case) if limit.resource is Resource.GPU else {},
    )


def _exceeded(case: Case) -> tuple[Exceeded, ...]:
    result = fit(case.demand(case.gpus), case.usage)
    return result.limits if isinstance(result, Exceeds) else ()


def _at_once(case: Case) -> tuple[Limit, ...]:
    return limits_of(case.accounts, case.project, case.queue, (), case.now)


def _room(case: Case, resource: Resource) -> int | None:
    """Return how much of *resource* may be held beside what is held; `None`: without limit."""
    rooms = (
        max(limit.amount - case.usage.against(limit, ""), 0)
        for limit in _at_once(case)
        if limit.resource is resource
    )
    return min(rooms, default=None)


def _less(case: Case, resource: Resource) -> dict[str, object]:
    """Return the nearest wish for which there is room; empty: there is none."""
    room = _room(case, resource) or 0
    match resource:
        case Resource.GPU:
            return _fewer_gpus(case, room)
        case Resource.CPU:
            return {"cpu_millicores": room} if room >= case.limits.min_cpu_millicores else {}
        case Resource.MEMORY:
            size = room * MIB
            return {"memory_bytes": size} if size >= case.limits.min_memory_bytes else {}


def _fewer_gpus(case: Case, room: int) -> dict[str, object]:
    """Return as many GPUs at a smaller share, else fewer, else of another model, else none."""
    gpus = case.gpus
    if gpus is None:
        return {}
    for count in range(gpus.count, 0, -1):
        if share := _largest_share(case, gpus.model, count, gpus.sm_percent, room):
            return {"gpu_count": count, "sm_percent": share}
    return other_model(case)


def _largest_share(
    case: Case, model: GpuModel, count: int, asked: int, room: int | None
) -> int | None:
    """Return the largest share up to *asked* of which a node has *count* and *room* holds them."""
    for percent in range(asked, 0, -1):
        if not model.offers(percent):
            continue
        if room is not None and count * model.charged_percent(percent) > room:
            continue
        most = case.cluster.most_on_a_node(model.key, percent)
        if most is None or count <= most:
            return percent
        if model.strategy is not Strategy.MIG:
            return None  # a smaller share of a device that is not there is not there either
    return None


_WORDS: Final = {Resource.GPU: "sm_percent", Resource.CPU: "cpu", Resource.MEMORY: "memory"}


def _excludes(case: Case, what: str) -> str:
    if not case.plan.key:
        return f"{what} needs a plan, and the project has none."
    return f"{what} is not in the plan {case.plan.display_name}."


def _choose(keys: list[str]) -> str:
    return f"Choose one of: {', '.join(keys)}. " if keys else ""


def _begin(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}" if words.startswith("the ") else words


def _whose(subject: Subject, case: Case) -> str:
    project = case.project
    match subject.kind:
        case SubjectKind.PROJECT:
            shared = project.group is not None
            return f"the project {project.display_name}" if shared else "the personal project"
        case SubjectKind.USER:
            return shown(case.request.owner)
        case SubjectKind.QUEUE:
            return f"the queue {case.queue.display_name}"
        case SubjectKind.GROUP:
            named = project.group.display_name if project.group else subject.key
            return f"the group {named}"
        case SubjectKind.ORGANIZATION:
            named = project.organization.display_name if project.organization else ""
            return named or subject.key
