"""
``python -m hub_services.export.exporter``: what runs in the Pod that has a volume.

It answers the export service alone, which shows the token whose SHA-256 stands in the Pod's environment. It ends by
itself: when nobody has asked for anything for a while, and with the Pod's deadline at the latest, so that no crash
of whoever started it leaves it behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Final

from tornado.httpserver import HTTPServer

from hub_services.export.exporter.desk import Desk
from hub_services.export.exporter.server import Attendance, make_app
from hub_services.export.exporter.terms import ADDRESS, PORT, TOKEN, VOLUMES

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOOK: Final = 2
_LARGEST_BODY: Final = 65_536


async def serve(environment: Mapping[str, str]) -> None:
    """Answer until nobody wants anything, or SIGTERM."""
    desk, attendance = Desk(json.loads(environment[VOLUMES])), Attendance()
    host, _, port = (environment.get(ADDRESS) or f":{PORT}").rpartition(":")
    server = HTTPServer(make_app(desk, attendance, environment[TOKEN]), max_body_size=_LARGEST_BODY)
    server.listen(int(port), host)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    while not ended.is_set() and not attendance.is_over():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), _LOOK)
    server.stop()
    await server.close_all_connections()


def main() -> int:
    """Serve, and return the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    # Whoever waits asks every second how far it is.
    logging.getLogger("tornado.access").setLevel(logging.WARNING)
    missing = [name for name in (TOKEN, VOLUMES) if not os.environ.get(name)]
    if missing:
        print(f"Not set: {', '.join(missing)}; the export service sets them.", file=sys.stderr)
        return 2
    asyncio.run(serve(os.environ))
    return 0


if __name__ == "__main__":
    sys.exit(main())
