"""What a GPU model offers by its strategy, in figures and in words (design §6; F42, F52, F54)."""

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eugospawner.policy.catalog import GpuModel, MigSize, sharing_words
from tests.factories import a_catalog

MODELS = a_catalog().gpu_models


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("H100", "Can be shared, from 1 % SM"),
        ("A100", "Whole GPUs only"),
        ("T4", "Whole GPUs; SM % only limits speed, the charge is for whole GPUs"),
        (
            "A100-MIG",
            "Cut to fixed sizes: 15 % (1g.10gb), 29 % (2g.20gb), 43 % (3g.40gb), 100 % (7g.80gb)",
        ),
    ],
)
def test_the_words_say_what_people_can_ask_for(model: str, words: str) -> None:
    assert sharing_words(MODELS[model]) == words


@pytest.mark.parametrize(
    ("model", "offered"),
    [
        ("H100", set(range(1, 101))),
        ("A100", {100}),
        ("T4", set(range(1, 101))),
        ("A100-MIG", {15, 29, 43, 100}),
    ],
)
def test_each_strategy_offers_its_own_shares(model: str, offered: set[int]) -> None:
    assert {percent for percent in range(-5, 200) if MODELS[model].offers(percent)} == offered
    assert MODELS[model].most_percent == max(offered)


@pytest.mark.parametrize(
    ("slices", "percent"), [(1, 15), (2, 29), (3, 43), (4, 58), (5, 72), (6, 86), (7, 100)]
)
def test_sevenths_are_rounded_up_to_whole_percents(slices: int, percent: int) -> None:
    size = MigSize(profile=f"{slices}g.{slices}gb", slices=slices)
    assert size.sm_percent == percent == ceil(slices * 100 / 7)


any_model = st.sampled_from(list(MODELS.values()))


@given(any_model, st.integers(-1000, 1000))
def test_the_nearest_share_is_on_offer_and_the_least_that_is_enough(
    model: GpuModel, asked: int
) -> None:
    nearest = model.nearest_percent(asked)
    assert model.offers(nearest)
    if asked <= model.most_percent:
        assert nearest >= asked
        assert not any(model.offers(percent) for percent in range(asked, nearest))
    else:
        assert nearest == model.most_percent


@given(any_model, st.integers(1, 100))
def test_no_share_is_charged_less_than_was_asked(model: GpuModel, percent: int) -> None:
    if model.offers(percent):
        assert percent <= model.charged_percent(percent) <= 100
