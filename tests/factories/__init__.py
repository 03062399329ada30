"""
Values with defaults, so that a test names only what it is about.

`a_profile(kinds=(Kind.VSCODE,))` is a profile that is fine in every other respect. The world they
make together is small and fixed (five GPU models, four flavors, three images, three profiles),
and knows nothing of the sample catalog, so that editing the sample breaks no rule's test.
"""

from tests.factories.accounts import (
    a_group,
    a_person,
    a_plan,
    a_project,
    a_role,
    an_actor,
    an_organization,
    some_accounts,
)
from tests.factories.catalog import (
    GIB,
    a_catalog,
    a_catalog_without,
    a_flavor,
    a_gpu_model,
    a_mig_model,
    a_profile,
    a_queue,
    a_quota,
    an_image,
)
from tests.factories.cluster import a_cluster, view_of
from tests.factories.decisions import (
    NOW,
    a_grant,
    a_mount,
    a_request,
    decide_about,
    some_gpus,
    some_usage,
)
from tests.factories.kubernetes import a_claim, a_pod
from tests.factories.volumes import a_volume_request, some_volumes

__all__ = [
    "GIB",
    "NOW",
    "a_catalog",
    "a_catalog_without",
    "a_claim",
    "a_cluster",
    "a_flavor",
    "a_gpu_model",
    "a_grant",
    "a_group",
    "a_mig_model",
    "a_mount",
    "a_person",
    "a_plan",
    "a_pod",
    "a_profile",
    "a_project",
    "a_queue",
    "a_quota",
    "a_request",
    "a_role",
    "a_volume_request",
    "an_actor",
    "an_image",
    "an_organization",
    "decide_about",
    "some_accounts",
    "some_gpus",
    "some_usage",
    "some_volumes",
    "view_of",
]
