"""
From a bare Python to a prepared `.venv`, then on to `demo.py` or `test.py` in it.

Usage: bootstrap.py demo|test [ARGUMENTS]; the shell scripts beside it call nothing else. Runs with
any Python ≥ 3.11 and imports the standard library only. Installs Go and Node as wheels only where
the machine has none that will do. The second run finds its stamps and takes no time.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from local import code_server, options, tools
from local.environment import Environment
from local.proxy import PROXY
from local.sso import SSO
from local.trouble import Trouble

ROOT = Path(__file__).resolve().parent.parent

GROUPS = {
    "demo": ("demo",),
    "test": ("demo", "test", "lint", "docs"),
}


def groups_for(
    purpose: str, *, path: str, environment: Environment, vscode: bool = False
) -> tuple[str, ...]:
    """
    Return the dependency groups that *purpose* needs on a machine with this *path*.

    Args:
        vscode: Whether code-server is wanted, which runs with the wheel's Node alone.
    """
    modules = (environment.root / "devcluster").glob("*/go.mod")
    venv = environment.folder
    go = () if tools.has_go(path, wanted=tools.wanted_go(modules), venv=venv) else ("go",)
    node = () if tools.has_node(path, venv=venv) and not vscode else ("node",)
    return (*GROUPS[purpose], *go, *node)


def prepare(
    purpose: str, environment: Environment, *, vscode: bool = False, sso: bool = False
) -> None:
    """
    Install what *purpose* needs, and code-server and the example provider if they are wanted.

    Raises:
        Trouble: The machine does not let us.
    """
    path = os.environ.get("PATH", "")
    environment.install(groups_for(purpose, path=path, environment=environment, vscode=vscode))
    node = tools.find_node(path, venv=environment.folder)
    if node is None:
        raise Trouble(
            problem="The Node that was installed into .venv does not run here.",
            remedy=f"Install Node {tools.NODE_MAJOR} or later with npm and put both on the PATH.",
        )
    PROXY.install(ROOT / "scripts" / "proxy", environment, node=node)
    if sso or purpose == "test":
        SSO.install(ROOT / "scripts" / "sso", environment, node=node)
    if vscode:
        wheel = tools.node_of_wheel(environment.folder)
        if wheel is None:
            raise Trouble(
                problem=f"Node {code_server.NODE_MAJOR} for VS Code was not installed.",
                remedy="Remove .venv and run the same command again.",
            )
        code_server.install(ROOT / "scripts" / "code-server", environment, node=wheel)


def main(purpose: str, arguments: list[str]) -> None:
    """Prepare, then become the program; never returns."""
    # `--help` and mistakes are answered before all else.
    chosen = options.parse(arguments, root=ROOT) if purpose == "demo" else None
    environment = Environment(ROOT)
    try:
        prepare(
            purpose,
            environment,
            vscode=chosen is not None and chosen.vscode,
            sso=chosen is not None and chosen.sso,
        )
    except Trouble as trouble:
        sys.exit(f"scripts/{purpose}: {trouble}")
    except KeyboardInterrupt:
        sys.exit(f"\nscripts/{purpose}: interrupted; the next run goes on from here.")
    program = str(ROOT / "scripts" / f"{purpose}.py")
    os.execv(environment.python, [str(environment.python), program, *arguments])  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
