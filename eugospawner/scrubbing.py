"""
Scrubbing: secrets in addresses do not get into logs.

JupyterHub leaves them out of its access log, but Tornado writes the whole address when a request fails, and services
have no such log at all. Values of whatever is called like a secret are replaced in all that Tornado says.
Source: JupyterHub 6.1, `log.py` (SCRUB_QUERY_KEYS); promise 8.
"""

from __future__ import annotations

import logging
import re
from typing import Final

_SECRET: Final = re.compile(
    r"([?&][^=&\s]*(?:token|auth|key|code|state|_xsrf)[^=&\s]*=)(?!\[secret\])[^&\s'\"]*"
)
_LOGGERS: Final = ("tornado.access", "tornado.application", "tornado.general")


class Scrub(logging.Filter):
    """Passes on every record, without secrets in addresses."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Replace what stands in the text of *record*."""
        text = record.getMessage()
        scrubbed = _SECRET.sub(r"\1[secret]", text)
        if scrubbed != text:
            record.msg, record.args = scrubbed, ()
        return True


def install() -> None:
    """Scrub what Tornado says in this process; idempotent."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(each, Scrub) for each in logger.filters):
            logger.addFilter(Scrub())
