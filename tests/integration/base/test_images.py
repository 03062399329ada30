"""eugo-image-allowlist: only images on the admin's list, and no list means none (F19, promise 7)."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from tests.integration.base.judged import assert_admitted, assert_refused
from tests.integration.base.pods import IMAGE, OTHER_IMAGE, a_container, a_workspace
from tests.integration.base.prepared import until

if TYPE_CHECKING:
    from tests.integration.base.caller import Answer
    from tests.integration.base.pods import Json
    from tests.integration.base.prepared import Prepared

pytestmark = pytest.mark.cluster

POLICY = "eugo-image-allowlist"
UNLISTED = "registry.example/eugo/unlisted:1"


def with_image(image: str) -> Json:
    return a_workspace(spec={"containers": [a_container(image=image)]})


@pytest.mark.parametrize("image", [IMAGE, OTHER_IMAGE], ids=["by tag", "by digest"])
def test_a_listed_image_is_admitted(base: Prepared, image: str) -> None:
    assert_admitted(base.attempt(with_image(image)))


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(UNLISTED, id="another repository"),
        pytest.param(IMAGE + ".1", id="a tag that begins like a listed one"),
        pytest.param(IMAGE.rpartition(":")[0], id="a listed repository without its tag"),
        pytest.param(IMAGE + "@sha256:" + "cd" * 32, id="a listed tag with a digest"),
        pytest.param(IMAGE.upper(), id="other letters"),
        pytest.param("evil.example/" + IMAGE, id="a listed one behind another host"),
        pytest.param("base-notebook:2026.11", id="a listed name without its registry"),
    ],
)
def test_an_image_that_is_not_listed_exactly_is_refused_by_name(base: Prepared, image: str) -> None:
    assert_refused(
        base.attempt(with_image(image)),
        policy=POLICY,
        saying=f"Not on the list of allowed images: {image}. Choose a listed image",
    )


def test_init_containers_and_sidecars_are_held_to_the_list(base: Prepared) -> None:
    sidecar = a_container(name="sidecar", image=UNLISTED, ports=None, restartPolicy="Always")
    answer = base.attempt(a_workspace(spec={"initContainers": [sidecar]}))
    assert_refused(answer, policy=POLICY, saying=UNLISTED)


def test_taking_off_the_labels_does_not_take_off_the_list(base: Prepared) -> None:
    unlabelled = with_image(UNLISTED)
    del unlabelled["metadata"]["labels"]
    assert_refused(base.attempt(unlabelled), policy=POLICY, saying=UNLISTED)


def test_an_admin_is_held_to_the_list_too(base: Prepared) -> None:
    answer = base.admin.create(base.pods, with_image(UNLISTED), dryRun="All")
    assert_refused(answer, policy=POLICY, saying=UNLISTED)


def test_spaces_and_empty_lines_in_the_list_do_not_matter(own_base: Prepared) -> None:
    own_base.allow_images("", f"  {UNLISTED}  ", "", "\t")
    assert_admitted(own_base.attempt(with_image(UNLISTED)))
    assert_refused(own_base.attempt(with_image(IMAGE)), policy=POLICY, saying=IMAGE)


def test_an_empty_list_allows_nothing_and_says_so(own_base: Prepared) -> None:
    own_base.write_images("\n \n")
    saying = "No image may run here yet: the ConfigMap eugo-images lists none"
    until(lambda: saying in own_base.attempt(a_workspace()).message, "the list is not read")
    assert_refused(own_base.attempt(a_workspace()), policy=POLICY, saying=saying)


def test_a_list_of_two_thousand_images_is_within_the_budget_of_cel(own_base: Prepared) -> None:
    own_base.allow_images(
        *(f"registry.example/team-{n}/notebook:2026.11" for n in range(2000)), IMAGE
    )
    assert_admitted(own_base.attempt(a_workspace()))
    assert_refused(own_base.attempt(with_image(UNLISTED)), policy=POLICY, saying=UNLISTED)


def test_without_the_list_nothing_starts_and_the_refusal_names_what_to_create(
    own_base: Prepared,
) -> None:
    lose_the_list(own_base)
    answer = own_base.attempt(a_workspace())
    # The API server words this one; what is ours is the name of the binding.
    assert answer.status == HTTPStatus.UNPROCESSABLE_ENTITY
    assert f"{POLICY}.create-the-configmap-eugo-images" in answer.message


def test_losing_the_list_keeps_no_running_pod_from_changing_or_ending(own_base: Prepared) -> None:
    own_base.run(with_finalizer())
    lose_the_list(own_base)
    assert_it_can_change_and_end(own_base)


def test_an_image_that_left_the_list_keeps_no_running_pod_from_changing_or_ending(
    own_base: Prepared,
) -> None:
    own_base.run(with_finalizer())
    own_base.allow_images(OTHER_IMAGE)
    assert_refused(own_base.attempt(a_workspace("another")), policy=POLICY, saying=IMAGE)
    assert_it_can_change_and_end(own_base)


def test_an_ephemeral_container_is_judged_by_its_own_image_alone(own_base: Prepared) -> None:
    own_base.run(a_workspace())
    own_base.allow_images(OTHER_IMAGE)
    assert_refused(debug(own_base, UNLISTED), policy=POLICY, saying=UNLISTED)
    assert_admitted(debug(own_base, OTHER_IMAGE))


def debug(prepared: Prepared, image: str) -> Answer:
    container = a_container(name="debug", image=image, ports=None, resources=None)
    return prepared.admin.patch(
        f"{prepared.pods}/jupyter-alice/ephemeralcontainers",
        {"spec": {"ephemeralContainers": [container]}},
    )


def with_finalizer() -> Json:
    return a_workspace(metadata={"finalizers": ["eugo.dev/test"]})


def lose_the_list(prepared: Prepared) -> None:
    prepared.admin.delete(f"{prepared.path}/configmaps/eugo-images")
    until(
        lambda: prepared.attempt(a_workspace("another")).status != HTTPStatus.CREATED,
        "the API server still goes by the deleted list",
    )


def assert_it_can_change_and_end(prepared: Prepared) -> None:
    pod = f"{prepared.pods}/jupyter-alice"
    moved = prepared.hub.patch(pod, {"metadata": {"labels": {"eugo.dev/queue": "batch"}}})
    assert_admitted(moved)
    assert_admitted(prepared.hub.delete(pod, gracePeriodSeconds="0"))
    assert_admitted(prepared.hub.patch(pod, {"metadata": {"finalizers": None}}))
    until(lambda: prepared.hub.get(pod).status == HTTPStatus.NOT_FOUND, "the Pod is still there")
