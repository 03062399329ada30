"""
Each rule of admission: its reason, word, sentence, status and change (design §5; promises 1, 4).

The table holds one request for each way to be refused. What holds for every request stands in
`test_admission_properties.py`, and a second opinion on all of it in `test_admission_oracle.py`.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from eugospawner.policy import roles
from eugospawner.policy.accounts import Actor, Prerequisite, Project
from eugospawner.policy.admission import nearest
from eugospawner.policy.capacity import UNKNOWN_CLUSTER, Fit
from eugospawner.policy.case import demand_of
from eugospawner.policy.catalog import AtOnce, Kind
from eugospawner.policy.decisions import Admitted, Decision, Denied, Queued, Refusal
from eugospawner.policy.lifecycle import State
from eugospawner.policy.limits import Override
from eugospawner.policy.quota import (
    HOUR_MS,
    NOTHING_USED,
    Amounts,
    Cell,
    Fits,
    Resource,
    Span,
    Subject,
    SubjectKind,
    Used,
    fit,
)
from eugospawner.policy.reasons import Reason, Who
from eugospawner.policy.roles import Action
from eugospawner.policy.storage import StorageQuota
from eugospawner.policy.windows import OneOffWindow, WeeklyWindow, WeekTime
from tests.factories import (
    GIB,
    NOW,
    a_catalog,
    a_catalog_without,
    a_cluster,
    a_group,
    a_mig_model,
    a_person,
    a_plan,
    a_profile,
    a_project,
    a_queue,
    a_quota,
    a_request,
    a_role,
    a_volume_request,
    an_actor,
    an_image,
    an_organization,
    decide_about,
    some_accounts,
    some_usage,
    some_volumes,
)


@dataclass(frozen=True)
class Case:
    """A request that is refused for one reason; no *change*: none helps."""

    words: dict[str, Any]
    reason: Reason
    status: int
    who: Who
    word: str
    sentence: str
    change: dict[str, Any]
    world: dict[str, Any] = field(default_factory=dict)


BASE = "registry.example/eugo/base:1.0"
CODE = "registry.example/eugo/code:1.0"
DATA = a_volume_request("data", "/mnt/data")

ALICE = Subject(SubjectKind.USER, "alice")
OWN = Subject(SubjectKind.PROJECT, "personal-alice")
LAB = Subject(SubjectKind.PROJECT, "lab")
BATCH = Subject(SubjectKind.QUEUE, "batch")
WEDNESDAY = WeeklyWindow(
    zone="Europe/Berlin", start=WeekTime(day=2, minute=14 * 60), end=WeekTime(day=2, minute=16 * 60)
)
OVER = OneOffWindow(
    zone="Asia/Kathmandu",
    start=datetime(2026, 11, 1, 8),  # noqa: DTZ001 - wall time
    end=datetime(2026, 11, 2, 8),  # noqa: DTZ001
)
GPU_HOUR = 100 * HOUR_MS


def under(*others: Any, **plan: Any) -> dict[str, Any]:
    """A world where the personal project has a plan with these entitlements."""
    return {"accounts": some_accounts(*others, personal=a_project(plan=a_plan(**plan)))}


def quota_used(used: int, of_model: str = "H100", **changes: Any) -> dict[str, Any]:
    """A world where Alice has used so much of a quota of 40 GPU hours this month."""
    return {
        "catalog": a_catalog(quotas=(a_quota(**changes),)),
        "usage": some_usage(ALICE, span=Span.MONTH, start="2026-11", gpu_model=of_model, gpu=used),
    }


def required(what: Prerequisite, *others: Project, **personal: Any) -> dict[str, Any]:
    """A world where this is demanded before anything starts."""
    accounts = some_accounts(*others, personal=a_project(**personal))
    return {"accounts": replace(accounts, required=frozenset({what}))}


CASES = {
    "somebody whose account is suspended": Case(
        {},
        Reason.ACCOUNT_SUSPENDED,
        403,
        Who.ADMIN,
        "options",
        "The account of alice is suspended: she left in October. "
        "Ask an admin to lift the suspension.",
        {},
        {"accounts": some_accounts(person=a_person(suspended_because="she left in October"))},
    ),
    "a suspended organization": Case(
        {},
        Reason.ORGANIZATION_SUSPENDED,
        403,
        Who.ORGANIZATION_OWNER,
        "project",
        "Organization acme is suspended: a payment is overdue. Nothing can be started on its "
        "account until that is settled. Contact billing@acme.example.",
        {},
        {
            "accounts": some_accounts(
                personal=a_project(
                    organization=an_organization(
                        suspended_because="a payment is overdue", contact="billing@acme.example"
                    )
                )
            )
        },
    ),
    "a project of a suspended organization, beside others": Case(
        {"project": "lab"},
        Reason.ORGANIZATION_SUSPENDED,
        403,
        Who.ORGANIZATION_OWNER,
        "project",
        "Organization acme is suspended: its credits are used up. Nothing can be started on its "
        "account until that is settled. Contact an owner of Organization acme.",
        {"project": "personal-alice"},
        {
            "accounts": some_accounts(
                a_project(
                    "lab", organization=an_organization(suspended_because="its credits are used up")
                )
            )
        },
    ),
    "somebody who must be a member and is not": Case(
        {},
        Reason.MEMBERSHIP_MISSING,
        403,
        Who.ORGANIZATION_OWNER,
        "options",
        "You need an active organization membership. Ask an owner of your organization to add you.",
        {},
        required(Prerequisite.MEMBERSHIP),
    ),
    "somebody who may make workspaces and not start them": Case(
        {},
        Reason.ROLE_WITHOUT_DEPLOY,
        403,
        Who.ORGANIZATION_OWNER,
        "options",
        "Your role must include the permission to deploy workspaces. "
        "Ask an owner or admin of your organization for a role that includes it.",
        {},
        {"accounts": some_accounts(person=a_person(roles=(a_role(Action.CREATE),)))},
    ),
    "somebody who only looks on": Case(
        {},
        Reason.ROLE_WITHOUT_CREATE,
        403,
        Who.ORGANIZATION_OWNER,
        "options",
        "Your role must include workspace creation permissions. "
        "Ask an owner or admin of your organization for a role that includes them.",
        {},
        {"accounts": some_accounts(person=a_person(roles=(roles.VIEWER,)))},
    ),
    "an organization without a subscription": Case(
        {},
        Reason.SUBSCRIPTION_MISSING,
        403,
        Who.ORGANIZATION_OWNER,
        "project",
        "Your organization needs an active subscription. Contact an owner of Organization acme.",
        {"project": "lab"},
        required(
            Prerequisite.SUBSCRIPTION,
            a_project("lab", organization=an_organization("paying", subscription="1")),
            organization=an_organization(),
        ),
    ),
    "an organization without a payment method": Case(
        {},
        Reason.PAYMENT_METHOD_MISSING,
        403,
        Who.ORGANIZATION_OWNER,
        "project",
        "A payment method must be set up. Contact billing@acme.example.",
        {},
        required(
            Prerequisite.PAYMENT_METHOD,
            organization=an_organization(contact="billing@acme.example"),
        ),
    ),
    "a project that nobody pays for": Case(
        {},
        Reason.PAYMENT_METHOD_MISSING,
        403,
        Who.ORGANIZATION_OWNER,
        "project",
        "A payment method must be set up. No organization pays for this project: choose another, "
        "or ask an admin.",
        {},
        required(Prerequisite.PAYMENT_METHOD),
    ),
    "a name that cannot be seen whole": Case(
        {"name": "abc\u202etxt"},
        Reason.WORKSPACE_NAME,
        400,
        Who.YOU,
        "name",
        "The name holds characters that cannot be seen. Choose another, or leave it empty.",
        {"name": None},
    ),
    "a name that another workspace of the project has": Case(
        {"name": "Train"},
        Reason.NAME_TAKEN,
        409,
        Who.YOU,
        "name",
        "This name is already in use in Project personal-alice. Train-3 is still free.",
        {"name": "Train-3"},
        {
            "accounts": replace(
                some_accounts(),
                names={
                    ("personal-alice", "train"): ("alice", "two"),
                    ("personal-alice", "train-2"): ("alice", "three"),
                    ("lab", "train-3"): ("bob", ""),
                },
            )
        },
    ),
    "a workspace that is suspended": Case(
        {},
        Reason.WORKSPACE_SUSPENDED,
        409,
        Who.ORGANIZATION_OWNER,
        "options",
        "This workspace is suspended. Its files are kept. Contact your organization owner, who can "
        "resume it.",
        {},
        {"accounts": replace(some_accounts(), states={"": State.SUSPENDED, "two": State.STOPPED})},
    ),
    "a workspace that is being destroyed": Case(
        {},
        Reason.WORKSPACE_ENDING,
        409,
        Who.YOU,
        "options",
        "This workspace is being destroyed. Create another one.",
        {},
        {"accounts": replace(some_accounts(), states={"": State.TERMINATING})},
    ),
    "somebody who asks for another": Case(
        {},
        Reason.NOT_PERMITTED,
        403,
        Who.ADMIN,
        "options",
        "bob may not start workspaces of alice. Ask alice or an admin to start it.",
        {},
        {"actor": Actor(name="bob")},
    ),
    "a queue that the plan does not have": Case(
        {"queue": "batch"},
        Reason.QUEUE_UNKNOWN,
        403,
        Who.PROJECT_MANAGER,
        "queue",
        "The project has no queue 'batch'. The default queue is always available.",
        {"queue": None},
        under(queues=()),
    ),
    "a queue whose window is closed": Case(
        {"queue": "batch"},
        Reason.WINDOW_CLOSED,
        403,
        Who.PROJECT_MANAGER,
        "queue",
        "The queue Queue batch is closed and opens Wed 2026-11-25 14:00 Europe/Berlin "
        "(plan Plan everything). The default queue is always available.",
        {"queue": None},
        under(windows=(WEDNESDAY,)),
    ),
    "a queue whose window closes at once": Case(
        {"queue": "batch"},
        Reason.WINDOW_CLOSED,
        403,
        Who.PROJECT_MANAGER,
        "queue",
        "The queue Queue batch closes within a minute and opens Wed 2026-12-02 14:00 Europe/Berlin "
        "(plan Plan everything). The default queue is always available.",
        {"queue": None},
        {**under(windows=(WEDNESDAY,)), "now": datetime(2026, 11, 25, 14, 59, 1, tzinfo=UTC)},
    ),
    "a queue whose windows are all over": Case(
        {"queue": "batch"},
        Reason.WINDOW_CLOSED,
        403,
        Who.PROJECT_MANAGER,
        "queue",
        "The queue Queue batch is closed and does not open again (plan Plan everything). "
        "The default queue is always available.",
        {"queue": None},
        under(windows=(OVER,)),
    ),
    "a profile that the plan does not have": Case(
        {"profile": "code", "flavor": "cpu-8"},
        Reason.PROFILE_NOT_IN_PLAN,
        403,
        Who.PROJECT_MANAGER,
        "profile",
        "The profile Profile code is not in the plan Plan everything. Choose one of: notebook, gpu. "
        "Ask a project manager to bind a plan that includes it.",
        {"profile": "notebook", "flavor": "cpu-8", "kind": None, "image": None},
        under(profiles=frozenset({"notebook", "gpu"})),
    ),
    "a profile that needs a plan": Case(
        {"profile": "code"},
        Reason.PROFILE_NOT_IN_PLAN,
        403,
        Who.PROJECT_MANAGER,
        "profile",
        "The profile Profile code needs a plan, and the project has none. Choose one of: notebook. "
        "Ask a project manager to bind a plan that includes it.",
        {"profile": "notebook", "flavor": "cpu-2", "kind": None, "image": None},
        under(key="", profiles=frozenset({"notebook"})),
    ),
    "any profile where the plan has none": Case(
        {},
        Reason.PROFILE_NOT_IN_PLAN,
        403,
        Who.PROJECT_MANAGER,
        "profile",
        "The profile Profile notebook is not in the plan Plan everything. "
        "Ask a project manager to bind a plan that includes it.",
        {},
        under(profiles=frozenset()),
    ),
    "an image that the plan does not have": Case(
        {"profile": "code", "image": CODE},
        Reason.IMAGE_NOT_IN_PLAN,
        403,
        Who.PROJECT_MANAGER,
        "image",
        "The image Image code is not in the plan Plan everything. Ask a project manager to bind "
        "a plan that includes it, or choose another image.",
        {"image": None},
        under(images=frozenset({"base", "pinned"})),
    ),
    "an editor of which the plan has no image, in a profile with another": Case(
        {"profile": "code"},
        Reason.IMAGE_NOT_IN_PLAN,
        403,
        Who.PROJECT_MANAGER,
        "image",
        "The image Image code is not in the plan Plan everything. Ask a project manager to bind "
        "a plan that includes it, or choose another image.",
        {"kind": Kind.JUPYTERLAB, "image": None},
        under(images=frozenset({"base"})),
    ),
    "a profile of which the plan has no image": Case(
        {},
        Reason.IMAGE_NOT_IN_PLAN,
        403,
        Who.PROJECT_MANAGER,
        "image",
        "The image Image base is not in the plan Plan everything. Ask a project manager to bind "
        "a plan that includes it, or choose another image.",
        {"profile": "code", "flavor": "cpu-2", "kind": None, "image": None},
        under(images=frozenset({"code"})),
    ),
    "a root shell in a project whose group has none": Case(
        {"project": "lab", "root_shell": True},
        Reason.ROOT_NOT_ALLOWED,
        403,
        Who.ADMIN,
        "root_shell",
        "A root shell is not enabled here. "
        "Ask an admin to enable root containers on the project and the owning group.",
        {"root_shell": False},
        {"accounts": some_accounts(a_project("lab", group=a_group(), allows_root=True))},
    ),
    "a root shell in a project that has none, of a group that has": Case(
        {"project": "lab", "root_shell": True},
        Reason.ROOT_NOT_ALLOWED,
        403,
        Who.ADMIN,
        "root_shell",
        "A root shell is not enabled here. "
        "Ask an admin to enable root containers on the project and the owning group.",
        {"root_shell": False},
        {"accounts": some_accounts(a_project("lab", group=a_group(may_run_as_root=True)))},
    ),
    "a GPU model that the plan does not have": Case(
        {"gpu_count": 3, "gpu_model": "H100", "sm_percent": 50},
        Reason.GPU_MODEL_NOT_IN_PLAN,
        403,
        Who.PROJECT_MANAGER,
        "gpu_model",
        "NVIDIA H100 is not in the plan Plan everything. Choose one of: L4, A100. "
        "Ask a project manager to bind a plan that includes the model you need.",
        {"gpu_model": "L4", "gpu_count": 1},
        under(gpu_models=frozenset({"A100", "L4"})),
    ),
    "a GPU where the plan has none": Case(
        {"profile": "gpu"},
        Reason.GPU_MODEL_NOT_IN_PLAN,
        403,
        Who.PROJECT_MANAGER,
        "gpu_model",
        "NVIDIA H100 needs a plan, and the project has none. "
        "Ask a project manager to bind a plan that includes the model you need.",
        {"gpu_model": None, "gpu_count": 0},
        under(key="", gpu_models=frozenset()),
    ),
    "more GPUs than the plan allows at once": Case(
        {"gpu_count": 3, "gpu_model": "H100"},
        Reason.MORE_THAN_PLAN,
        403,
        Who.PROJECT_MANAGER,
        "sm_percent",
        "You asked for 3.00 GPUs; the personal project may have 2.00 GPUs at once. "
        "Ask for less, or ask a project manager to bind a plan with more.",
        {"gpu_count": 3, "sm_percent": 66},
        under(at_once=AtOnce(gpu_percent=200)),
    ),
    "more whole GPUs than the plan allows at once": Case(
        {"gpu_count": 2, "gpu_model": "A100"},
        Reason.MORE_THAN_PLAN,
        403,
        Who.PROJECT_MANAGER,
        "sm_percent",
        "You asked for 2.00 GPUs; the personal project may have 1.50 GPUs at once. "
        "Ask for less, or ask a project manager to bind a plan with more.",
        {"gpu_count": 1, "sm_percent": 100},
        under(at_once=AtOnce(gpu_percent=150)),
    ),
    "a whole GPU where a plan allows half of one": Case(
        {"gpu_count": 1, "gpu_model": "A100"},
        Reason.MORE_THAN_PLAN,
        403,
        Who.PROJECT_MANAGER,
        "sm_percent",
        "You asked for 1.00 GPUs; alice may have 0.50 GPUs at once. "
        "Ask for less, or ask a project manager to bind a plan with more.",
        {"gpu_model": "H100", "gpu_count": 1, "sm_percent": 50},
        under(person_at_once=AtOnce(gpu_percent=50)),
    ),
    "more GPUs than the queue allows at once": Case(
        {"gpu_count": 2, "gpu_model": "L4", "queue": "batch"},
        Reason.MORE_THAN_PLAN,
        403,
        Who.PROJECT_MANAGER,
        "sm_percent",
        "You asked for 2.00 GPUs; the queue Queue batch may have 1.00 GPUs at once. "
        "Ask for less, or choose another queue.",
        {"gpu_count": 2, "sm_percent": 50},
        {
            "catalog": a_catalog(
                queues={
                    "default": a_queue(),
                    "batch": a_queue("batch", at_once=AtOnce(gpu_percent=100)),
                }
            )
        },
    ),
    "more CPU than the plan allows at once": Case(
        {"project": "lab", "cpu_millicores": 4001},
        Reason.MORE_THAN_PLAN,
        403,
        Who.PROJECT_MANAGER,
        "cpu",
        "You asked for 4.01 CPU; the project Project lab may have 4.00 CPU at once. "
        "Ask for less, or ask a project manager to bind a plan with more.",
        {"cpu_millicores": 4000},
        {
            "accounts": some_accounts(
                a_project("lab", group=a_group(), plan=a_plan(at_once=AtOnce(cpu_millicores=4000)))
            )
        },
    ),
    "more memory than the plan allows at once": Case(
        {"memory_bytes": 8 * GIB + 1},
        Reason.MORE_THAN_PLAN,
        403,
        Who.PROJECT_MANAGER,
        "memory",
        "You asked for 8.01 GiB memory; the personal project may have 8.00 GiB memory at once. "
        "Ask for less, or ask a project manager to bind a plan with more.",
        {"memory_bytes": 8 * GIB},
        under(at_once=AtOnce(memory_bytes=8 * GIB)),
    ),
    "less CPU than anything can run with": Case(
        {},
        Reason.MORE_THAN_PLAN,
        403,
        Who.PROJECT_MANAGER,
        "cpu",
        "You asked for 2.00 CPU; the personal project may have 0.05 CPU at once. "
        "Ask for less, or ask a project manager to bind a plan with more.",
        {},
        under(at_once=AtOnce(cpu_millicores=50)),
    ),
    "new volumes for which the plan has no room": Case(
        {"volumes": (DATA, a_volume_request("old"), a_volume_request("more"))},
        Reason.VOLUMES_MORE_THAN_PLAN,
        409,
        Who.PROJECT_MANAGER,
        "volumes",
        "New volumes would take 10Gi, and the volumes that there are have 20Gi of the 29Gi that the "
        "plan Plan everything allows. Mount a volume that exists, or ask a project manager to bind "
        "a plan with more.",
        {"volumes": (DATA, a_volume_request("old"))},
        {**under(volumes_bytes=29 * GIB), "owned_volumes": some_volumes("old")},
    ),
    "a new volume where there are too many already": Case(
        {"volumes": (DATA,)},
        Reason.VOLUMES_MORE_THAN_PLAN,
        409,
        Who.PROJECT_MANAGER,
        "volumes",
        "New volumes would take 5Gi, and the volumes that there are have 40Gi of the 30Gi that a "
        "project without a plan allows. Mount a volume that exists, or ask a project manager to "
        "bind a plan with more.",
        {"volumes": ()},
        {**under(key="", volumes_bytes=30 * GIB), "owned_volumes": some_volumes("a", "b")},
    ),
    "a home that is in use where there is no such GPU": Case(
        {"gpu_model": "H100", "gpu_count": 1},
        Reason.VOLUME_ATTACHED,
        409,
        Who.YOU,
        "gpu_model",
        "Your home is in use by “lab”, on a Node without such GPUs (1 × H100); a volume is attached "
        "to one Node at a time. Stop “lab” first, or choose another model.",
        {},
        {
            "cluster": a_cluster(H100={"n1": [100]}, L4={"n2": [100]}),
            "owned_volumes": some_volumes(attached=[("", "n2", "lab")]),
        },
    ),
    "a volume that is in use where there is no such GPU": Case(
        {"gpu_model": "H100", "gpu_count": 1, "volumes": (DATA, a_volume_request("old"))},
        Reason.VOLUME_ATTACHED,
        409,
        Who.YOU,
        "volumes",
        "The volume “data” is in use by “lab”, on a Node without such GPUs (1 × H100); a volume is "
        "attached to one Node at a time. Stop “lab” first, or choose another model, or leave that "
        "volume out.",
        {"volumes": (a_volume_request("old"),)},
        {
            "cluster": a_cluster(H100={"n1": [100]}, L4={"n2": [100]}),
            "owned_volumes": some_volumes("data", "old", attached=[("data", "n2", "lab")]),
        },
    ),
    "volumes that are in use on two Nodes": Case(
        {"volumes": (DATA, a_volume_request("old"))},
        Reason.VOLUME_ATTACHED,
        409,
        Who.YOU,
        "volumes",
        "Your home is in use by “lab”, and the volume “data” by “other”, on another Node; a volume "
        "is attached to one Node at a time. Stop one of them, or leave that volume out.",
        {"volumes": (a_volume_request("old"),)},
        {
            "owned_volumes": some_volumes(
                "data", "old", attached=[("", "n1", "lab"), ("data", "n2", "other")]
            )
        },
    ),
    "new volumes for which a quota of the group has no room": Case(
        {"project": "lab", "volumes": (DATA, a_volume_request("old"), a_volume_request("more"))},
        Reason.STORAGE_EXHAUSTED,
        409,
        Who.ADMIN,
        "volumes",
        "New volumes would take 10Gi, and the volumes of the group Group lab have 93Gi of 100Gi "
        "(quota lab-storage). Mount a volume that exists, delete one, or ask an admin for more.",
        {"volumes": (DATA, a_volume_request("old"))},
        {
            "accounts": some_accounts(a_project("lab", group=a_group())),
            "catalog": a_catalog(
                storage_quotas=(
                    StorageQuota(
                        key="lab-storage",
                        subject=Subject(SubjectKind.GROUP, "lab"),
                        size_bytes=100 * GIB,
                    ),
                )
            ),
            "owned_volumes": some_volumes(
                "old", held={Subject(SubjectKind.GROUP, "lab"): 93 * GIB}
            ),
        },
    ),
    "half a GPU where a quarter is left": Case(
        {"gpu_count": 1, "gpu_model": "H100", "sm_percent": 50},
        Reason.IN_USE,
        409,
        Who.YOU,
        "sm_percent",
        "The personal project has 1.75 of 2.00 GPUs in use or reserved, and you asked for 0.50 GPUs "
        "more. Stop a workspace of the project, or ask for less.",
        {"gpu_count": 1, "sm_percent": 25},
        {**under(at_once=AtOnce(gpu_percent=200)), "usage": some_usage(OWN, gpu=175)},
    ),
    "a GPU where none is left": Case(
        {"profile": "gpu"},
        Reason.IN_USE,
        409,
        Who.YOU,
        "sm_percent",
        "alice has 1.00 of 1.00 GPUs in use or reserved, and you asked for 1.00 GPUs more. "
        "Stop a workspace, or ask for less.",
        {"gpu_model": None, "gpu_count": 0},
        {**under(person_at_once=AtOnce(gpu_percent=100)), "usage": some_usage(ALICE, gpu=100)},
    ),
    "GPUs that others have taken in the queue": Case(
        {"gpu_count": 1, "gpu_model": "A100", "queue": "batch"},
        Reason.IN_USE,
        409,
        Who.YOU,
        "sm_percent",
        "The queue Queue batch has 3.40 of 4.00 GPUs in use or reserved, and you asked for "
        "1.00 GPUs more. Ask for less, or choose another queue.",
        {"gpu_model": "H100", "gpu_count": 1, "sm_percent": 60},
        {
            "catalog": a_catalog(
                queues={
                    "default": a_queue(),
                    "batch": a_queue("batch", at_once=AtOnce(gpu_percent=400)),
                }
            ),
            "usage": some_usage(BATCH, gpu=340),
        },
    ),
    "CPU of which less is left": Case(
        {"project": "lab", "cpu_millicores": 3000},
        Reason.IN_USE,
        409,
        Who.YOU,
        "cpu",
        "The project Project lab has 2.00 of 4.00 CPU in use or reserved, and you asked for 3.00 CPU "
        "more. Stop a workspace of the project, or ask for less.",
        {"cpu_millicores": 2000},
        {
            "accounts": some_accounts(
                a_project("lab", group=a_group(), plan=a_plan(at_once=AtOnce(cpu_millicores=4000)))
            ),
            "usage": some_usage(LAB, cpu=2000),
        },
    ),
    "memory of which too little is left": Case(
        {},
        Reason.IN_USE,
        409,
        Who.YOU,
        "memory",
        "The personal project has 15.75 of 16.00 GiB memory in use or reserved, and you asked for "
        "8.00 GiB memory more. Stop a workspace of the project, or ask for less.",
        {},
        {
            **under(at_once=AtOnce(memory_bytes=16 * GIB)),
            "usage": some_usage(OWN, memory=16 * 1024 - 256),
        },
    ),
    "a model whose hours are used up": Case(
        {"gpu_count": 2, "gpu_model": "H100", "sm_percent": 50},
        Reason.QUOTA_EXHAUSTED,
        409,
        Who.ADMIN,
        "gpu_model",
        "alice has used or reserved 40.00 of 40.00 H100 hours per month (quota h100-month). "
        "The quota resets Tue 2026-12-01 00:00 Europe/Berlin; an admin can grant more before.",
        {"gpu_model": "L4", "gpu_count": 1},
        quota_used(40 * GPU_HOUR, key="h100-month", gpu_model="H100"),
    ),
    "GPU hours that are used up, of whichever model": Case(
        {"profile": "gpu"},
        Reason.QUOTA_EXHAUSTED,
        409,
        Who.ADMIN,
        "gpu_model",
        "alice has used or reserved 39.99 of 40.00 GPU hours per month (quota gpu-month), and the "
        "rest would not last a minute. "
        "The quota resets Tue 2026-12-01 00:00 Europe/Berlin; an admin can grant more before.",
        {"gpu_model": None, "gpu_count": 0},
        # A millisecond less than a minute is left.
        quota_used(40 * GPU_HOUR - 100 * 59_999, "T4"),
    ),
    "a day of an organization that is used up": Case(
        {},
        Reason.QUOTA_EXHAUSTED,
        409,
        Who.ADMIN,
        "cpu",
        "Organization acme has used or reserved 123.00 of 100.00 CPU hours per day "
        "(quota acme-day). The quota resets Wed 2026-11-25 00:00 Europe/Berlin; "
        "an admin can grant more before.",
        {},
        {
            "accounts": some_accounts(personal=a_project(organization=an_organization())),
            "catalog": a_catalog(
                quotas=(
                    a_quota(
                        "acme-day",
                        subject=Subject(SubjectKind.ORGANIZATION, "acme"),
                        resource=Resource.CPU,
                        span=Span.DAY,
                        amount=100 * 1000 * HOUR_MS,
                    ),
                )
            ),
            "usage": some_usage(
                Subject(SubjectKind.ORGANIZATION, "acme"),
                span=Span.DAY,
                start="2026-11-24",
                cpu=123 * 1000 * HOUR_MS,
            ),
        },
    ),
    "memory of a group that is used up": Case(
        {"project": "lab"},
        Reason.QUOTA_EXHAUSTED,
        409,
        Who.ADMIN,
        "memory",
        "The group Group lab has used or reserved 1.00 of 1.00 GiB memory hours per month "
        "(quota ram). The quota resets Tue 2026-12-01 00:00 Europe/Berlin; "
        "an admin can grant more before.",
        {},
        {
            "accounts": some_accounts(a_project("lab", group=a_group())),
            "catalog": a_catalog(
                quotas=(
                    a_quota(
                        "ram",
                        subject=Subject(SubjectKind.GROUP, "lab"),
                        resource=Resource.MEMORY,
                        amount=1024 * HOUR_MS,
                    ),
                )
            ),
            "usage": some_usage(
                Subject(SubjectKind.GROUP, "lab"),
                span=Span.MONTH,
                start="2026-11",
                gpu_model="",
                memory=1024 * HOUR_MS,
            ),
        },
    ),
    "a project that does not exist or is not yours": Case(
        {"project": "vision"},
        Reason.PROJECT_UNKNOWN,
        403,
        Who.PROJECT_MANAGER,
        "project",
        "You are not a member of a project 'vision'. "
        "Start in your personal project, or ask a project manager to add you.",
        {"project": None},
    ),
    "a queue that does not exist": Case(
        {"queue": "research-high"},
        Reason.QUEUE_UNKNOWN,
        403,
        Who.PROJECT_MANAGER,
        "queue",
        "The project has no queue 'research-high'. The default queue is always available.",
        {"queue": None},
    ),
    "a profile that does not exist": Case(
        {"profile": "nope"},
        Reason.PROFILE_UNKNOWN,
        400,
        Who.YOU,
        "profile",
        "There is no profile 'nope'. Choose one of: notebook, code, gpu.",
        {"profile": "notebook"},
    ),
    "a flavor of another profile": Case(
        {"flavor": "gpu-h100"},
        Reason.FLAVOR_NOT_IN_PROFILE,
        400,
        Who.ADMIN,
        "flavor",
        "The profile notebook does not offer the flavor 'gpu-h100'. It offers: cpu-2, cpu-8.",
        {"flavor": None},
    ),
    "an editor of another profile": Case(
        {"kind": Kind.VSCODE},
        Reason.KIND_NOT_IN_PROFILE,
        400,
        Who.ADMIN,
        "kind",
        "The profile notebook does not offer vscode. It offers: jupyterlab.",
        {"kind": None},
    ),
    "an image that is not in the allowlist": Case(
        {"image": "docker.io/evil/pwn:latest"},
        Reason.IMAGE_NOT_ALLOWED,
        403,
        Who.ADMIN,
        "image",
        "image not in allowlist: docker.io/evil/pwn:latest. Choose an image that the profile "
        "notebook offers, or ask an admin to add this one.",
        {"image": None},
    ),
    "an image of another profile": Case(
        {"image": CODE},
        Reason.IMAGE_NOT_ALLOWED,
        403,
        Who.ADMIN,
        "image",
        f"image not in allowlist: {CODE}. Choose an image that the profile "
        "notebook offers, or ask an admin to add this one.",
        {"image": None},
    ),
    "an image that cannot run the editor": Case(
        {"profile": "code", "image": BASE},
        Reason.IMAGE_WITHOUT_KIND,
        400,
        Who.YOU,
        "kind",
        f"The image {BASE} cannot run vscode. It runs: jupyterlab.",
        {"image": None},
    ),
    "an editor that is not here": Case(
        {"profile": "code"},
        Reason.KIND_UNAVAILABLE,
        409,
        Who.ADMIN,
        "kind",
        "VS Code is not installed here.",
        {"kind": Kind.JUPYTERLAB, "image": None},
        {"catalog": a_catalog_without(kinds={"vscode": "VS Code is not installed here."})},
    ),
    "an editor that is not here in a profile that has no other": Case(
        {"profile": "notebook", "flavor": "cpu-8"},
        Reason.KIND_UNAVAILABLE,
        409,
        Who.ADMIN,
        "kind",
        "JupyterLab is being updated.",
        {"profile": "code", "flavor": "cpu-8", "kind": None, "image": None},
        {"catalog": a_catalog_without(kinds={"jupyterlab": "JupyterLab is being updated."})},
    ),
    "an image that is not here, where another would do": Case(
        {"profile": "code", "image": CODE},
        Reason.IMAGE_UNAVAILABLE,
        409,
        Who.ADMIN,
        "image",
        "The image is being built.",
        {"image": None},
        {"catalog": a_catalog_without(images={"code": "The image is being built."})},
    ),
    "the only image of a profile, which is not here": Case(
        {"profile": "gpu"},
        Reason.IMAGE_UNAVAILABLE,
        409,
        Who.ADMIN,
        "image",
        "The image is being built.",
        {"profile": "code", "flavor": None, "kind": None, "image": None},
        {"catalog": a_catalog_without(images={"base": "The image is being built."})},
    ),
    "a root shell where none is enabled": Case(
        {"root_shell": True},
        Reason.ROOT_NOT_ALLOWED,
        403,
        Who.ADMIN,
        "root_shell",
        "A root shell is not enabled here. "
        "Ask an admin to enable root containers on the project and the owning group.",
        {"root_shell": False},
    ),
    "GPUs of no model": Case(
        {"gpu_count": 1},
        Reason.GPU_MODEL_MISSING,
        400,
        Who.YOU,
        "gpu_model",
        "Say which GPU model you want: H100, L4, A100, A100-MIG, T4.",
        {"gpu_count": None},
    ),
    "a GPU model that the catalog has not": Case(
        {"gpu_count": 1, "gpu_model": "h100"},
        Reason.GPU_MODEL_UNKNOWN,
        400,
        Who.ADMIN,
        "gpu_model",
        "There is no GPU model 'h100'. Choose one of: H100, L4, A100, A100-MIG, T4.",
        {"gpu_model": None, "gpu_count": None},
    ),
    "a GPU model that the catalog has not, and no GPU asked for": Case(
        {"gpu_count": 0, "gpu_model": "h100"},
        Reason.GPU_MODEL_UNKNOWN,
        400,
        Who.ADMIN,
        "gpu_model",
        "There is no GPU model 'h100'. Choose one of: H100, L4, A100, A100-MIG, T4.",
        {"gpu_model": None, "gpu_count": None},
    ),
    "a GPU model without a count on a flavor without GPU": Case(
        {"gpu_model": "H100", "sm_percent": 25},
        Reason.GPU_COUNT_MISSING,
        400,
        Who.YOU,
        "gpu_count",
        "Say how many H100 you want: the flavor cpu-2 has no GPU of its own. "
        "Write 1, or choose no GPU model.",
        {"gpu_count": 1},
    ),
    "more GPUs than a workspace may have": Case(
        {"gpu_count": 5, "gpu_model": "H100"},
        Reason.GPU_COUNT_OUT_OF_BOUNDS,
        400,
        Who.ADMIN,
        "gpu_count",
        "5 GPUs were requested; a workspace may have 0 to 4.",
        {"gpu_count": 4},
    ),
    "less than no GPU": Case(
        {"gpu_count": -1, "gpu_model": "H100"},
        Reason.GPU_COUNT_OUT_OF_BOUNDS,
        400,
        Who.ADMIN,
        "gpu_count",
        "-1 GPUs were requested; a workspace may have 0 to 4.",
        {"gpu_count": 0},
    ),
    "no SM percent": Case(
        {"gpu_count": 1, "gpu_model": "H100", "sm_percent": 0},
        Reason.SM_PERCENT_OUT_OF_BOUNDS,
        400,
        Who.YOU,
        "sm_percent",
        "An SM percentage of 0 was requested; "
        "it is a whole number from 1 to 100, and 100 is a full GPU.",
        {"sm_percent": 1},
    ),
    "more than the whole of a GPU": Case(
        {"gpu_count": 1, "gpu_model": "H100", "sm_percent": 101},
        Reason.SM_PERCENT_OUT_OF_BOUNDS,
        400,
        Who.YOU,
        "sm_percent",
        "An SM percentage of 101 was requested; "
        "it is a whole number from 1 to 100, and 100 is a full GPU.",
        {"sm_percent": 100},
    ),
    "a share of a model that is handed out whole": Case(
        {"gpu_count": 1, "gpu_model": "A100", "sm_percent": 99},
        Reason.SM_PERCENT_NOT_DIVISIBLE,
        400,
        Who.YOU,
        "sm_percent",
        "NVIDIA A100 is handed out whole only. Use 100 % SM, or a model that can be shared.",
        {"sm_percent": 100},
    ),
    "an SM percent that is none of the sizes": Case(
        {"gpu_count": 1, "gpu_model": "A100-MIG", "sm_percent": 25},
        Reason.SM_PERCENT_NOT_A_SIZE,
        400,
        Who.YOU,
        "sm_percent",
        "NVIDIA A100-MIG is cut to fixed sizes, and 25 % SM is none of them. "
        "Choose one of: 15 % (1g.10gb), 29 % (2g.20gb), 43 % (3g.40gb), 100 % (7g.80gb).",
        {"sm_percent": 29},
    ),
    "too little CPU": Case(
        {"cpu_millicores": 99},
        Reason.CPU_OUT_OF_BOUNDS,
        400,
        Who.ADMIN,
        "cpu",
        "99m CPU was requested; a workspace may have 100m to 16.",
        {"cpu_millicores": 100},
    ),
    "too much CPU": Case(
        {"cpu_millicores": 16_001},
        Reason.CPU_OUT_OF_BOUNDS,
        400,
        Who.ADMIN,
        "cpu",
        "16001m CPU was requested; a workspace may have 100m to 16.",
        {"cpu_millicores": 16_000},
    ),
    "too little memory": Case(
        {"memory_bytes": 0},
        Reason.MEMORY_OUT_OF_BOUNDS,
        400,
        Who.ADMIN,
        "memory",
        "0 memory was requested; a workspace may have 512Mi to 128Gi.",
        {"memory_bytes": GIB // 2},
    ),
    "too much memory": Case(
        {"memory_bytes": 256 * GIB},
        Reason.MEMORY_OUT_OF_BOUNDS,
        400,
        Who.ADMIN,
        "memory",
        "256Gi memory was requested; a workspace may have 512Mi to 128Gi.",
        {"memory_bytes": 128 * GIB},
    ),
    "a volume whose name is a path": Case(
        {"volumes": (DATA, a_volume_request("../bob", "/mnt/bob"))},
        Reason.VOLUME_NAME,
        400,
        Who.YOU,
        "volumes",
        "'../bob' cannot name a volume: use up to 40 lower-case "
        "letters, digits and hyphens, beginning and ending with a letter or digit.",
        {"volumes": (DATA,)},
    ),
    "a volume of another project": Case(
        {"volumes": (DATA, a_volume_request("data@vision", "/mnt/ours"))},
        Reason.VOLUME_UNKNOWN,
        403,
        Who.YOU,
        "volumes",
        "The project Project personal-alice has no volume 'data@vision': a workspace mounts volumes of its own project "
        "alone. Choose that project, or leave it out.",
        {"volumes": (DATA,)},
    ),
    "one volume mounted twice": Case(
        {"volumes": (DATA, a_volume_request("data", "/mnt/again"))},
        Reason.VOLUME_DUPLICATE,
        400,
        Who.YOU,
        "volumes",
        "The volume 'data' is mounted twice. Mount it once.",
        {"volumes": (DATA,)},
    ),
    "a mount path that hides the system": Case(
        {"volumes": (DATA, a_volume_request("etc", "/etc"))},
        Reason.MOUNT_PATH_UNSAFE,
        400,
        Who.YOU,
        "volumes",
        "The mount path '/etc' would hide a folder of the system: use for example /data.",
        {"volumes": (DATA,)},
    ),
    "a mount path that hides the home": Case(
        {"volumes": (a_volume_request("home", "/home"),)},
        Reason.MOUNT_PATH_UNSAFE,
        400,
        Who.YOU,
        "volumes",
        "The mount path '/home' overlaps the home /home/user, which is always mounted: "
        "use for example /data.",
        {"volumes": ()},
    ),
    "a mount path below another": Case(
        {"volumes": (DATA, a_volume_request("more", "/mnt/data/more"))},
        Reason.MOUNT_PATH_DUPLICATE,
        400,
        Who.YOU,
        "volumes",
        "The mount path '/mnt/data/more' is used twice, or lies in another one. "
        "Give each volume a path of its own.",
        {"volumes": (DATA,)},
    ),
    "more volumes than a workspace may mount": Case(
        {"volumes": tuple(a_volume_request(key) for key in ("a", "b", "c", "d"))},
        Reason.TOO_MANY_VOLUMES,
        400,
        Who.YOU,
        "volumes",
        "4 volumes were requested; a workspace may mount 3.",
        {"volumes": tuple(a_volume_request(key) for key in ("a", "b", "c"))},
    ),
    "a model that the cluster has not": Case(
        {"gpu_count": 2, "gpu_model": "L4"},
        Reason.GPU_MODEL_ABSENT,
        409,
        Who.ADMIN,
        "gpu_model",
        "The cluster has no NVIDIA L4 at present. "
        "Choose another model, or ask an admin when it comes back.",
        {"gpu_model": "H100", "gpu_count": 1},
        {"cluster": a_cluster(H100=[0])},
    ),
    "a size that no GPU of the cluster can be cut to": Case(
        {"gpu_count": 1, "gpu_model": "A100-MIG", "sm_percent": 29},
        Reason.GPU_SIZE_ABSENT,
        409,
        Who.ADMIN,
        "sm_percent",
        "No NVIDIA A100-MIG of the cluster can be cut to 29 % SM (2g.20gb) at present. Choose one "
        "of: 15 % (1g.10gb), 43 % (3g.40gb); or ask an admin to offer this size.",
        {"sm_percent": 43},
        {"cluster": a_cluster(**{"A100-MIG": [{15: (7, 0)}, {43: (2, 0)}]})},
    ),
    "more slices than any node has": Case(
        {"gpu_count": 3, "gpu_model": "A100-MIG", "sm_percent": 43},
        Reason.GPU_COUNT_ABSENT,
        409,
        Who.ADMIN,
        "gpu_count",
        "3 × NVIDIA A100-MIG at 43 % SM were requested; no node has more than 2.",
        {"gpu_count": 2},
        {"cluster": a_cluster(**{"A100-MIG": [{15: (7, 7), 43: (2, 2)}]})},
    ),
    "more GPUs than any node has": Case(
        {"gpu_count": 3, "gpu_model": "H100"},
        Reason.GPU_COUNT_ABSENT,
        409,
        Who.ADMIN,
        "gpu_count",
        "3 × NVIDIA H100 were requested; no node has more than 2.",
        {"gpu_count": 2},
        {"cluster": a_cluster(H100={"n1": [100, 100], "n2": [100]})},
    ),
}


def refusals_of(decision: Decision) -> tuple[Refusal, ...]:
    assert isinstance(decision, Denied)
    return decision.refusals


def reasons_of(decision: Decision) -> list[Reason]:
    return [refusal.reason for refusal in refusals_of(decision)]


def admitted(decision: Decision) -> Admitted:
    assert isinstance(decision, Admitted)
    return decision


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_answer_to(case: Case) -> None:
    (refusal,) = refusals_of(decide_about(**case.words, **case.world))

    assert refusal.reason is case.reason
    assert (refusal.status, refusal.who) == (case.status, case.who)
    assert refusal.word == case.word
    assert refusal.sentence == case.sentence
    assert refusal.change == case.change


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_change_if_there_is_one_admits(case: Case) -> None:
    request = a_request(**case.words)
    decision = decide_about(request, **case.world)
    assert isinstance(decision, Denied)

    amended = decision.amend(request)
    assert nearest(request, lambda again: decide_about(again, **case.world)) == amended
    if not case.change:
        assert amended is None
        return
    assert amended is not None
    assert not isinstance(decide_about(amended, **case.world), Denied)


def test_every_reason_that_admission_gives_has_a_case() -> None:
    elsewhere = {
        Reason.MALFORMED,
        Reason.UNKNOWN_OPTION,
        Reason.CLUSTER_REFUSED,
        Reason.CLUSTER_DROPS_SHARES,
        Reason.CLUSTER_UNREACHABLE,
        Reason.STORE_UNAVAILABLE,
        Reason.MANIFEST_REFUSED,
        # of what is asked of a workspace that is there
        Reason.WORKSPACE_UNKNOWN,
        Reason.WRONG_STATE,
        Reason.NOT_EXTENDABLE,
        Reason.SESSION_CHANGED,
    }
    assert {case.reason for case in CASES.values()} == set(Reason) - elsewhere


# --- what an empty request gets ---


def test_a_workspace_may_keep_its_own_name() -> None:
    accounts = replace(some_accounts(), names={("personal-alice", "train"): ("alice", "two")})
    admitted(decide_about(profile="notebook", workspace="two", name="TRAIN", accounts=accounts))


def test_all_that_is_missing_is_said_at_once() -> None:
    """F11, in the order in which it says them."""
    accounts = replace(
        some_accounts(
            person=a_person(roles=(roles.VIEWER,)),
            personal=a_project(organization=an_organization()),
        ),
        required=frozenset(Prerequisite),
    )
    assert reasons_of(decide_about(profile="notebook", accounts=accounts)) == [
        Reason.MEMBERSHIP_MISSING,
        Reason.ROLE_WITHOUT_CREATE,
        Reason.SUBSCRIPTION_MISSING,
        Reason.PAYMENT_METHOD_MISSING,
    ]


def test_whoever_has_all_that_is_demanded_is_admitted() -> None:
    paying = an_organization(subscription="team", payment_method="invoice")
    accounts = replace(
        some_accounts(
            person=a_person(organization="acme"), personal=a_project(organization=paying)
        ),
        required=frozenset(Prerequisite),
    )
    admitted(decide_about(profile="notebook", accounts=accounts))


def test_absent_words_mean_the_defaults_of_design_5() -> None:
    grant = admitted(decide_about()).grant

    assert grant.owner == "alice"
    assert grant.project.key == "personal-alice"
    assert grant.profile.key == "notebook"
    assert grant.flavor.key == "cpu-2"
    assert grant.kind is Kind.JUPYTERLAB
    assert grant.image.reference == BASE
    assert grant.queue.key == "default"
    assert grant.gpus is None
    assert (grant.cpu_millicores, grant.memory_bytes) == (2000, 8 * GIB)
    assert grant.mounts == ()
    assert grant.root_shell is False


def test_a_cpu_workspace_costs_no_gpu_and_fits_any_cluster() -> None:
    decision = admitted(decide_about(cluster=a_cluster()))
    assert (decision.charge_percent, decision.fit) == (0, Fit.NOW)


def test_the_gpus_are_the_flavors_and_whole_unless_said_otherwise() -> None:
    gpus = admitted(decide_about(profile="gpu", flavor="gpu-a100")).grant.gpus
    assert gpus is not None
    assert (gpus.model.key, gpus.count, gpus.sm_percent) == ("A100", 2, 100)


def test_count_model_and_share_of_the_request_win_over_the_flavors() -> None:
    decision = admitted(decide_about(profile="gpu", gpu_model="L4", gpu_count=3, sm_percent=15))
    gpus = decision.grant.gpus
    assert gpus is not None
    assert (gpus.model.key, gpus.count, gpus.sm_percent) == ("L4", 3, 15)


def test_zero_gpus_give_up_those_of_the_flavor() -> None:
    assert admitted(decide_about(profile="gpu", gpu_count=0)).grant.gpus is None


def test_a_model_without_a_count_takes_the_flavors_count() -> None:
    gpus = admitted(decide_about(profile="gpu", gpu_model="L4")).grant.gpus
    assert gpus is not None
    assert (gpus.model.key, gpus.count) == ("L4", 1)


def test_cpu_and_memory_of_the_request_win_over_the_flavors() -> None:
    grant = admitted(decide_about(cpu_millicores=100, memory_bytes=128 * GIB)).grant
    assert (grant.cpu_millicores, grant.memory_bytes) == (100, 128 * GIB)


@pytest.mark.parametrize(
    ("count", "sm_percent", "charge"), [(1, 100, 100), (2, 25, 50), (4, 1, 4), (4, 100, 400)]
)
def test_the_charge_is_count_times_share(count: int, sm_percent: int, charge: int) -> None:
    decision = decide_about(gpu_model="H100", gpu_count=count, sm_percent=sm_percent)
    assert admitted(decision).charge_percent == charge


# --- whole, throttled, cut (design §6) ---


@pytest.mark.parametrize(
    ("model", "count", "sm_percent", "charge"),
    [
        pytest.param("A100", 2, None, 200, id="whole devices"),
        pytest.param("T4", 1, 50, 100, id="half the speed is the whole device"),
        pytest.param("T4", 3, 1, 300, id="so is a hundredth, of each"),
        pytest.param("T4", 2, None, 200, id="no limit"),
        pytest.param("A100-MIG", 1, 15, 15, id="a seventh, rounded up"),
        pytest.param("A100-MIG", 2, 43, 86, id="twice three sevenths"),
        pytest.param("A100-MIG", 1, None, 100, id="seven sevenths"),
    ],
)
def test_what_is_charged_is_what_the_claim_will_hold(
    model: str, count: int, sm_percent: int | None, charge: int
) -> None:
    decision = admitted(decide_about(gpu_model=model, gpu_count=count, sm_percent=sm_percent))
    gpus = decision.grant.gpus
    assert gpus is not None
    assert (decision.charge_percent, gpus.percent) == (charge, charge)
    assert gpus.sm_percent == (sm_percent or 100)


@pytest.mark.parametrize(
    ("model", "asked", "nearest_percent"),
    [
        ("A100-MIG", -1, 15),
        ("A100-MIG", 0, 15),
        ("A100-MIG", 14, 15),
        ("A100-MIG", 16, 29),
        ("A100-MIG", 44, 100),
        ("A100-MIG", 101, 100),
        ("A100", 1, 100),
        ("A100", 0, 100),
        ("T4", 0, 1),
        ("T4", 101, 100),
    ],
)
def test_the_next_larger_share_on_offer_is_the_nearest(
    model: str, asked: int, nearest_percent: int
) -> None:
    request = a_request(gpu_model=model, gpu_count=1, sm_percent=asked)
    (refusal,) = refusals_of(decide_about(request))
    assert refusal.change == {"sm_percent": nearest_percent}


def test_a_model_whose_largest_size_is_smaller_than_a_gpu_gives_that_to_who_says_nothing() -> None:
    small = a_mig_model(mig_sizes=a_mig_model().mig_sizes[:2])
    catalog = a_catalog(gpu_models={"A100-MIG": small})
    words: dict[str, Any] = {"gpu_model": "A100-MIG", "gpu_count": 1, "catalog": catalog}
    assert admitted(decide_about(**words)).charge_percent == 29
    (refusal,) = refusals_of(decide_about(**words, sm_percent=100))
    assert refusal.reason is Reason.SM_PERCENT_NOT_A_SIZE
    assert refusal.change == {"sm_percent": 29}


def test_where_no_larger_size_is_there_the_largest_is_offered() -> None:
    cluster = a_cluster(**{"A100-MIG": [{15: (7, 7), 29: (3, 3)}]})
    request = a_request(gpu_model="A100-MIG", gpu_count=1, sm_percent=43)
    (refusal,) = refusals_of(decide_about(request, cluster=cluster))
    assert refusal.reason is Reason.GPU_SIZE_ABSENT
    assert refusal.change == {"sm_percent": 29}


def test_gpus_that_are_cut_to_no_size_of_the_catalog_are_none_of_the_model() -> None:
    cluster = a_cluster(H100=[100], **{"A100-MIG": [{58: (1, 1)}]})
    decision = decide_about(gpu_model="A100-MIG", gpu_count=1, sm_percent=15, cluster=cluster)
    assert reasons_of(decision) == [Reason.GPU_MODEL_ABSENT]


def test_slices_count_as_replacement_only_at_a_size_that_is_there() -> None:
    request = a_request(gpu_model="L4", gpu_count=1, sm_percent=43)
    for sizes, change in (
        ({43: (2, 0)}, {"gpu_model": "A100-MIG", "gpu_count": 1}),
        ({15: (7, 7)}, {"gpu_model": None, "gpu_count": 0}),
    ):
        (refusal,) = refusals_of(decide_about(request, cluster=a_cluster(**{"A100-MIG": [sizes]})))
        assert refusal.change == change


def test_a_size_that_is_all_in_use_waits_and_another_starts() -> None:
    cluster = a_cluster(**{"A100-MIG": [{15: (7, 1), 43: (2, 0)}]})
    words: dict[str, Any] = {"gpu_model": "A100-MIG", "gpu_count": 1, "cluster": cluster}
    waits = decide_about(**words, sm_percent=43)
    assert isinstance(waits, Queued)
    assert waits.sentence == (
        "Every NVIDIA A100-MIG that can be cut to 43 % SM is taken. "
        "The workspace waits and starts by itself as soon as one is released."
    )
    assert admitted(decide_about(**words, sm_percent=15)).fit is Fit.NOW


@pytest.mark.parametrize(("model", "sm_percent"), [("T4", 50), ("A100", 100)])
def test_whole_devices_that_are_taken_are_not_said_to_lack_a_share(
    model: str, sm_percent: int
) -> None:
    decision = decide_about(
        gpu_model=model, gpu_count=1, sm_percent=sm_percent, cluster=a_cluster(**{model: [0]})
    )
    assert isinstance(decision, Queued)
    assert decision.sentence.startswith(f"Every NVIDIA {model} is taken.")


# --- access ---


def test_a_project_of_the_owner_is_granted() -> None:
    accounts = some_accounts(a_project("vision"))
    assert admitted(decide_about(project="vision", accounts=accounts)).grant.project.key == "vision"


def test_a_queue_of_the_catalog_is_granted() -> None:
    assert admitted(decide_about(queue="batch")).grant.queue.key == "batch"


def test_an_admin_who_starts_for_somebody_is_bound_by_the_same_rules() -> None:
    admin = an_actor(name="ada", is_admin=True)
    assert decide_about(actor=admin) == decide_about(actor=Actor(name="alice"))
    assert reasons_of(decide_about(actor=admin, root_shell=True)) == [Reason.ROOT_NOT_ALLOWED]


def test_a_root_shell_is_granted_where_the_project_has_it() -> None:
    accounts = some_accounts(a_project("lab", allows_root=True))
    grant = admitted(decide_about(project="lab", root_shell=True, accounts=accounts)).grant
    assert grant.root_shell is True


def test_a_root_shell_is_granted_where_project_and_group_have_it() -> None:
    """F38."""
    lab = a_project("lab", group=a_group(may_run_as_root=True), allows_root=True)
    decision = decide_about(project="lab", root_shell=True, accounts=some_accounts(lab))
    assert admitted(decision).grant.root_shell is True


def test_a_root_shell_is_granted_in_a_personal_project_that_has_it() -> None:
    accounts = some_accounts(personal=a_project(allows_root=True))
    assert admitted(decide_about(root_shell=True, accounts=accounts)).grant.root_shell is True


def test_a_root_shell_of_one_project_is_none_of_another() -> None:
    accounts = some_accounts(a_project("lab", allows_root=True), a_project("vision"))
    decision = decide_about(project="vision", root_shell=True, accounts=accounts)
    assert reasons_of(decision) == [Reason.ROOT_NOT_ALLOWED]


def test_a_root_shell_in_a_foreign_project_is_judged_by_the_personal_one() -> None:
    decision = decide_about(project="theirs", root_shell=True)
    assert reasons_of(decision) == [Reason.PROJECT_UNKNOWN, Reason.ROOT_NOT_ALLOWED]


# --- images: to the letter (facts on security, §2a) ---

PINNED = a_catalog().images["pinned"].reference


@pytest.mark.parametrize(
    "reference",
    [
        BASE + "@evil.example/pwn:latest",
        BASE + "\n",
        BASE + " ",
        " " + BASE,
        BASE + "\0",
        BASE + "1",
        BASE.upper(),
        BASE[:-1],
        BASE.removesuffix(":1.0"),
        "docker.io/" + BASE,
        BASE.replace("eugo/", "eugo/../eugo/"),
        BASE.replace("base", "bаse"),  # a Cyrillic а
        PINNED.replace("@sha256:", ":1.0@sha256:"),
        PINNED[:-1],
        PINNED[:-1] + "e",
        PINNED.partition("@")[0],
        "*",
        ".*",
        "",
    ],
    ids=ascii,
)
def test_an_image_that_is_not_the_reference_to_the_letter_is_refused(reference: str) -> None:
    decision = decide_about(profile="code", kind=Kind.JUPYTERLAB, image=reference)
    assert reasons_of(decision) == [Reason.IMAGE_NOT_ALLOWED]


@pytest.mark.parametrize("reference", [BASE, PINNED])
def test_the_reference_to_the_letter_is_granted_verbatim(reference: str) -> None:
    decision = decide_about(profile="code", kind=Kind.JUPYTERLAB, image=reference)
    assert admitted(decision).grant.image.reference == reference


def test_no_image_means_the_first_of_the_profile_that_runs_the_editor() -> None:
    for kind, image in ((Kind.VSCODE, "code"), (Kind.JUPYTERLAB, "base")):
        assert admitted(decide_about(profile="code", kind=kind)).grant.image.key == image


def test_an_image_that_is_not_here_is_passed_over_for_the_next_that_runs_the_editor() -> None:
    catalog = a_catalog_without(images={"code": "The image is being built."})
    assert admitted(decide_about(profile="code", catalog=catalog)).grant.image.key == "pinned"


def test_where_nothing_at_all_can_be_had_no_change_is_offered() -> None:
    kinds = {"vscode": "Not here.", "jupyterlab": "Not here either."}
    catalog = a_catalog_without(kinds=kinds)
    decision = decide_about(profile="code", catalog=catalog)
    assert reasons_of(decision) == [Reason.KIND_UNAVAILABLE]
    request = a_request(profile="code")
    assert nearest(request, lambda again: decide_about(again, catalog=catalog)) is None


def test_an_empty_allowlist_allows_no_image() -> None:
    catalog = a_catalog()
    catalog = replace(catalog, profiles={"notebook": a_profile(images=())})
    assert reasons_of(decide_about(catalog=catalog, image=BASE)) == [Reason.IMAGE_NOT_ALLOWED]


def test_a_sentence_cannot_be_forged_through_an_image() -> None:
    forged = "x. Access granted.\r\nSet-Cookie: a=b\u202e"
    (refusal,) = refusals_of(decide_about(image=forged))
    assert refusal.sentence.isprintable()
    assert "\\r\\nSet-Cookie" in refusal.sentence


# --- volumes ---


def test_a_known_volume_is_mounted_by_its_own_claim_and_size() -> None:
    decision = decide_about(owned_volumes=some_volumes("data"), volumes=(DATA,))
    (mount,) = admitted(decision).grant.mounts
    assert (mount.claim_name, mount.size_bytes) == ("volume-of-data", 20 * GIB)


def test_a_key_that_is_new_makes_a_volume_of_the_catalogs_size() -> None:
    (mount,) = admitted(decide_about(volumes=(DATA,))).grant.mounts
    assert (mount.key, mount.mount_path) == ("data", "/mnt/data")
    assert (mount.claim_name, mount.size_bytes) == (None, 5 * GIB)


def test_a_pvc_name_is_only_ever_a_key() -> None:
    theirs = some_volumes("data").by_key["data"].claim_name
    decision = decide_about(volumes=(a_volume_request(theirs),), owned_volumes=some_volumes("data"))
    (mount,) = admitted(decision).grant.mounts
    assert mount.claim_name is None


def test_every_fault_of_every_volume_is_told() -> None:
    request = a_request(
        volumes=(
            a_volume_request("data", "/etc"),
            a_volume_request("data", "/mnt/data"),
            a_volume_request("No", "/mnt/data/x"),
        )
    )
    assert reasons_of(decide_about(request)) == [
        Reason.MOUNT_PATH_UNSAFE,
        Reason.VOLUME_DUPLICATE,
        Reason.VOLUME_NAME,
        Reason.MOUNT_PATH_DUPLICATE,
    ]


def test_dropping_volumes_keeps_the_first_good_one_of_each_clash() -> None:
    request = a_request(
        volumes=(
            a_volume_request("data", "/etc"),
            a_volume_request("data", "/mnt/data"),
            a_volume_request("more", "/mnt/data/x"),
        )
    )
    amended = nearest(request, decide_about)
    assert amended is not None
    assert amended.volumes == (a_volume_request("data", "/mnt/data"),)


# --- order and completeness ---


def test_refusals_stand_in_admission_order_and_none_is_missing() -> None:
    """Promise 4: the first is the message, all are for the form."""
    request = a_request(
        project="theirs",
        queue="nope",
        profile="notebook",
        flavor="gpu-h100",
        kind=Kind.CUSTOM,
        image="evil",
        root_shell=True,
        gpu_model="H200",
        gpu_count=9,
        sm_percent=0,
        cpu_millicores=1,
        memory_bytes=1,
        volumes=(a_volume_request("data", "/proc"),),
    )
    decision = decide_about(request)
    assert isinstance(decision, Denied)
    assert reasons_of(decision) == [
        Reason.PROJECT_UNKNOWN,
        Reason.QUEUE_UNKNOWN,
        Reason.FLAVOR_NOT_IN_PROFILE,
        Reason.KIND_NOT_IN_PROFILE,
        Reason.IMAGE_NOT_ALLOWED,
        Reason.ROOT_NOT_ALLOWED,
        Reason.GPU_MODEL_UNKNOWN,
        Reason.GPU_COUNT_OUT_OF_BOUNDS,
        Reason.SM_PERCENT_OUT_OF_BOUNDS,
        Reason.CPU_OUT_OF_BOUNDS,
        Reason.MEMORY_OUT_OF_BOUNDS,
        Reason.MOUNT_PATH_UNSAFE,
    ]
    assert decision.first.reason is Reason.PROJECT_UNKNOWN
    assert nearest(request, decide_about) == a_request(
        profile="notebook",
        sm_percent=1,
        cpu_millicores=100,
        memory_bytes=GIB // 2,
    )


def test_capacity_comes_last() -> None:
    decision = decide_about(
        gpu_model="L4", gpu_count=1, cpu_millicores=1, cluster=a_cluster(H100=[100])
    )
    assert reasons_of(decision) == [Reason.CPU_OUT_OF_BOUNDS, Reason.GPU_MODEL_ABSENT]


def test_without_a_profile_access_is_still_judged_and_comes_first() -> None:
    decision = decide_about(project="theirs", queue="nope", profile="nope", cpu_millicores=1)
    assert reasons_of(decision) == [
        Reason.PROJECT_UNKNOWN,
        Reason.QUEUE_UNKNOWN,
        Reason.PROFILE_UNKNOWN,
    ]


def test_a_count_beyond_the_limit_is_not_also_beyond_the_nodes() -> None:
    decision = decide_about(gpu_model="H100", gpu_count=5, cluster=a_cluster(H100=[100]))
    assert reasons_of(decision) == [Reason.GPU_COUNT_OUT_OF_BOUNDS]


# --- capacity: now, waits, never ---


def test_devices_that_are_taken_queue_the_start_with_the_same_grant() -> None:
    words: dict[str, Any] = {"gpu_model": "H100", "gpu_count": 1, "sm_percent": 25}
    waits = decide_about(**words, cluster=a_cluster(H100=[24, 0]))
    starts = decide_about(**words, cluster=a_cluster(H100=[25, 0]))

    assert isinstance(waits, Queued)
    assert waits.admitted == replace(admitted(starts), fit=Fit.WAITS)
    assert waits.sentence == (
        "Every NVIDIA H100 with 25 % SM free is taken. "
        "The workspace waits and starts by itself as soon as one is released."
    )


def test_a_cluster_of_which_nothing_is_known_never_stops_a_start() -> None:
    decision = admitted(decide_about(gpu_model="H100", gpu_count=4))
    assert decision.fit is Fit.UNKNOWN


def test_where_only_whole_models_are_left_a_share_is_answered_without_gpus() -> None:
    request = a_request(gpu_model="L4", gpu_count=1, sm_percent=50)
    cluster = a_cluster(A100=[100])
    (refusal,) = refusals_of(decide_about(request, cluster=cluster))
    assert refusal.change == {"gpu_model": None, "gpu_count": 0}


def test_where_whole_models_are_left_a_whole_gpu_is_answered_with_one() -> None:
    request = a_request(gpu_model="L4", gpu_count=1)
    (refusal,) = refusals_of(decide_about(request, cluster=a_cluster(A100=[100])))
    assert refusal.change == {"gpu_model": "A100", "gpu_count": 1}


def test_a_cluster_without_any_gpu_is_answered_without_gpus() -> None:
    request = a_request(profile="gpu")
    amended = nearest(request, lambda again: decide_about(again, cluster=a_cluster()))
    assert amended == a_request(profile="gpu", gpu_count=0)


# --- deadline (promise 3) ---


def test_the_deadline_is_the_longest_session_from_now_on() -> None:
    decision = admitted(decide_about())
    assert decision.ends_at == NOW + timedelta(hours=8)
    assert decision.ends_because == "max-session"


def test_without_a_longest_session_the_catalogs_ends_it() -> None:
    """Promise 3: every session knows its end."""
    decision = admitted(decide_about(profile="code"))
    assert decision.ends_at == NOW + timedelta(hours=24)
    assert decision.ends_because == "max-session"


def test_a_window_that_closes_before_ends_it() -> None:
    """F60, F61."""
    now = datetime(2026, 11, 25, 13, 1, 0, 5, tzinfo=UTC)
    world = under(windows=(WEDNESDAY,)) | {"now": now}
    decision = admitted(decide_about(queue="batch", **world))
    assert decision.ends_at == datetime(2026, 11, 25, 15, 0, tzinfo=UTC)
    assert decision.ends_because == "plan-window"
    free = admitted(decide_about(**world))  # the default queue has no window (F59)
    assert free.ends_at == datetime(2026, 11, 25, 21, 1, tzinfo=UTC)


def test_the_default_queue_has_no_window_though_a_plan_names_it() -> None:
    """F59."""
    world = under(windows=(OVER,), queues=("default", "batch"))
    assert admitted(decide_about(queue="default", **world)).ends_because == "max-session"


def test_a_window_that_closes_just_then_is_not_the_cause() -> None:
    now = datetime(2026, 11, 25, 13, 0, tzinfo=UTC)
    catalog = a_catalog(profiles={"notebook": a_profile(max_session=timedelta(hours=2))})
    world = under(windows=(WEDNESDAY,)) | {"now": now, "catalog": catalog}
    decision = admitted(decide_about(queue="batch", **world))
    assert decision.ends_at == now + timedelta(hours=2)
    assert decision.ends_because == "max-session"


def test_a_quota_that_is_used_up_before_ends_it() -> None:
    """L1: no refusal while a minute is left; the end is the last millisecond that is paid for."""
    left = 2 * 50 * (90 * 60_000) + 99  # an hour and a half of two halves, and no millisecond more
    world = quota_used(40 * GPU_HOUR - left)
    decision = admitted(decide_about(gpu_model="H100", gpu_count=2, sm_percent=50, **world))
    assert decision.ends_at == NOW + timedelta(minutes=90)
    assert decision.ends_because == "quota-exhausted"
    (share,) = decision.shares
    assert (share.used, share.takes) == (40 * GPU_HOUR - left, left - 99)
    assert (share.left, share.used_percent) == (99, 96)
    assert share.period is not None
    assert share.period.key == "2026-11"


def test_a_minute_that_is_left_is_given() -> None:
    world = quota_used(40 * GPU_HOUR - 100 * 60_000)
    decision = admitted(decide_about(profile="gpu", **world))
    assert decision.ends_at == NOW + timedelta(minutes=1)


def test_a_month_that_begins_meanwhile_is_another_amount() -> None:
    """F99: at midnight of the accounting zone."""
    now = datetime(2026, 11, 30, 22, 30, tzinfo=UTC)  # half an hour before December in Berlin
    half_an_hour = admitted(
        decide_about(profile="gpu", now=now, **quota_used(40 * GPU_HOUR - GPU_HOUR // 2))
    )
    assert half_an_hour.ends_at == now + timedelta(hours=8)
    (share,) = half_an_hour.shares
    assert (share.takes, share.left) == (GPU_HOUR // 2, 0)  # of November
    too_little = admitted(
        decide_about(profile="gpu", now=now, **quota_used(40 * GPU_HOUR - GPU_HOUR // 2 + 1))
    )
    assert too_little.ends_at == now + timedelta(minutes=30) - timedelta(milliseconds=1)


def test_the_tighter_of_two_quotas_decides() -> None:
    """F100."""
    catalog = a_catalog(
        quotas=(
            a_quota("month", amount=7 * GPU_HOUR),
            a_quota("day", span=Span.DAY, amount=3 * GPU_HOUR),
            a_quota("bob", subject=Subject(SubjectKind.USER, "bob"), amount=0),
            a_quota("l4", gpu_model="L4", amount=0),
        )
    )
    decision = admitted(decide_about(profile="gpu", catalog=catalog))
    assert decision.ends_at == NOW + timedelta(hours=3)
    assert [(share.limit.key, share.takes) for share in decision.shares] == [
        ("month", 3 * GPU_HOUR),
        ("day", 3 * GPU_HOUR),
    ]


@pytest.mark.parametrize(("before", "hours"), [(timedelta(microseconds=1), 8), (timedelta(0), 2)])
def test_an_override_holds_until_it_expires(before: timedelta, hours: int) -> None:
    """F101."""
    override = Override(amount=50 * GPU_HOUR, expires_at=NOW + before, reason="a deadline")
    world = quota_used(38 * GPU_HOUR, override=override)
    decision = admitted(decide_about(profile="gpu", **world))
    assert decision.ends_at == NOW + timedelta(hours=hours)


def test_a_minute_of_a_session_is_not_asked_of_a_quota_that_counts_nothing_of_it() -> None:
    world = quota_used(50 * GPU_HOUR)
    decision = admitted(decide_about(**world))
    assert (decision.shares, decision.ends_because) == ((), "max-session")


def test_shares_stand_in_admission_order_and_say_what_is_held_at_once() -> None:
    """L6, F98."""
    world = under(at_once=AtOnce(gpu_percent=300, memory_bytes=64 * GIB)) | quota_used(0)
    world["usage"] = some_usage(OWN, gpu=150, memory=1024)
    decision = admitted(decide_about(profile="gpu", sm_percent=50, **world))
    assert [
        (share.limit.key, share.limit.resource, share.used, share.takes, share.left)
        for share in decision.shares
    ] == [
        ("everything", "gpu", 150, 50, 100),
        ("everything", "memory", 1024, 8 * 1024, 55 * 1024),
        ("gpu-month", "gpu", 0, 4 * GPU_HOUR, 36 * GPU_HOUR),
    ]
    assert decision.shares[0].period is None


# --- what is left, and the nearest that fits in ---


def test_the_tightest_of_all_limits_says_what_is_nearest() -> None:
    plan = a_plan(at_once=AtOnce(gpu_percent=200), person_at_once=AtOnce(gpu_percent=90))
    accounts = some_accounts(personal=a_project(plan=plan))
    usage = some_usage(ALICE, gpu=70)
    decision = decide_about(profile="gpu", accounts=accounts, usage=usage)
    assert reasons_of(decision) == [Reason.MORE_THAN_PLAN]
    assert refusals_of(decision)[0].change == {"gpu_count": 1, "sm_percent": 20}


def test_a_smaller_slice_is_offered_only_if_the_cluster_has_it() -> None:
    world = under(at_once=AtOnce(gpu_percent=30)) | {
        "cluster": a_cluster(**{"A100-MIG": [{15: (7, 7), 43: (2, 2)}]})
    }
    request = a_request(gpu_model="A100-MIG", gpu_count=1, sm_percent=43)
    assert nearest(request, lambda again: decide_about(again, **world)) == replace(
        request, sm_percent=15
    )


def test_fewer_gpus_are_offered_where_no_node_has_so_many() -> None:
    world = under(at_once=AtOnce(gpu_percent=250)) | {"cluster": a_cluster(H100=[100, 100])}
    request = a_request(gpu_model="H100", gpu_count=3)
    assert nearest(request, lambda again: decide_about(again, **world)) == replace(
        request, gpu_count=2, sm_percent=100
    )


def test_another_model_is_offered_at_the_share_that_is_left() -> None:
    world = under(at_once=AtOnce(gpu_percent=100)) | quota_used(40 * GPU_HOUR, gpu_model="H100")
    world["usage"].put(Cell(OWN, Span.AT_ONCE, "", "L4"), Used(reserved=Amounts(gpu=75)))
    request = a_request(profile="gpu")
    assert nearest(request, lambda again: decide_about(again, **world)) == replace(
        request, gpu_model="L4", gpu_count=1, sm_percent=25
    )


def test_another_model_is_offered_though_there_is_too_much_cpu() -> None:
    world = under(at_once=AtOnce(cpu_millicores=1000), gpu_models=frozenset({"L4"}))
    request = a_request(profile="gpu")
    assert nearest(request, lambda again: decide_about(again, **world)) == replace(
        request, gpu_model="L4", gpu_count=1, cpu_millicores=1000
    )


def test_what_a_foreign_queue_holds_is_nobodys_business() -> None:
    world = under(queues=()) | {
        "catalog": a_catalog(
            queues={
                "default": a_queue(),
                "batch": a_queue("batch", at_once=AtOnce(cpu_millicores=1)),
            }
        )
    }
    assert reasons_of(decide_about(queue="batch", **world)) == [Reason.QUEUE_UNKNOWN]


def test_a_closed_window_does_not_hide_that_a_quota_is_used_up() -> None:
    """L2: every reason at once."""
    world = under(windows=(WEDNESDAY,)) | quota_used(40 * GPU_HOUR)
    decision = decide_about(profile="gpu", queue="batch", **world)
    assert reasons_of(decision) == [Reason.WINDOW_CLOSED, Reason.QUOTA_EXHAUSTED]


def test_one_that_waited_for_its_gpus_until_the_window_closed_has_no_time_left() -> None:
    """Promise 3: the store asks again when a session is bound."""
    accounts, catalog = under(windows=(WEDNESDAY,))["accounts"], a_catalog()
    for now, latest_end in (
        (datetime(2026, 11, 25, 14, 59, 30, tzinfo=UTC), datetime(2026, 11, 25, 15, tzinfo=UTC)),
        (
            datetime(2026, 11, 25, 15, 0, 5, tzinfo=UTC),
            datetime(2026, 11, 25, 15, 0, 5, tzinfo=UTC),
        ),
    ):
        demand = demand_of(
            accounts,
            accounts.personal,
            catalog.queues["batch"],
            catalog.profiles["code"],
            catalog,
            gpu_model="",
            rates=Amounts(cpu=1),
            now=now,
        )
        assert (demand.latest_end, demand.because) == (latest_end, "plan-window")
        assert fit(demand, NOTHING_USED) == Fits(ends_at=latest_end, because="plan-window")


# --- the nearest request ---


def test_what_is_admitted_is_its_own_nearest_request() -> None:
    request = a_request(gpu_model="H100", gpu_count=1)
    assert nearest(request, decide_about) is request


def test_one_change_may_uncover_the_next_refusal() -> None:
    request = a_request(profile="nope", flavor="gpu-h100", gpu_model="L4", gpu_count=4)
    cluster = a_cluster(A100=[100], H100=[100])
    assert nearest(request, lambda again: decide_about(again, cluster=cluster)) == a_request(
        profile="notebook", gpu_model="H100", gpu_count=1
    )


def test_a_refusal_without_a_change_has_no_nearest_request() -> None:
    refused = Denied(
        refusals=(
            Refusal(
                reason=Reason.QUEUE_UNKNOWN, word="queue", sentence="No.", change={"queue": None}
            ),
            Refusal(reason=Reason.CLUSTER_REFUSED, word="options", sentence="No."),
        )
    )
    assert nearest(a_request(queue="x"), lambda _: refused) is None


def test_a_change_that_changes_nothing_ends_the_search() -> None:
    refused = Denied(
        refusals=(
            Refusal(
                reason=Reason.QUEUE_UNKNOWN, word="queue", sentence="No.", change={"queue": None}
            ),
        )
    )
    assert nearest(a_request(), lambda _: refused) is None


def test_changes_that_never_help_end_the_search() -> None:
    asked: list[int] = []

    def one_more(request: Any) -> Decision:
        asked.append(request.gpu_count or 0)
        change = {"gpu_count": asked[-1] + 1}
        return Denied(
            refusals=(
                Refusal(
                    reason=Reason.GPU_COUNT_ABSENT, word="gpu_count", sentence="No.", change=change
                ),
            )
        )

    assert nearest(a_request(), one_more) is None
    assert len(asked) < 10


def test_a_queue_named_by_no_catalog_falls_back_to_the_default() -> None:
    catalog = a_catalog(queues={"default": a_queue()})
    assert (
        nearest(a_request(queue="batch"), lambda again: decide_about(again, catalog=catalog))
        == a_request()
    )


def test_two_images_of_one_reference_are_the_first() -> None:
    catalog = a_catalog(
        images={"base": an_image(), "twin": an_image("twin", reference=BASE)},
        profiles={"notebook": a_profile(images=("twin", "base"))},
    )
    world = under(images=frozenset({"base", "twin"}))
    assert admitted(decide_about(catalog=catalog, image=BASE, **world)).grant.image.key == "twin"


ON_N2 = {
    "cluster": a_cluster(H100={"n1": [100], "n2": [0]}, L4={"n2": [100]}),
    "owned_volumes": some_volumes(attached=[("", "n2", "lab")]),
}


def test_it_runs_where_its_volumes_are_attached():
    granted = decide_about(gpu_model="L4", gpu_count=1, **ON_N2)
    assert isinstance(granted, Admitted)
    assert granted.grant.node == "n2"
    assert decide_about(**ON_N2).grant.node == "n2"  # without GPUs, too


def test_what_is_taken_there_waits_although_it_is_free_elsewhere():
    assert isinstance(decide_about(gpu_model="H100", gpu_count=1, **ON_N2), Queued)
    free = {**ON_N2, "owned_volumes": some_volumes()}
    assert isinstance(decide_about(gpu_model="H100", gpu_count=1, **free), Admitted)


def test_what_it_attached_itself_and_what_it_does_not_mount_bind_it_to_no_node():
    for attached in ([("", "n2", "")], [("old", "n2", "lab")]):
        world = {"owned_volumes": some_volumes("old", attached=attached)}
        assert decide_about(**world).grant.node is None


def test_where_nothing_is_known_of_devices_it_is_the_schedulers_to_say():
    world = {**ON_N2, "cluster": UNKNOWN_CLUSTER}
    granted = decide_about(gpu_model="H100", gpu_count=1, **world)
    assert granted.grant.node == "n2"
    assert granted.fit is Fit.UNKNOWN
