"""Volumes: how full they are is known, said in time, and they grow as far as there is room (F82 to F84, F86)."""

import re
import time
from dataclasses import replace
from datetime import timedelta

import aiohttp
import pytest

from eugospawner.policy.errors import ClusterError
from eugospawner.policy.quota import Subject, SubjectKind
from eugospawner.policy.roles import BUILTIN, Action, Reach
from eugospawner.policy.volumes import Volume
from eugospawner.store import Wish
from hub_services.export import measuring
from tests.factories.sessions import a_demand
from tests.integration.export.test_api import NO_ROLE, ask
from tests.integration.quota.forging import Deed, send, signed_in
from tests.integration.quota.servers import NOW
from tests.unit.docs.test_permissions import TABLE
from tests.unit.hub_services.reaper.worlds import a_new_session

MIB = 1 << 20
GIB = 1 << 30
HOME = "/volumes/alice/home"


@pytest.fixture
def home(service):
    """Give the home of Alice, who has a workspace that was stopped."""
    return service.has_workspace("alice")


def put(service, section, name, document):
    service.run(service.store.changes.put(section, name, document, actor="ada", reason="x", at=NOW))


def is_owner(service, name="alice"):
    put(service, "people", name, {"organization": "acme", "role": "owner"})


def has_volume(service, key="data", owner="alice", project=None):
    size = service.claim_size = 10 * GIB
    payers = [Subject(SubjectKind.USER, owner)]
    if project is not None:
        payers.append(Subject(SubjectKind.PROJECT, project))
    volume = Volume(key=key, claim_name=f"c-{owner}-{key}", size_bytes=size)
    service.run(service.store.volumes.add(owner, volume, payers=payers, at=NOW))
    return service.cluster.volume(owner, key)


def has(service, size, owner="alice"):
    """Have a volume have so many bytes."""
    claim = service.cluster.claim(owner)
    service.cluster.claimed[owner, claim.key] = replace(claim, size_bytes=size, capacity_bytes=size)


def page(service, path, token="t-alice"):  # noqa: S107
    answer = service.ask("GET", path, token=token, api=False)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text))


# Measuring


def test_what_somebody_may_have_written_to_is_measured_by_itself_and_its_pod_goes(service, home):
    (home / "notes.bin").write_bytes(bytes(range(256)) * 4096 * 3)
    (listed,) = ask(service, "GET", "/volumes")["volumes"]
    assert (listed["word"], listed["used_bytes"], listed["measuring"]) == (
        "Not measured yet", None, False,
    )  # fmt: skip
    assert service.go_round().measuring == 1
    (listed,) = ask(service, "GET", "/volumes")["volumes"]
    assert (listed["title"], listed["size"], listed["word"]) == ("Home", "10.0 GiB", "0 % full")
    assert 3 * MIB <= listed["used_bytes"] < 4 * MIB
    assert listed["mounted_by"] == [
        {"server": "lab", "workspace": "lab", "path": "/home/user", "running": False}
    ]
    assert service.cluster.pods == []
    service.clock.time += timedelta(days=30)
    assert service.go_round().measuring == 0  # nobody has written since
    assert service.cluster.created == 1


def test_a_volume_is_measured_when_somebody_asks(service, home):
    service.go_round()
    (home / "more.bin").write_bytes(b"x" * 5 * MIB)
    before = ask(service, "GET", HOME)
    woken = service.woken
    assert ask(service, "POST", f"{HOME}/measure")["measuring"]
    assert service.woken == woken + 1
    service.go_round()
    after = ask(service, "GET", HOME)
    assert not after["measuring"]
    assert after["used_bytes"] == before["used_bytes"] + 5 * MIB
    assert after["folders"][0] == {"path": "more.bin", "bytes": 5 * MIB, "size": "5.00 MiB"}


def test_what_could_go_is_told_to_its_owner_alone(service, home):
    cache = home / ".cache/huggingface"
    cache.mkdir(parents=True)
    (cache / "secret-project.bin").write_bytes(b"x" * 2 * MIB)
    service.go_round()
    mine = ask(service, "GET", HOME)
    assert [(each["path"], each["kind"]) for each in mine["culprits"]] == [
        (".cache/huggingface", "cache")
    ]
    assert "downloaded again" in mine["culprits"][0]["advice"]
    theirs = ask(service, "GET", HOME, token="t-ada")
    assert (theirs["folders"], theirs["culprits"]) == ([], [])
    assert theirs["used_bytes"] == mine["used_bytes"]
    assert ".cache" not in page(service, "volumes/alice/home", token="t-ada")
    assert ".cache/huggingface" in page(service, "volumes/alice/home")
    assert "huggingface" not in str(ask(service, "GET", "/volumes"))


@pytest.mark.usefixtures("home")
def test_a_volume_that_cannot_be_measured_says_why_and_keeps_what_was_known(service):
    service.go_round()
    known = ask(service, "GET", HOME)
    service.cluster.fails = ClusterError("no Node has room", status=409)
    service.run(service.store.measures.want("alice", "", at=NOW))
    service.run(service.measurer.sweep_once(interval=timedelta(minutes=1)))
    while service.measurer.errands:
        time.sleep(0.02)
    service.cluster.fails = None
    found = ask(service, "GET", HOME)
    assert "no Node has room" in found["problem"]
    assert found["used_bytes"] == known["used_bytes"]
    assert "It could not be measured: no Node has room" in page(service, "volumes/alice/home")


@pytest.mark.usefixtures("home")
def test_one_whose_measurer_died_is_measured_by_the_next(service):
    service.run(service.store.measures.want("alice", "", at=NOW))

    async def dies():
        await service.measurer.sweep_once(interval=timedelta(minutes=1))
        while not service.cluster.pods:
            await __import__("asyncio").sleep(0.02)
        await service.measurer.close()

    service.run(dies())
    leftover = list(service.cluster.pods)
    service.sweep()
    assert not set(map(id, service.cluster.pods)) & set(map(id, leftover)), "a Pod was left behind"
    assert service.go_round().measuring == 1
    assert ask(service, "GET", HOME)["used_bytes"] is not None
    assert service.cluster.pods == []


@pytest.mark.usefixtures("home")
def test_whoever_starts_is_not_held_up_by_a_look_at_their_volumes(service):
    """On another Node the workspace would wait until the Pod that looks is gone (F44)."""
    service.has_workspace("bob")
    for owner in ("alice", "bob"):
        service.run(service.store.measures.want(owner, "", at=NOW))

    def starts(owner, session):
        new = a_new_session(
            id=session, owner=owner, workspace="lab", actor=owner, admitted_at=NOW,
            project=f"personal-{owner}", profile="notebook-cpu-small",
        )  # fmt: skip
        wish = Wish(name="lab", options={})
        demand = a_demand(new, zone="Europe/Berlin")
        service.run(service.store.sessions.open(new, demand, wish=wish))

    starts("bob", "of-bob-again")

    service.run(service.measurer.sweep_once(interval=timedelta(minutes=1)))
    while not service.cluster.pods:
        time.sleep(0.02)
    assert {owner for owner, _ in service.measurer._at_work} == {"alice"}
    starts("alice", "of-alice-again")
    service.run(service.measurer.sweep_once(interval=timedelta(minutes=1)))
    while service.measurer.errands or service.cluster.pods:
        time.sleep(0.02)
    assert {each.owner for each in service.run(service.store.measures.wanted(limit=9))} == {
        "alice", "bob",
    }  # fmt: skip
    service.run(service.store.sessions.end("of-alice-again", reason="stopped", at=NOW))
    service.go_round()
    assert ask(service, "GET", HOME)["used_bytes"] is not None


@pytest.mark.usefixtures("home")
def test_if_its_pod_dies_that_was_a_try_and_is_not_one_for_ever(service, monkeypatch):
    async def dies(_errand):
        raise aiohttp.ServerDisconnectedError

    monkeypatch.setattr(service.measurer._exporters, "usage", dies)
    assert service.go_round().measuring == 1
    assert "disconnected" in ask(service, "GET", HOME)["problem"].lower()
    assert service.go_round().measuring == 0


def test_no_more_pods_than_a_few_at_a_time(service):
    for number in range(measuring.AT_ONCE + 3):
        service.has_workspace(f"user-{number}")
    seen = []
    while service.go_round().measuring:
        seen.append(service.cluster.created)
    assert seen == [measuring.AT_ONCE, measuring.AT_ONCE + 3]


# Warnings


@pytest.mark.parametrize(
    ("capacity", "word", "tone", "heading"),
    [
        (100 * MIB, "10 % full", "good", None),
        (12 * MIB, "83 % full", "warn", "Home is 83 % full"),
        (10 * MIB, "Full", "danger", "Home is full"),
    ],
)
def test_people_are_warned_before_a_volume_is_full(service, capacity, word, tone, heading):
    (service.has_workspace("bob") / "data.bin").write_bytes(b"x" * 10 * MIB)
    has(service, capacity, "bob")
    service.go_round()
    (found,) = ask(service, "GET", "/volumes", token="t-bob")["volumes"]
    assert (found["word"], found["tone"]) == (word, tone)
    for path in ("volumes", "volumes/bob/home"):
        text = page(service, path, "t-bob")
        if heading is None:
            assert "Make room" not in text
            continue
        assert heading in text
        for way in ("Clean up", "Move data out", "Download and archive", "bigger plan"):
            assert way in text
    raw = service.ask("GET", "volumes", token="t-bob", api=False).text
    assert ('role="alert"' in raw) is (tone == "danger")


# Who sees what


@pytest.mark.usefixtures("home")
def test_somebody_elses_are_not_seen_and_everybodys_are_by_whom_it_concerns(service):
    service.has_workspace("bob")
    refused = service.ask("GET", HOME, token="t-bob")
    assert (refused.status, refused.body["reason"]) == (403, "not-permitted")
    assert service.ask("GET", "/volumes?owner=alice", token="t-bob").status == 403
    assert service.ask("POST", f"{HOME}/measure", token="t-bob").status == 403
    assert service.ask("GET", "volumes/alice/home", token="t-bob", api=False).status == 403
    mine = ask(service, "GET", "/volumes?everybody=true", token="t-bob")["volumes"]
    assert [each["owner"] for each in mine] == ["bob"]
    theirs = ask(service, "GET", "/volumes?everybody=true", token="t-ada")["volumes"]
    assert [each["owner"] for each in theirs] == ["alice", "bob"]
    text = page(service, "volumes?everybody=1", token="t-ada")
    assert "Everybody's volumes" in text.replace("&#39;", "'")
    assert "Everybody" not in page(service, "volumes", token="t-bob")


@pytest.mark.usefixtures("home")
def test_one_that_is_not_there_is_404(service):
    for path in ("/volumes/alice/data", "/volumes/ada/home"):
        answer = service.ask("GET", path, token="t-ada")
        assert (answer.status, answer.body["reason"]) == (404, "not-found"), path


@pytest.mark.parametrize("whose", list(Reach))
def test_every_cell_of_the_table(service, whose):
    """Seeing needs `see-usage`, another size `change-quota` (F105 to F107)."""
    put(service, "people", "erin", {"organization": "acme"})
    owner = {Reach.OWN: "bob", Reach.ORGANIZATION: "erin", Reach.EVERYWHERE: "carol"}[whose]
    service.has_workspace(owner)
    order, path = list(Reach), f"/volumes/{owner}/home"
    for role in BUILTIN:
        put(service, "people", "bob", {"organization": "acme", "role": role})
        service.cluster.claimed.clear()

        def can(action, role=role):
            cell = TABLE[role, action]
            return cell != "—" and order.index(Reach(cell)) >= order.index(whose)

        expected = 200 if can(Action.SEE_USAGE) else 403
        assert service.ask("GET", path, token="t-bob").status == expected, role
        assert service.ask("POST", f"{path}/measure", token="t-bob").status == expected, role
        assert service.ask("GET", path[1:], token="t-bob", api=False).status == expected, role
        resized = service.ask("PUT", f"{path}/size", {"size": "20Gi"}, token="t-bob")
        allowed = can(Action.SEE_USAGE) and can(Action.CHANGE_QUOTA)
        assert resized.status == (200 if allowed else 403), (role, resized.text)
        assert (service.cluster.claim(owner).size_bytes == 20 * GIB) is allowed


# Another size


def resize(service, size, volume="home", token="t-ada", status=200):  # noqa: S107
    path = f"/volumes/alice/{volume}/size"
    return ask(service, "PUT", path, {"size": size}, token=token, status=status)


@pytest.mark.usefixtures("home")
def test_an_admin_makes_a_volume_larger(service):
    found = resize(service, "20Gi")
    assert (found["size"], found["wanted"]) == ("10.0 GiB", "20.0 GiB")
    assert service.cluster.claim("alice").size_bytes == 20 * GIB
    assert service.run(service.store.resizes.wished()) == ()
    (line,) = service.run(service.store.audit.lines(about="volume.alice/~"))
    assert (line.actor, line.action) == ("ada", "resize-volume")
    assert resize(service, "20Gi")["wanted"] == "20.0 GiB"  # asked twice, it happens once
    assert len(service.run(service.store.audit.lines(about="volume.alice/~"))) == 1


def test_its_owner_alone_may_not(service):
    service.has_workspace("bob")
    answer = service.ask("PUT", "/volumes/bob/home/size", {"size": "20Gi"}, token="t-bob")
    assert (answer.status, answer.body["reason"]) == (403, "not-permitted")
    assert "organization owner" in answer.body["detail"]
    assert "Make it larger" not in page(service, "volumes/bob/home", "t-bob")
    assert "Make it larger" in page(service, "volumes/bob/home", "t-alice")


@pytest.mark.parametrize("size", ["5Gi", "1", "10239Mi"])
@pytest.mark.usefixtures("home")
def test_none_becomes_smaller(service, size):
    answer = resize(service, size, status=409)
    assert answer["reason"] == "volume-shrinks"
    assert "10.0 GiB" in answer["detail"]
    assert service.cluster.claim("alice").size_bytes == 10 * GIB


@pytest.mark.parametrize("size", ["0", "-1Gi", "much", "10 GB", "1e400", "99999999Ei", "NaN"])
@pytest.mark.usefixtures("home")
def test_what_is_no_size_is_said(service, size):
    answer = resize(service, size, status=400)
    assert answer["errors"][0]["field"] == "body.size"


@pytest.mark.usefixtures("home")
def test_on_a_class_without_expansion_it_is_refused_in_words_and_nothing_has_changed(service):
    said = "only dynamically provisioned pvc can be resized"
    service.cluster.fixed = ClusterError(said, status=403, reason="Forbidden")
    has_volume(service)
    answer = resize(service, "20Gi", "data", status=409)
    assert answer["reason"] == "volume-fixed"
    assert said in answer["detail"]
    assert "StorageClass that allows expansion" in answer["detail"]
    volumes = service.run(service.store.volumes.of_owner("alice"))
    assert volumes["data"].size_bytes == 10 * GIB
    assert service.run(service.store.resizes.wished()) == ()
    lines = service.run(service.store.audit.lines(about="volume.alice/data"))
    assert [each.action for each in lines] == ["resize-refused", "resize-volume"]


@pytest.mark.usefixtures("home")
def test_quotas_hold(service):
    quota = {"project": "personal-alice", "storage": "25Gi"}
    put(service, "quotas", "alice-storage", quota)
    has_volume(service, project="personal-alice")
    has_volume(service, "more", project="personal-alice")
    answer = resize(service, "16Gi", "data", status=409)
    assert answer["reason"] == "storage-exhausted"
    for word in ("6.00 GiB more", "25.0 GiB", "alice-storage"):
        assert word in answer["detail"]
    assert resize(service, "15Gi", "data")["wanted"] == "15.0 GiB"
    assert resize(service, "11Gi", "more", status=409)["reason"] == "storage-exhausted"
    assert resize(service, "40Gi")["wanted"] == "40.0 GiB"  # the home counts for nobody


@pytest.mark.usefixtures("home")
def test_one_that_kubernetes_did_not_hear_of_is_told_by_the_next_sweep(service):
    service.cluster.fixed = ClusterError("gone for a moment", status=503)
    assert resize(service, "20Gi")["wanted"] == "20.0 GiB"
    assert service.cluster.claim("alice").size_bytes == 10 * GIB
    assert service.go_round().resized == 0
    service.cluster.fixed = None
    assert service.go_round().resized == 1
    assert service.cluster.claim("alice").size_bytes == 20 * GIB
    assert service.go_round().resized == 0


@pytest.mark.usefixtures("home")
def test_one_that_an_api_server_that_has_just_begun_denies_is_not_taken_back(service):
    service.cluster.fixed = NO_ROLE
    assert resize(service, "20Gi")["wanted"] == "20.0 GiB"
    service.cluster.fixed = None
    assert service.go_round().resized == 1


@pytest.mark.usefixtures("home")
def test_one_that_kubernetes_answers_oddly_holds_up_no_other(service):
    service.has_workspace("bob")
    fallen = ClusterError("a webhook fell over", status=500)
    service.cluster.fixed = fallen
    resize(service, "20Gi")
    ask(service, "PUT", "/volumes/bob/home/size", {"size": "20Gi"}, token="t-ada")
    assert service.go_round().resized == 0
    enlarge = service.cluster.enlarge

    async def odd(claim, size):
        if claim.owner == "alice":
            raise fallen
        await enlarge(claim, size)

    service.cluster.fixed, service.cluster.enlarge = None, odd
    assert service.go_round().resized == 1
    assert service.cluster.claim("bob").size_bytes == 20 * GIB


@pytest.mark.usefixtures("home")
def test_the_page_says_what_is_wrong_beside_what_was_typed(service):
    alice = signed_in(service, "t-alice")

    def typed(size):
        deed = Deed(method="POST", path="volumes/alice/home", form={"size": size})
        return send(service, deed, alice.cookies, alice.token, {"Sec-Fetch-Site": "same-origin"})

    for size, reason in (("5Gi", "volume-shrinks"), ("", "malformed"), ("lots", "malformed")):
        answer = typed(size)
        assert (answer.status, reason in answer.text) == (409 if size == "5Gi" else 400, True)
        assert f'name="size" value="{size}"' in answer.text
        assert 'role="alert"' in answer.text
    assert typed("20Gi").status == 303
    assert "becomes 20.0 GiB" in page(service, "volumes/alice/home")


@pytest.mark.usefixtures("home")
def test_while_kubernetes_does_not_answer_it_says_so(service):
    service.cluster.fails = ClusterError("the API server does not answer", status=0)
    answer = service.ask("GET", "/volumes", token="t-alice")
    assert (answer.status, answer.body["reason"]) == (503, "cluster-unavailable")
    assert service.ask("GET", "volumes", token="t-alice", api=False).status == 503
