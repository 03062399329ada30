"""
Start the whole product on this machine, in the environment that `bootstrap.py` has prepared.

Not to be run by itself: `scripts/demo` is the command. What happens stands in `local/run.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from local import options, run, workdir
from local.trouble import Trouble

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Run until stopped; one line on standard error if something is in the way."""
    chosen = options.parse(sys.argv[1:], root=ROOT)
    try:
        with workdir.opened(chosen.data) as opened:
            run.run(chosen, root=ROOT, workdir=opened)
    except Trouble as trouble:
        print(f"scripts/demo: {trouble}", file=sys.stderr)
        sys.exit(trouble.exit_code)


if __name__ == "__main__":
    main()
