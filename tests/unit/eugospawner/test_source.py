"""The settings of a process follow the store, and never go back."""

from pathlib import Path

import pytest

from eugospawner.policy.errors import ConfigError, UnfitSettings
from eugospawner.source import Source
from eugospawner.store.changes import Change

SAMPLE = Path(__file__).parents[3] / "helm-values" / "catalog.yaml"


def a_change(revision: int, hours: int, key: str = "gpu-each-month") -> Change:
    document = {"user": "*", "gpu_hours": hours, "per": "month"}
    return Change(section="quotas", key=key, document=document, revision=revision)


@pytest.fixture
def source() -> Source:
    return Source(SAMPLE, kinds={}, images={})


def hours(source: Source) -> int:
    (quota,) = [each for each in source.settings.catalog.quotas if each.key == "gpu-each-month"]
    return quota.amount // 360_000_000


def test_what_was_changed_holds_and_is_shown_as_an_entry(source: Source) -> None:
    assert (hours(source), source.revision) == (160, 0)
    assert source.take([a_change(1, 80)])
    assert (hours(source), source.revision) == (80, 1)
    assert source.documents["quotas"]["gpu-each-month"]["gpu_hours"] == 80
    assert source.documents_of_file["quotas"]["gpu-each-month"]["gpu_hours"] == 160
    assert not source.take([])


def test_a_reader_that_was_overtaken_does_not_bring_old_settings_back(source: Source) -> None:
    overtaken = [a_change(1, 10)]
    assert source.take([a_change(1, 10), a_change(2, 20)])
    assert source.take(overtaken), "whoever read them decided by settings that are older still"
    assert (hours(source), source.revision) == (20, 2)


def test_changes_that_make_no_sense_decide_nothing_until_they_are_mended(source: Source) -> None:
    wrong = Change(section="quotas", key="x", document={"user": "*"}, revision=1)
    for _ in range(2):
        with pytest.raises(UnfitSettings, match=r"does not fit the catalog: .*quotas\.x"):
            source.take([wrong])
    assert (hours(source), source.revision, source.newest) == (160, 0, 1)
    assert source.documents["quotas"]["x"] == {"user": "*"}, "else nobody could mend it"
    assert source.take([wrong, Change(section="quotas", key="x", document=None, revision=2)])
    assert (source.revision, source.unfit) == (2, "")


def test_a_change_can_be_judged_without_being_made(source: Source) -> None:
    source.take([a_change(1, 80)])
    changed = source.with_changes({("quotas", "gpu-each-month"): None})
    assert "gpu-each-month" not in {quota.key for quota in changed.catalog.quotas}
    with pytest.raises(ConfigError, match=r"quotas\.mine: says nothing about what it counts"):
        source.with_changes({("quotas", "mine"): {"user": "*", "per": "day"}})
    assert hours(source) == 80
