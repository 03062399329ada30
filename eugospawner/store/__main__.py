"""
``python -m eugospawner.store upgrade|downgrade|current``: the schema from the command line.

Run `upgrade` before a new release starts, and `downgrade` before going back to the last one.
What is printed last is the revision that the database has now.
"""

from __future__ import annotations

import argparse
import os
import sys

from eugospawner.policy.errors import StoreError
from eugospawner.store import schema
from eugospawner.store.database import URL_VARIABLE


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    options = _parser().parse_args(arguments)
    if not options.url:
        print(f"No database: give --url or set {URL_VARIABLE}", file=sys.stderr)
        return 2
    try:
        if options.command == "upgrade":
            revision = schema.upgrade(options.url)
        elif options.command == "downgrade":
            revision = schema.downgrade(options.url, options.revision)
        else:
            revision = schema.current(options.url)
    except StoreError as error:
        print(error, file=sys.stderr)
        return 1
    suffix = " (head)" if revision == schema.head() else ""
    print(f"{revision or 'empty'}{suffix}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m eugospawner.store", description="Look at the store's schema or change it."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--url",
        default=os.environ.get(URL_VARIABLE, ""),
        help=f"the database; default: the environment's {URL_VARIABLE}",
    )
    commands.add_parser(
        "upgrade", parents=[common], help="bring the database to this release's schema"
    )
    down = commands.add_parser(
        "downgrade", parents=[common], help="take migrations back; loses what they added"
    )
    down.add_argument(
        "revision", nargs="?", default="-1", help="a revision, -N steps, or base (default: -1)"
    )
    commands.add_parser("current", parents=[common], help="print the revision of the database")
    return parser


if __name__ == "__main__":
    sys.exit(main())
