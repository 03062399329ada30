"""
Reasons: the machine codes of refusals, with HTTP status and who can change them.

A code never changes once released: clients, audit records and metrics carry it. The sentence is
made where the rule knows the values (`admission`); here stands what is the same for every
occurrence. Status classes (design §5): 400 malformed or out of bounds · 403 permission,
project, queue, plan, image, root, window, suspension · 409 quota, state, capacity · 503 store down.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class Who(StrEnum):
    """Who can change what a refusal names."""

    YOU = "you"
    PROJECT_MANAGER = "a project manager"
    ORGANIZATION_OWNER = "an owner of the organization"
    ADMIN = "an admin"


class Reason(StrEnum):
    """Machine code of a refusal."""

    MALFORMED = "malformed"
    UNKNOWN_OPTION = "unknown-option"
    ACCOUNT_SUSPENDED = "account-suspended"
    ORGANIZATION_SUSPENDED = "organization-suspended"
    MEMBERSHIP_MISSING = "membership-missing"
    ROLE_WITHOUT_CREATE = "role-without-create"
    ROLE_WITHOUT_DEPLOY = "role-without-deploy"
    SUBSCRIPTION_MISSING = "subscription-missing"
    PAYMENT_METHOD_MISSING = "payment-method-missing"
    NOT_PERMITTED = "not-permitted"
    PROJECT_UNKNOWN = "project-unknown"
    WORKSPACE_NAME = "workspace-name"
    NAME_TAKEN = "name-taken"
    QUEUE_UNKNOWN = "queue-unknown"
    WINDOW_CLOSED = "window-closed"
    PROFILE_UNKNOWN = "profile-unknown"
    FLAVOR_NOT_IN_PROFILE = "flavor-not-in-profile"
    KIND_NOT_IN_PROFILE = "kind-not-in-profile"
    PROFILE_NOT_IN_PLAN = "profile-not-in-plan"
    IMAGE_NOT_ALLOWED = "image-not-allowed"
    IMAGE_WITHOUT_KIND = "image-without-kind"
    KIND_UNAVAILABLE = "kind-unavailable"
    IMAGE_UNAVAILABLE = "image-unavailable"
    IMAGE_NOT_IN_PLAN = "image-not-in-plan"
    ROOT_NOT_ALLOWED = "root-not-allowed"
    GPU_MODEL_MISSING = "gpu-model-missing"
    GPU_MODEL_UNKNOWN = "gpu-model-unknown"
    GPU_COUNT_MISSING = "gpu-count-missing"
    GPU_MODEL_NOT_IN_PLAN = "gpu-model-not-in-plan"
    GPU_COUNT_OUT_OF_BOUNDS = "gpu-count-out-of-bounds"
    SM_PERCENT_OUT_OF_BOUNDS = "sm-percent-out-of-bounds"
    SM_PERCENT_NOT_DIVISIBLE = "sm-percent-not-divisible"
    SM_PERCENT_NOT_A_SIZE = "sm-percent-not-a-size"
    CPU_OUT_OF_BOUNDS = "cpu-out-of-bounds"
    MEMORY_OUT_OF_BOUNDS = "memory-out-of-bounds"
    MORE_THAN_PLAN = "more-than-plan"
    VOLUME_NAME = "volume-name"
    VOLUME_UNKNOWN = "volume-unknown"
    VOLUME_DUPLICATE = "volume-duplicate"
    MOUNT_PATH_UNSAFE = "mount-path-unsafe"
    MOUNT_PATH_DUPLICATE = "mount-path-duplicate"
    TOO_MANY_VOLUMES = "too-many-volumes"
    VOLUME_ATTACHED = "volume-attached"
    VOLUMES_MORE_THAN_PLAN = "volumes-more-than-plan"
    STORAGE_EXHAUSTED = "storage-exhausted"
    WORKSPACE_SUSPENDED = "workspace-suspended"
    WORKSPACE_ENDING = "workspace-ending"
    WORKSPACE_UNKNOWN = "workspace-unknown"
    WRONG_STATE = "wrong-state"
    NOT_EXTENDABLE = "not-extendable"
    SESSION_CHANGED = "session-changed"
    IN_USE = "in-use"
    QUOTA_EXHAUSTED = "quota-exhausted"
    GPU_MODEL_ABSENT = "gpu-model-absent"
    GPU_SIZE_ABSENT = "gpu-size-absent"
    GPU_COUNT_ABSENT = "gpu-count-absent"
    CLUSTER_REFUSED = "cluster-refused"
    CLUSTER_DROPS_SHARES = "cluster-drops-shares"
    CLUSTER_UNREACHABLE = "cluster-unreachable"
    STORE_UNAVAILABLE = "store-unavailable"
    MANIFEST_REFUSED = "manifest-refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """
    What every occurrence of a reason shares.

    Attributes:
        status: HTTP status of the answer.
        who: Who can change it.
        meaning: One line for the reference page.
    """

    status: int
    who: Who
    meaning: str


RULES: Final[Mapping[Reason, Rule]] = {
    Reason.MALFORMED: Rule(status=400, who=Who.YOU, meaning="A value has the wrong type or form."),
    Reason.UNKNOWN_OPTION: Rule(
        status=400, who=Who.YOU, meaning="The request holds a word that does not exist."
    ),
    Reason.ACCOUNT_SUSPENDED: Rule(
        status=403, who=Who.ADMIN, meaning="The owner's account is suspended."
    ),
    Reason.ORGANIZATION_SUSPENDED: Rule(
        status=403,
        who=Who.ORGANIZATION_OWNER,
        meaning="The organization that would pay is suspended.",
    ),
    Reason.MEMBERSHIP_MISSING: Rule(
        status=403,
        who=Who.ORGANIZATION_OWNER,
        meaning="The owner is a member of no organization, and must be of one.",
    ),
    Reason.ROLE_WITHOUT_CREATE: Rule(
        status=403,
        who=Who.ORGANIZATION_OWNER,
        meaning="The owner's roles do not let them create workspaces.",
    ),
    Reason.ROLE_WITHOUT_DEPLOY: Rule(
        status=403,
        who=Who.ORGANIZATION_OWNER,
        meaning="The owner's roles do not let them start or update workspaces.",
    ),
    Reason.SUBSCRIPTION_MISSING: Rule(
        status=403,
        who=Who.ORGANIZATION_OWNER,
        meaning="The organization that would pay has no subscription, and must have one.",
    ),
    Reason.PAYMENT_METHOD_MISSING: Rule(
        status=403,
        who=Who.ORGANIZATION_OWNER,
        meaning="The organization that would pay has no payment method, and must have one.",
    ),
    Reason.NOT_PERMITTED: Rule(
        status=403, who=Who.ADMIN, meaning="Who asks may not start workspaces of the owner."
    ),
    Reason.PROJECT_UNKNOWN: Rule(
        status=403,
        who=Who.PROJECT_MANAGER,
        meaning="The project does not exist, or you are not a member of it.",
    ),
    Reason.WORKSPACE_NAME: Rule(
        status=400, who=Who.YOU, meaning="The name is too long, or not all of it can be seen."
    ),
    Reason.NAME_TAKEN: Rule(
        status=409, who=Who.YOU, meaning="Another workspace of the project has the name."
    ),
    Reason.QUEUE_UNKNOWN: Rule(
        status=403,
        who=Who.PROJECT_MANAGER,
        meaning="The project's plan has no such queue.",
    ),
    Reason.WINDOW_CLOSED: Rule(
        status=403,
        who=Who.PROJECT_MANAGER,
        meaning="The queue's plan has no window that is open now.",
    ),
    Reason.PROFILE_UNKNOWN: Rule(
        status=400, who=Who.YOU, meaning="The catalog has no such profile."
    ),
    Reason.FLAVOR_NOT_IN_PROFILE: Rule(
        status=400, who=Who.ADMIN, meaning="The profile does not offer the flavor."
    ),
    Reason.KIND_NOT_IN_PROFILE: Rule(
        status=400, who=Who.ADMIN, meaning="The profile does not offer the editor."
    ),
    Reason.PROFILE_NOT_IN_PLAN: Rule(
        status=403,
        who=Who.PROJECT_MANAGER,
        meaning="The project's plan does not include the profile.",
    ),
    Reason.IMAGE_NOT_ALLOWED: Rule(
        status=403, who=Who.ADMIN, meaning="The image is not in the allowlist."
    ),
    Reason.IMAGE_WITHOUT_KIND: Rule(
        status=400, who=Who.YOU, meaning="The image cannot run the editor."
    ),
    Reason.KIND_UNAVAILABLE: Rule(
        status=409, who=Who.ADMIN, meaning="This deployment does not have the editor."
    ),
    Reason.IMAGE_UNAVAILABLE: Rule(
        status=409, who=Who.ADMIN, meaning="This deployment does not have the image."
    ),
    Reason.IMAGE_NOT_IN_PLAN: Rule(
        status=403,
        who=Who.PROJECT_MANAGER,
        meaning="The project's plan does not include the image.",
    ),
    Reason.ROOT_NOT_ALLOWED: Rule(
        status=403,
        who=Who.ADMIN,
        meaning="Root shells are not enabled for the project and its owning group.",
    ),
    Reason.GPU_MODEL_MISSING: Rule(
        status=400, who=Who.YOU, meaning="GPUs were requested without saying which model."
    ),
    Reason.GPU_MODEL_UNKNOWN: Rule(
        status=400, who=Who.ADMIN, meaning="The catalog has no such GPU model."
    ),
    Reason.GPU_COUNT_MISSING: Rule(
        status=400,
        who=Who.YOU,
        meaning="A GPU model was named without a count, and the flavor has no GPU.",
    ),
    Reason.GPU_MODEL_NOT_IN_PLAN: Rule(
        status=403,
        who=Who.PROJECT_MANAGER,
        meaning="The project's plan does not include the GPU model.",
    ),
    Reason.GPU_COUNT_OUT_OF_BOUNDS: Rule(
        status=400, who=Who.ADMIN, meaning="More GPUs than one workspace may have."
    ),
    Reason.SM_PERCENT_OUT_OF_BOUNDS: Rule(
        status=400, who=Who.YOU, meaning="The SM percent is not a whole number from 1 to 100."
    ),
    Reason.SM_PERCENT_NOT_DIVISIBLE: Rule(
        status=400, who=Who.YOU, meaning="The GPU model is handed out whole only."
    ),
    Reason.SM_PERCENT_NOT_A_SIZE: Rule(
        status=400,
        who=Who.YOU,
        meaning="The GPU model is cut to fixed sizes, and the SM percent is none of them.",
    ),
    Reason.CPU_OUT_OF_BOUNDS: Rule(
        status=400, who=Who.ADMIN, meaning="CPU below the least or above the limit."
    ),
    Reason.MEMORY_OUT_OF_BOUNDS: Rule(
        status=400, who=Who.ADMIN, meaning="Memory below the least or above the limit."
    ),
    Reason.MORE_THAN_PLAN: Rule(
        status=403,
        who=Who.PROJECT_MANAGER,
        meaning="The workspace alone is more than the plan allows at once.",
    ),
    Reason.VOLUME_NAME: Rule(status=400, who=Who.YOU, meaning="The volume's name cannot be used."),
    Reason.VOLUME_UNKNOWN: Rule(
        status=403, who=Who.YOU, meaning="The workspace's project has no such volume."
    ),
    Reason.VOLUME_DUPLICATE: Rule(
        status=400, who=Who.YOU, meaning="The same volume is mounted twice."
    ),
    Reason.MOUNT_PATH_UNSAFE: Rule(
        status=400,
        who=Who.YOU,
        meaning="The mount path is relative, not normalised, or hides the system or the home.",
    ),
    Reason.MOUNT_PATH_DUPLICATE: Rule(
        status=400, who=Who.YOU, meaning="Two mount paths are the same, or one lies in the other."
    ),
    Reason.TOO_MANY_VOLUMES: Rule(
        status=400, who=Who.YOU, meaning="More volumes than one workspace may mount."
    ),
    Reason.VOLUME_ATTACHED: Rule(
        status=409,
        who=Who.YOU,
        meaning="A volume is in use on a Node where this cannot run, and on one at a time.",
    ),
    Reason.VOLUMES_MORE_THAN_PLAN: Rule(
        status=409,
        who=Who.PROJECT_MANAGER,
        meaning="The plan has no room for the new volumes.",
    ),
    Reason.STORAGE_EXHAUSTED: Rule(
        status=409, who=Who.ADMIN, meaning="A quota has no room for the new volumes."
    ),
    Reason.WORKSPACE_SUSPENDED: Rule(
        status=409,
        who=Who.ORGANIZATION_OWNER,
        meaning="The workspace is suspended, and must be resumed first.",
    ),
    Reason.WORKSPACE_ENDING: Rule(
        status=409, who=Who.YOU, meaning="The workspace is being destroyed."
    ),
    Reason.WORKSPACE_UNKNOWN: Rule(
        status=404, who=Who.YOU, meaning="There is no such workspace, or who asks may not see it."
    ),
    Reason.WRONG_STATE: Rule(
        status=409,
        who=Who.YOU,
        meaning="The workspace is in a state in which that is not possible.",
    ),
    Reason.NOT_EXTENDABLE: Rule(
        status=409, who=Who.ADMIN, meaning="Profile, quota or window leave no more time."
    ),
    Reason.SESSION_CHANGED: Rule(
        status=409, who=Who.YOU, meaning="Another session of the workspace runs than the one meant."
    ),
    Reason.IN_USE: Rule(
        status=409,
        who=Who.YOU,
        meaning="Project, person or queue have as much in use at once as they may.",
    ),
    Reason.QUOTA_EXHAUSTED: Rule(
        status=409, who=Who.ADMIN, meaning="A quota per day or month is used up."
    ),
    Reason.GPU_MODEL_ABSENT: Rule(
        status=409, who=Who.ADMIN, meaning="The cluster has no GPU of this model."
    ),
    Reason.GPU_SIZE_ABSENT: Rule(
        status=409, who=Who.ADMIN, meaning="No GPU of this model can be cut to this size."
    ),
    Reason.GPU_COUNT_ABSENT: Rule(
        status=409, who=Who.ADMIN, meaning="No node has that many GPUs of this model."
    ),
    Reason.CLUSTER_REFUSED: Rule(
        status=409, who=Who.ADMIN, meaning="Kubernetes refused an object of the workspace."
    ),
    Reason.CLUSTER_DROPS_SHARES: Rule(
        status=409,
        who=Who.ADMIN,
        meaning="The API server drops capacity requests, so a share would become whole GPUs.",
    ),
    Reason.CLUSTER_UNREACHABLE: Rule(
        status=503, who=Who.ADMIN, meaning="The Kubernetes API does not answer."
    ),
    Reason.STORE_UNAVAILABLE: Rule(
        status=503, who=Who.ADMIN, meaning="The store does not answer; running workspaces go on."
    ),
    Reason.MANIFEST_REFUSED: Rule(
        # As for what the cluster's own policies refuse: the second fence, for the same mistakes.
        status=409,
        who=Who.ADMIN,
        meaning="A hook or an override of the hub would put more into the Pod than was granted.",
    ),
}

#: What is missing before any request can be admitted, whatever it asks for (F11).
PREREQUISITES: Final = frozenset(
    {
        Reason.ACCOUNT_SUSPENDED,
        Reason.ORGANIZATION_SUSPENDED,
        Reason.MEMBERSHIP_MISSING,
        Reason.ROLE_WITHOUT_CREATE,
        Reason.ROLE_WITHOUT_DEPLOY,
        Reason.SUBSCRIPTION_MISSING,
        Reason.PAYMENT_METHOD_MISSING,
    }
)
