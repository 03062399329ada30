"""An account is its owner's for good; a session ends once, whoever repeats the word (F108)."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from eugospawner.policy.errors import StoreError
from eugospawner.store.identities import REMEMBERED

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
ISSUER = "https://login.example.org"
OTHER = "https://login.example.net"


async def claim(store, subject, username, issuer=ISSUER):
    return await store.identities.claim(issuer, subject, username=username, at=NOON)


async def test_a_name_that_is_given_away_again_brings_nothing_of_the_account(store):
    assert await claim(store, "1", "jane") == "jane"
    assert await claim(store, "2", "jane") is None
    assert await claim(store, "1", "jane", issuer=OTHER) is None
    assert await claim(store, "2", "jane-2") == "jane-2"


async def test_who_is_called_otherwise_by_now_keeps_their_account(store):
    await claim(store, "1", "jane")
    assert await claim(store, "1", "jane-smith") == "jane"
    assert await claim(store, "2", "jane-smith") == "jane-smith"
    assert await store.identities.username_of(ISSUER, "1") == "jane"
    assert await store.identities.username_of(OTHER, "1") is None


async def test_of_many_at_once_one_gets_the_name(store):
    found = await asyncio.gather(*(claim(store, str(number), "jane") for number in range(40)))
    assert sorted(found, key=str).count("jane") == 1
    assert found.count(None) == 39
    again = await asyncio.gather(*(claim(store, "the-same", "john") for _ in range(40)))
    assert set(again) == {"john"}


async def test_a_session_of_the_provider_names_who_signed_in_by_it_last(store):
    for username in ("jane", "john"):
        await store.identities.signed_in(ISSUER, "s", username=username, at=NOON)
    assert await store.identities.username_by(ISSUER, "s") == "john"
    assert await store.identities.username_by(OTHER, "s") is None


async def test_old_sessions_are_forgotten(store):
    await store.identities.signed_in(ISSUER, "old", username="jane", at=NOON)
    later = NOON + REMEMBERED
    await store.identities.signed_in(ISSUER, "new", username="jane", at=later)
    assert await store.identities.username_by(ISSUER, "old") == "jane"
    later += timedelta(seconds=1)
    await store.identities.signed_in(ISSUER, "new", username="jane", at=later)
    assert await store.identities.username_by(ISSUER, "old") is None


async def spend(store, identifier, now=NOON, issuer=ISSUER):
    expires_at = NOON + timedelta(minutes=5)
    return await store.identities.spend(issuer, identifier, expires_at=expires_at, now=now)


async def test_a_logout_token_is_obeyed_once(store):
    assert await spend(store, "j1")
    assert not await spend(store, "j1")
    assert await spend(store, "j2")
    assert await spend(store, "j1", issuer=OTHER)
    answers = await asyncio.gather(*(spend(store, "j3") for _ in range(20)))
    assert answers.count(True) == 1


async def test_a_token_that_nobody_believes_any_more_is_forgotten(store):
    await spend(store, "j1")
    assert not await spend(store, "j1", now=NOON + timedelta(minutes=5))
    await spend(store, "j2", now=NOON + timedelta(minutes=6))
    held = await store._database.look(
        "count",
        lambda connection: connection.exec_driver_sql(
            "SELECT count(*) FROM logout_tokens WHERE identifier = 'j1'"
        ).scalar(),
    )
    assert held == 0


async def test_what_no_database_keeps_is_refused_at_the_door(store):
    with pytest.raises(StoreError, match="subject"):
        await claim(store, "a\0b", "jane")
    with pytest.raises(StoreError, match="identifier"):
        await spend(store, "x" * 9999)
