from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql, sqlite

from eugospawner.policy.errors import StoreError
from eugospawner.store.types import LONGEST_TEXT, UtcTime, storable

DIALECTS = {"sqlite": sqlite.dialect(), "postgresql": postgresql.dialect()}
zones = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)
times = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=zones)  # noqa: DTZ001 - bounds


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS.keys())
@given(at=times)
def test_a_time_comes_back_as_the_same_instant_in_utc(dialect, at):
    kind = UtcTime()
    kept = kind.process_bind_param(at, dialect)
    back = kind.process_result_value(kept, dialect)
    assert back == at
    assert back.tzinfo is UTC


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS.keys())
def test_no_time_is_no_time(dialect):
    assert UtcTime().process_bind_param(None, dialect) is None
    assert UtcTime().process_result_value(None, dialect) is None


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS.keys())
def test_a_naive_time_is_rejected(dialect):
    with pytest.raises(ValueError, match="is naive"):
        UtcTime().process_bind_param(datetime(2026, 1, 1), dialect)  # noqa: DTZ001 - the case


@given(one=times, other=times)
def test_times_sort_as_sqlite_keeps_them(one, other):
    kind, dialect = UtcTime(), DIALECTS["sqlite"]
    kept = [kind.process_bind_param(at, dialect) for at in (one, other)]
    assert (kept[0] < kept[1]) == (one < other)


STORABLE = ["", "x" * LONGEST_TEXT, "ü 🐍\n'", 0, -(2**63), 2**63 - 1, None, True]
UNSTORABLE = {
    "x" * (LONGEST_TEXT + 1): "longer than 512",
    "a\0": "NUL",
    "\udc00": "surrogate",
    2**63: "64 bits",
    -(2**63) - 1: "64 bits",
    datetime(2026, 1, 1): "naive",  # noqa: DTZ001 - the case
    datetime.min.replace(tzinfo=timezone(timedelta(hours=1))): "years 1 to 9999",
}


@pytest.mark.parametrize("value", STORABLE)
def test_it_can_be_held(value):
    assert storable({"column": value}) == {"column": value}


@pytest.mark.parametrize(("value", "problem"), UNSTORABLE.items(), ids=UNSTORABLE.values())
def test_it_cannot_be_held_and_the_column_is_named(value, problem):
    with pytest.raises(StoreError, match=rf"column cannot be stored: it .*{problem}"):
        storable({"fine": 1, "column": value})
