import sqlite3

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from eugospawner.policy.errors import StoreError
from eugospawner.store.database import is_outage, parse_url, translated

DRIVERS = {
    "sqlite:////srv/store.sqlite": "sqlite+pysqlite",
    "sqlite+aiosqlite:////srv/store.sqlite": "sqlite+pysqlite",
    "postgresql://eugo@db/store": "postgresql+asyncpg",
    "postgresql+asyncpg://eugo@db/store": "postgresql+asyncpg",
}


@pytest.mark.parametrize(("url", "driver"), DRIVERS.items())
def test_people_need_not_know_the_driver(url, driver):
    assert parse_url(url).drivername == driver


WRONG = {
    "": "cannot be read",
    "store.sqlite": "cannot be read",
    "postgresql://eugo:s3cret@db:port/store": "cannot be read",
    "mysql://eugo:s3cret@db/store": "names 'mysql'",
    "postgresql+psycopg://eugo:s3cret@db/store": "names 'postgresql\\+psycopg'",
    "sqlite://": "no file",
    "sqlite+aiosqlite:///:memory:": "no file",
}


@pytest.mark.parametrize(("url", "problem"), WRONG.items(), ids=WRONG.keys())
def test_a_wrong_url_is_told_with_an_example_and_no_password(url, problem):
    with pytest.raises(StoreError, match=rf"{problem}.*write for example sqlite") as caught:
        parse_url(url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "foreign",
    [
        OperationalError("SELECT secrets", {}, sqlite3.OperationalError("disk I/O error\nmore")),
        OSError(5, "disk I/O error"),
        asyncpg.PostgresError("disk I/O error"),
        sqlite3.DatabaseError("disk I/O error"),
    ],
)
def test_a_foreign_error_comes_out_in_one_line_without_statement_or_values(foreign):
    with pytest.raises(StoreError) as caught, translated("read a session"):
        raise foreign
    assert str(caught.value).startswith("The store could not read a session: ")
    assert str(caught.value).endswith("disk I/O error")
    assert caught.value.__cause__ is foreign


def test_a_mistake_of_ours_is_not_taken_for_the_databases():
    with pytest.raises(ZeroDivisionError), translated("read a session"):
        raise ZeroDivisionError


def from_server(state):
    error = sqlite3.Error("said the server")
    error.sqlstate = state
    return DBAPIError("INSERT", {}, error)


OUTAGES = {
    "the file is locked": OperationalError("", {}, sqlite3.OperationalError("locked")),
    "the server shuts down": from_server("57P01"),
    "the server is full": from_server("53300"),
    "the lock did not come": from_server("55P03"),
    "no connection": ConnectionRefusedError(),
    "no answer": TimeoutError(),
    "no connection is free": PoolTimeout(),
    "the server is starting": asyncpg.CannotConnectNowError("starting"),
}
FAULTS = {
    "a CHECK": IntegrityError("", {}, sqlite3.IntegrityError("CHECK")),
    "a CHECK on the server": from_server("23514"),
    "a value out of range": from_server("22003"),
    "a value of the wrong type": OverflowError(),
    "a mistake of ours": ZeroDivisionError(),
}


@pytest.mark.parametrize("error", OUTAGES.values(), ids=OUTAGES.keys())
def test_it_is_an_outage(error):
    assert is_outage(error)


@pytest.mark.parametrize("error", FAULTS.values(), ids=FAULTS.keys())
def test_it_is_one_statements_fault(error):
    assert not is_outage(error)
