"""A link is good for one person, one choice and one hour (F85)."""

import random
import string
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from eugospawner.store.exports import Export, Standing
from hub_services.common.problems import DoorReason, Fault
from hub_services.export import links

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def an_export(**changes):
    return replace(
        Export(
            id="0123456789abcdef0123456789abcdef",
            owner="alice",
            server="lab",
            creator="alice",
            choice={"home": {"folder": "", "notebooks": True}},
            name="alice-lab.zip",
            secret=links.new_secret(),
            created_at=NOON,
            state=Standing.READY,
            expires_at=NOON + links.VALID,
        ),
        **changes,
    )


def refused(export, signature, *, by="alice", now=NOON):
    try:
        links.check(export, signature, by=by, now=now)
    except Fault as fault:
        return fault.reason
    return None


def test_it_is_valid_for_exactly_an_hour():
    export = an_export()
    signature = links.sign(export)
    assert refused(export, signature, now=NOON + 3599 * SECOND) is None
    assert refused(export, signature, now=NOON + 3600 * SECOND - SECOND / 1000) is None
    for late in (3600, 3601, 86_400):
        assert refused(export, signature, now=NOON + late * SECOND) is DoorReason.LINK_EXPIRED


def test_expired_and_revoked_ones_are_gone_and_say_so():
    export = an_export(revoked_at=NOON)
    with pytest.raises(Fault) as revoked:
        links.check(export, links.sign(export), by="alice", now=NOON)
    assert revoked.value.status == 410
    with pytest.raises(Fault, match="This link has expired") as expired:
        links.check(an := an_export(), links.sign(an), by="alice", now=NOON + links.VALID)
    assert expired.value.status == 410


def test_it_is_of_no_use_to_anybody_else_nor_told_of_without_its_signature():
    export = an_export()
    assert refused(export, links.sign(export), by="bob") is DoorReason.NOT_PERMITTED
    assert refused(export, "", by="bob") is DoorReason.LINK_INVALID
    assert refused(replace(export, revoked_at=NOON), "x") is DoorReason.LINK_INVALID
    assert refused(None, links.sign(export)) is DoorReason.LINK_INVALID


@pytest.mark.parametrize(
    "change",
    [
        {"id": "f" * 32},
        {"owner": "bob"},
        {"server": ""},
        {"creator": "bob"},
        {"choice": {"home": {"folder": "", "notebooks": False}}},
        {"choice": {"home": {"folder": "x", "notebooks": True}}},
        {"expires_at": NOON + links.VALID + SECOND / 1000},
        {"secret": links.new_secret()},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_is_signed_cannot_be_changed(change):
    export = an_export()
    assert refused(replace(export, **change), links.sign(export)) is DoorReason.LINK_INVALID


def test_a_hundred_thousand_tampered_signatures_are_refused():
    chance = random.Random(7)  # noqa: S311 - the same ones each time
    export, other = an_export(), an_export()
    good = links.sign(export)
    letters = string.ascii_letters + string.digits + "-_=+/é\0 "
    for _ in range(100_000):
        match chance.randint(0, 5):
            case 0:
                at = chance.randrange(len(good))
                tampered = good[:at] + chance.choice(letters) + good[at + 1 :]
            case 1:
                tampered = good[: chance.randrange(len(good))]
            case 2:
                tampered = good + chance.choice(letters)
            case 3:
                tampered = links.sign(other)
            case 4:
                tampered = "".join(chance.choices(letters, k=len(good)))
            case _:
                tampered = good.swapcase()
        if tampered != good:
            assert refused(export, tampered) is DoorReason.LINK_INVALID


def test_one_that_is_not_ready_has_no_link():
    export = an_export(state=Standing.PREPARING, expires_at=None)
    with pytest.raises(ValueError, match="no link"):
        links.sign(export)
    assert refused(export, "x") is DoorReason.LINK_INVALID
