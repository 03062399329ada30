"""Who the provider says somebody is stands among the people, audited, and nothing else changes."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from eugospawner import settings
from eugospawner.enrolment import Enrolment, merged
from eugospawner.oidc.mapping import Membership
from eugospawner.policy import roles
from eugospawner.policy.errors import StoreError
from eugospawner.source import Source
from eugospawner.store import open_store, upgrade
from scripts.local import seed

SAMPLE = Path(__file__).parents[3] / "helm-values" / "catalog.yaml"
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


def membership(**changes):
    values = {
        "organization": "acme",
        "roles": ("member",),
        "groups": frozenset({"vision-lab"}),
        "manages": frozenset(),
        "is_platform_admin": False,
        "says": frozenset({"organization", "role", "groups", "manages"}),
        "doubts": (),
    }
    return Membership(**values | changes)


@pytest.fixture
async def store(tmp_path):
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    upgrade(url)
    await seed.sow(url, SAMPLE, NOW)
    opened = await open_store(url)
    yield opened
    await opened.close()


@pytest.fixture
def enrolment(store):
    async def opened():
        return store

    return Enrolment(Source(SAMPLE, kinds={}, images={}), opened)


async def person(store, name):
    changes = await store.changes.since(0)
    read = settings.load(SAMPLE, {(each.section, each.key): each.document for each in changes})
    return read.directory.people.get(name)


async def test_who_signs_in_is_what_the_provider_says(enrolment, store):
    known = await enrolment.known()
    assert {"acme", "umbrella"} <= set(known.organizations)
    assert await enrolment.enrol("jane", membership(roles=("admin",)), reason="idp", at=NOW)
    found = await person(store, "jane")
    assert (found.organization, found.roles, found.groups) == (
        "acme",
        (roles.ADMIN,),
        {"vision-lab"},
    )
    (line,) = await store.audit.lines(about="people.jane")
    assert (line.actor, line.reason, line.action) == ("jane", "idp", "change")


async def test_signing_in_again_writes_nothing(enrolment, store):
    await enrolment.enrol("jane", membership(), reason="idp", at=NOW)
    revision = (await store.changes.since(0))[-1].revision
    assert not await enrolment.enrol("jane", membership(), reason="idp", at=NOW)
    assert (await store.changes.since(0))[-1].revision == revision


async def test_what_is_taken_away_there_is_gone_here(enrolment, store):
    await enrolment.enrol("jane", membership(roles=("owner",)), reason="idp", at=NOW)
    nothing = membership(organization="", roles=("viewer",), groups=frozenset())
    assert await enrolment.enrol("jane", nothing, reason="idp", at=NOW)
    found = await person(store, "jane")
    assert (found.organization, found.roles, found.groups) == ("", (roles.VIEWER,), frozenset())


async def test_what_an_admin_gave_stays(enrolment, store):
    """Alice has a plan and root shells of her own in the demo."""
    before = await person(store, "alice")
    changed = membership(organization="umbrella", groups=frozenset())
    await enrolment.enrol("alice", changed, reason="idp", at=NOW)
    after = await person(store, "alice")
    assert (after.plan, after.allows_root) == (before.plan, True)
    assert (after.organization, after.roles) == ("umbrella", (roles.MEMBER,))


async def test_whoever_had_nothing_and_gets_nothing_has_no_entry(enrolment, store):
    nothing = membership(organization="", groups=frozenset())
    assert not await enrolment.enrol("nobody", nothing, reason="idp", at=NOW)
    assert await person(store, "nobody") is None


async def test_somebody_else_s_change_at_the_same_moment_is_not_lost(enrolment, store):
    real, others = store.changes.put, iter(range(2))

    async def put(section, key, document, **keywords):
        if next(others, None) is not None:
            await real(
                "people", f"other-{keywords['expected']}", {"groups": ["vision-lab"]},
                actor="ada", reason="x", at=NOW,
            )  # fmt: skip
        return await real(section, key, document, **keywords)

    store.changes.put = put
    assert await enrolment.enrol("jane", membership(), reason="idp", at=NOW)
    assert (await person(store, "jane")).organization == "acme"
    keys = {each.key for each in await store.changes.since(0) if each.key.startswith("other-")}
    assert len(keys) == 2


async def test_where_everybody_writes_all_the_time_it_is_told(enrolment, store):
    async def put(*_arguments, **_keywords):
        return None

    store.changes.put = put
    with pytest.raises(StoreError, match=r"people\.jane was not written"):
        await enrolment.enrol("jane", membership(), reason="idp", at=NOW)


def test_the_entry_says_no_more_than_it_must():
    assert merged({}, membership(organization="", groups=frozenset())) == {}
    before = {"suspended": "away", "role": "owner", "groups": ["x"], "organization": "y"}
    assert merged(before, membership()) == {
        "suspended": "away", "organization": "acme", "groups": ["vision-lab"],
        "provided": ["groups", "manages", "organization", "role"],
    }  # fmt: skip


def test_what_the_rules_are_not_about_stays_and_may_be_changed_here():
    before = {"organization": "acme", "role": "launcher", "groups": ["x"], "manages": ["vision"]}
    about_groups = membership(says=frozenset({"groups"}))
    assert merged(before, about_groups) == {
        "organization": "acme", "role": "launcher", "groups": ["vision-lab"],
        "manages": ["vision"], "provided": ["groups"],
    }  # fmt: skip


def test_a_role_that_somebody_was_given_here_does_not_go_along_to_another_organization():
    about_organization = membership(organization="umbrella", says=frozenset({"organization"}))
    assert merged({"organization": "acme", "role": "owner"}, about_organization) == {
        "organization": "umbrella", "provided": ["organization"],
    }  # fmt: skip
    stays = membership(organization="acme", says=frozenset({"organization"}))
    assert merged({"organization": "acme", "role": "owner"}, stays)["role"] == "owner"
