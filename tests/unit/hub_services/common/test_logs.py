"""Logs for people and for machines."""

import json
import logging

import pytest

from eugospawner.policy.errors import ConfigError
from hub_services.common import logs


@pytest.fixture(autouse=True)
def as_before():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_machines_get_one_object_a_line(capsys):
    logs.configure("quota", {"EUGO_LOG_FORMAT": "json"})
    logging.getLogger("a.b").warning("%d of %s\nin two lines", 2, "alice", extra={"session": "s1"})
    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert told.pop("time")
    assert told == {
        "level": "WARNING",
        "logger": "a.b",
        "message": "2 of alice\nin two lines",
        "service": "quota",
        "session": "s1",
    }


def test_people_get_what_the_hub_gives_them(capsys):
    logs.configure("quota", {})
    logging.getLogger("a.b").info("ready")
    assert capsys.readouterr().err.endswith(" quota] ready\n")


def test_another_format_is_refused_with_those_that_exist():
    with pytest.raises(ConfigError, match=r"EUGO_LOG_FORMAT is 'xml': write one of text, json"):
        logs.configure("quota", {"EUGO_LOG_FORMAT": "xml"})
