"""
Logs: one line for each event, for people or for machines.

`EUGO_LOG_FORMAT` chooses: ``text`` (the default) reads like the hub's own log, ``json`` is one object
a line with *time*, *level*, *service*, *logger*, *message* and whatever a call gives as ``extra``.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from pythonjsonlogger.json import JsonFormatter

from eugospawner import scrubbing
from eugospawner.policy.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMATS: Final = ("text", "json")


def configure(service: str, environment: Mapping[str, str]) -> None:
    """
    Send the logs of the process to standard error, in the format that *environment* names.

    Raises:
        ConfigError: There is no such format.
    """
    chosen = environment.get("EUGO_LOG_FORMAT") or FORMATS[0]
    if chosen not in FORMATS:
        message = f"EUGO_LOG_FORMAT is {chosen!r}: write one of {', '.join(FORMATS)}"
        raise ConfigError(message)
    handler = logging.StreamHandler()
    handler.setFormatter(_json(service) if chosen == "json" else _text(service))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    scrubbing.install()
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells what every look at it is
    logging.getLogger("tornado.access").setLevel(logging.WARNING)


def _text(service: str) -> logging.Formatter:
    return logging.Formatter(
        f"[%(levelname).1s %(asctime)s {service}] %(message)s", datefmt="%Y-%m-%d %H:%M:%S"
    )


def _json(service: str) -> logging.Formatter:
    return JsonFormatter(
        ["levelname", "name", "message"],
        rename_fields={"levelname": "level", "name": "logger"},
        static_fields={"service": service},
        timestamp="time",
    )
