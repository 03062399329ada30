"""A project's volumes are for its workspaces, whoever starts them, and for nobody else's (F44; design §5)."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eugospawner.policy.reasons import Reason
from eugospawner.policy.volumes import (
    Attachment,
    Volume,
    holder_of,
    meant,
    place_of,
    project_named_in,
    project_of,
    reference_to,
)
from tests.factories import a_project, a_volume_request, some_accounts, some_volumes
from tests.factories import decide_about as decide
from tests.factories.catalog import GIB
from tests.factories.volumes import some_volumes as volumes_of
from tests.unit.eugospawner.policy.test_admission import admitted, reasons_of, refusals_of

KEYS = st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True)
MOUNTED = a_volume_request("data@lab", "/data")


def decide_about(**words):
    return decide(accounts=some_accounts(a_project("lab"), a_project("other")), **words)


def having(*own, shared=("data",), project="lab", attached=()):
    """What somebody can mount, with the volumes *shared* of *project*."""
    found = volumes_of(*own)
    theirs = {
        f"{key}@{project}": Volume(key=key, claim_name=f"{project}-{key}", size_bytes=100 * GIB)
        for key in shared
    }
    return replace(found, by_key={**found.by_key, **theirs}, attached=tuple(attached))


def mounts(**words):
    return [(each.key, each.claim_name) for each in admitted(decide_about(**words)).grant.mounts]


@given(project=KEYS, key=KEYS)
def test_what_it_is_called_says_whose_it_is(project, key):
    holder = holder_of(project)
    assert project_of(holder) == project
    assert "/" in holder  # no user's name has one
    reference = reference_to(holder, key)
    assert reference == f"{key}@{project}"
    assert (place_of(reference, "alice"), project_named_in(reference)) == ((holder, key), project)
    assert (place_of(key, "alice"), project_named_in(key)) == (("alice", key), "")
    assert reference_to("alice", key) == key


def test_in_its_project_it_is_mounted_by_its_name_or_its_key():
    for claim in ("data@lab", "data"):
        asked = (a_volume_request(claim, "/data"),)
        found = mounts(project="lab", volumes=asked, owned_volumes=having())
        assert found == [("data@lab", "lab-data")]


def test_ones_own_of_the_same_key_is_meant_first():
    both = having("data")
    asked = (a_volume_request("data", "/mine"), MOUNTED)
    assert mounts(project="lab", volumes=asked, owned_volumes=both) == [
        ("data", "volume-of-data"), ("data@lab", "lab-data"),
    ]  # fmt: skip
    assert meant("data", "lab", both.by_key) == "data"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({}, "a workspace mounts volumes of its own project alone"),
        ({"project": "lab", "volumes": (a_volume_request("gone@lab", "/data"),)}, "choose one that it has"),
        ({"project": "lab", "volumes": (a_volume_request("data@other", "/data"),)}, "of its own project alone"),
    ],
)  # fmt: skip
def test_elsewhere_it_is_refused_and_never_made(words, said):
    decision = decide_about(**{"volumes": (MOUNTED,), "owned_volumes": having(), **words})
    (refusal,) = refusals_of(decision)
    assert (refusal.reason, said in refusal.sentence) == (Reason.VOLUME_UNKNOWN, True)
    assert refusal.change == {"volumes": ()}


@pytest.mark.parametrize("claim", ["@lab", "data@", "data@lab@lab", "../x@lab", "Data@lab"])
def test_what_only_looks_like_one_is_refused(claim):
    asked = (a_volume_request(claim, "/data"),)
    decision = decide_about(project="lab", volumes=asked, owned_volumes=having())
    (reason,) = reasons_of(decision)
    assert reason in {Reason.VOLUME_UNKNOWN, Reason.VOLUME_NAME}


def test_mounting_it_takes_no_room_of_anybodys():
    full = replace(having(), held=dict.fromkeys(some_volumes("a").held, 10**15))
    assert mounts(project="lab", volumes=(MOUNTED,), owned_volumes=full)


def test_if_somebody_else_uses_it_on_another_node_that_is_said_and_not_who():
    attached = [
        Attachment(key="", node="n1", server="lab"),
        Attachment(key="data@lab", node="n2", server="", is_others=True),
    ]
    decision = decide_about(
        project="lab", volumes=(MOUNTED,), owned_volumes=having(attached=attached), workspace=""
    )
    (refusal,) = refusals_of(decision)
    assert refusal.reason is Reason.VOLUME_ATTACHED
    assert "by a workspace of somebody else in the project" in refusal.sentence


def test_it_binds_to_its_node_even_if_that_workspace_has_the_same_name():
    attached = [Attachment(key="data@lab", node="n2", server="", is_others=True)]
    decision = decide_about(
        project="lab", volumes=(MOUNTED,), owned_volumes=having(attached=attached), workspace=""
    )
    assert admitted(decision).grant.node == "n2"
