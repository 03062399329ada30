"""A project's volume: made by who manages it, for its members, and behind a wall for everybody else (F44, F82 to F86)."""

import io
import zipfile
from dataclasses import replace

import pytest

from eugospawner.policy.errors import ClusterError
from eugospawner.policy.quota import Subject, SubjectKind
from tests.integration.export.test_api import ask, create, fetch
from tests.integration.export.test_restores import packed
from tests.integration.export.test_restores import send as restore
from tests.integration.export.test_volumes import page, put
from tests.integration.quota.forging import Deed, send, signed_in

GIB = 1 << 30
MOUNTS = {"volumes": [{"claim": "data@vision", "mount_path": "/data"}]}
VISION = {
    "display_name": "Vision", "group": "vision-lab", "organization": "acme", "plan": "research",
    "managers": ["bob"],
}  # fmt: skip


@pytest.fixture
def managed(service):
    """Have Bob, a member of Acme, manage the project vision; Alice owns Acme, Carol and Dave are elsewhere."""
    put(service, "projects", "vision", VISION)
    return service


def make(service, token="t-bob", status=200, **words):  # noqa: S107
    body = {"project": "vision", "key": "data", **words}
    return ask(service, "POST", "/volumes", body, token=token, status=status)


@pytest.fixture
def data(managed):
    make(managed)
    return managed.cluster.volume("project/vision", "data")


def test_who_manages_it_makes_one_and_its_members_see_it(managed):
    service = managed
    made = make(service)
    assert (made["owner"], made["volume"], made["place"]) == (
        "project/vision", "data@vision", "~/data@vision",
    )  # fmt: skip
    assert (made["project"], made["size"], made["mounted_by"]) == ("vision", "10.0 GiB", [])
    for token in ("t-alice", "t-bob"):
        seen = ask(service, "GET", "/volumes", token=token)["volumes"]
        assert [each["volume"] for each in seen] == ["data@vision"]
        assert "of the project vision" in page(service, "volumes", token)
        assert "Members of the project mount it" in page(service, "volumes/~/data@vision", token)
    (line,) = service.run(service.store.audit.lines(about="volume.project/vision/data"))
    assert (line.actor, line.action, line.detail) == ("bob", "make-volume", {"bytes": 10 * GIB})
    assert make(service, status=409)["reason"] == "already-there"


def test_whoever_is_elsewhere_learns_nothing_of_it(data, managed):
    (data / "plan.txt").write_text("secret")
    service = managed
    for token in ("t-carol", "t-dave"):
        assert ask(service, "GET", "/volumes", token=token)["volumes"] == []
        for method, path, body in (
            ("GET", "/volumes/~/data@vision", None),
            ("POST", "/volumes/~/data@vision/measure", None),
            ("PUT", "/volumes/~/data@vision/size", {"size": "90Gi"}),
            ("GET", "/volumes/project%2Fvision/data", None),
        ):
            answer = service.ask(method, path, body, token=token)
            assert answer.status in {403, 404}, (path, answer.text)
        # There is no telling one that is there from one that is not.
        assert make(service, token=token, status=404) == make(
            service, token=token, status=404, key="other"
        )
    assert service.cluster.created == 0


def test_another_size_than_anybodys_is_for_whoever_sets_quotas(managed):
    service = managed
    refused = make(service, status=403, size="50Gi")
    assert "organization owner" in refused["detail"]
    assert make(service, "t-alice", size="50Gi")["size"] == "50.0 GiB"
    path = "/volumes/~/data@vision/size"
    assert service.ask("PUT", path, {"size": "60Gi"}, token="t-bob").status == 403
    assert ask(service, "PUT", path, {"size": "60Gi"})["wanted"] == "60.0 GiB"
    assert service.cluster.claim("project/vision", "data").size_bytes == 60 * GIB


def test_the_projects_quota_holds_for_making_and_for_growing(managed):
    service = managed
    make(service, "t-alice", size="150Gi")  # the catalog's quota is 200 GiB
    answer = make(service, "t-alice", key="more", size="51Gi", status=409)
    assert answer["reason"] == "storage-exhausted"
    assert "volumes-each-project" in answer["detail"]
    path = "/volumes/~/data@vision/size"
    assert ask(service, "PUT", path, {"size": "201Gi"}, status=409)["reason"] == "storage-exhausted"
    make(service, "t-alice", key="more", size="50Gi")
    held = service.run(service.store.volumes.held([Subject(SubjectKind.PROJECT, "vision")]))
    assert list(held.values()) == [200 * GIB]


@pytest.mark.parametrize("token", ["t-bob", "t-dave", "t-new"])
def test_who_does_not_manage_it_makes_none(service, token):
    """Bob is a member of it here, whom the demo does not let manage."""
    make(service, token, status=403 if token == "t-bob" else 404)
    assert "Make a volume for a project" not in page(service, "volumes", token)
    assert service.run(service.store.volumes.of_owner("project/vision")) == {}


def test_if_kubernetes_falls_over_it_the_next_try_makes_it(managed):
    service = managed

    async def falls(_claim):
        message = "gone for a moment"
        raise ClusterError(message, status=503)

    make_claim, service.cluster.make = service.cluster.make, falls
    assert make(service, status=503)["reason"] == "cluster-unavailable"
    service.cluster.make = make_claim
    assert make(service)["size"] == "10.0 GiB"
    held = service.run(service.store.volumes.held([Subject(SubjectKind.PROJECT, "vision")]))
    assert list(held.values()) == [10 * GIB]


def test_what_members_write_is_measured_and_what_could_go_is_told_to_them(data, managed):
    service = managed
    (data / ".cache/pip").mkdir(parents=True)
    (data / ".cache/pip/wheel").write_bytes(b"x" * (2 << 20))
    service.has_workspace("alice", options=MOUNTS, project="vision")
    service.go_round()
    put(service, "people", "new", {"organization": "acme", "groups": ["vision-lab"]})
    found = ask(service, "GET", "/volumes/~/data@vision", token="t-new")
    assert found["used_bytes"] >= 2 << 20
    assert [each["path"] for each in found["culprits"]] == [".cache/pip"]
    # What runs in a project is its members' to see (policy.permissions).
    assert [each["path"] for each in found["mounted_by"]] == ["/data"]
    everybodys = ask(service, "GET", "/volumes?everybody=true", token="t-ada")["volumes"]
    assert {each["owner"] for each in everybodys} == {"alice", "project/vision"}
    theirs = ask(service, "GET", "/volumes/~/data@vision", token="t-ada")
    assert (theirs["culprits"], theirs["used_bytes"]) == ([], found["used_bytes"])


def test_its_files_are_taken_and_brought_by_members_alone(data, managed):
    service = managed
    (data / "a.txt").write_text("ours")
    service.has_workspace("bob", options=MOUNTS, project="vision")
    made = create(service, "t-bob", folder="/data", everything=True)
    assert service.cluster.asked_projects == ("vision",)
    _, _, content = fetch(service, made["link"], "t-bob")
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        assert opened.read("data@vision/a.txt") == b"ours"
    status, _ = restore(
        service, packed(("b", "1")), token="t-bob", server="lab", folder="/data/new"
    )
    assert status == 200
    assert (data / "new/b").read_bytes() == b"1"
    again = create(service, "t-bob", folder="/data", everything=True)

    # Bob leaves the group.
    put(service, "people", "bob", {"organization": "acme"})
    status, _, content = fetch(service, again["link"], "t-bob")
    assert status == 403
    assert b"ours" not in content
    body = {"server": "lab", "folder": "/data", "everything": True}
    assert service.ask("POST", "/exports", body, token="t-bob").status == 400
    status, _ = restore(service, packed(("c", "1")), token="t-bob", server="lab", folder="/data/c")
    assert status == 400
    assert not (data / "c").exists()
    everything = create(service, "t-bob", everything=True)
    _, _, content = fetch(service, everything["link"], "t-bob")
    assert b"ours" not in content


def test_the_form_makes_one_and_keeps_what_was_typed(managed):
    service = managed
    bob = signed_in(service, "t-bob")

    def typed(**words):
        form = {"project": "vision", "key": "data", "size": "", **words}
        deed = Deed(method="POST", path="volumes", form=form)
        return send(service, deed, bob.cookies, bob.token, {"Sec-Fetch-Site": "same-origin"})

    for words, status in (
        ({"key": "No Name"}, 400),
        ({"size": "lots"}, 400),
        ({"size": "9Ti"}, 403),
    ):
        answer = typed(**words)
        assert answer.status == status
        ((name, value),) = words.items()
        assert f'name="{name}" value="{value}"' in answer.text
        assert 'role="alert"' in answer.text
    assert typed().status == 303
    assert "data@vision" in page(service, "volumes", "t-bob")


def test_of_a_project_that_is_no_more_admins_alone_see_it(data, managed):
    service = managed
    claim = service.cluster.claim("project/vision", "data")
    service.cluster.volumes["project/gone", "data"] = data
    service.cluster.claimed["project/gone", "data"] = replace(claim, owner="project/gone")

    def seen(token):
        found = ask(service, "GET", "/volumes?everybody=true", token=token)["volumes"]
        return {each["owner"] for each in found}

    assert "project/gone" in seen("t-ada")
    assert "project/gone" not in seen("t-alice") | seen("t-bob")
