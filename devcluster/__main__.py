"""
The command line: `python -m devcluster`.

Runs a cluster in the foreground until it is told to end, or does one of four small things:
`build` compiles it, `kubectl` and `helm` are its clients, `status` says how a running one is. This module reads
options and prints lines; everything else is elsewhere. Progress goes to standard error, the one
ready line to standard output, for programs that wait for it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import addresses, build, cluster, inventory, layout, machine, status
from .components import Plan
from .errors import ExitCode, Trouble

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEPT_VARIABLES = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER")
"""What programs of the cluster see of our environment: nothing that could steer them elsewhere."""


def main(arguments: Sequence[str] = sys.argv[1:]) -> int:
    """Do what *arguments* say; return the exit code."""
    try:
        match list(arguments):
            case ["build", *rest]:
                return _build(rest)
            case ["kubectl", *rest]:
                return _kubectl(rest)
            case ["helm", *rest]:
                return _helm(rest)
            case ["status", *rest]:
                return _status(rest)
            case rest:
                return _run(rest)
    except Trouble as trouble:
        print(f"devcluster: {trouble}", file=sys.stderr)
        return trouble.exit_code
    except KeyboardInterrupt:
        print("\ndevcluster: broken off", file=sys.stderr)
        return 130


def _run(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m devcluster",
        description="Kubernetes itself on this machine, for development. Ctrl-C ends it.",
        epilog="Also: build, kubectl ARGS, helm ARGS, status --data DIR; each with --help.",
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR",
                        help="folder of the cluster's state; made if need be")  # fmt: skip
    parser.add_argument("--kubeconfig", type=Path, required=True, metavar="FILE",
                        help="where the admin's credential is written")  # fmt: skip
    parser.add_argument("--inventory", type=Path, default=inventory.DEFAULT, metavar="FILE",
                        help="what the cluster is said to have (docs/reference/inventory.md)")  # fmt: skip
    parser.add_argument("--runtime", metavar="ENDPOINT",
                        help="a container runtime instead of ours, as unix:///path; needs root")  # fmt: skip
    _add_keep_build(parser)
    options = parser.parse_args(arguments)

    machine.require_linux()
    machine.require_programs()
    wanted = inventory.load(options.inventory)
    with (
        layout.opened(options.data) as opened,
        addresses.held(opened.addresses) as chosen,
    ):
        machine.require_runtime(options.runtime)
        programs = build.provide(keep=options.keep_build, report=_say)
        plan = Plan(
            layout=opened,
            addresses=chosen,
            inventory=wanted,
            kube=programs.kube,
            runtime=programs.runtime,
            foreign_runtime=options.runtime,
            in_user_namespace=cluster.in_user_namespace(),
        )
        return asyncio.run(_serve(plan, kubeconfig=options.kubeconfig.absolute()))


async def _serve(plan: Plan, *, kubeconfig: Path) -> int:
    """Run the cluster of *plan* until a signal."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()

    def end() -> None:
        if told.is_set():
            os._exit(130)  # asked twice: everything dies with us (supervisor.py)
        told.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    running = cluster.Cluster(plan, environment=environment, report=_say)
    starting = asyncio.create_task(
        running.start(
            kubeconfig=kubeconfig,
            now=datetime.now(UTC),  # noqa: TID251  # the composition's clock
        )
    )
    stopping = asyncio.create_task(told.wait())
    try:
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            return ExitCode.STOPPED
        starting.result()
        print(
            f"devcluster is ready: {plan.addresses.server}, kubeconfig {kubeconfig} "
            "(for development only: Pods are processes of this machine, not isolated from it)",
            flush=True,
        )
        ending: tuple[asyncio.Future[Any], ...] = (running.failure, stopping)
        await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
        if running.failure.done():
            raise running.failure.result()
        return ExitCode.STOPPED
    finally:
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError, Trouble):
            await starting
        if told.is_set():
            _say("ending")
        await running.stop()
        stopping.cancel()


def _build(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m devcluster build",
        description="Compile what the cluster runs, unless it is in the cache.",
    )
    _add_keep_build(parser)
    options = parser.parse_args(arguments)
    machine.require_linux()
    programs = build.provide(keep=options.keep_build, report=_say)
    print(programs.kube)
    print(programs.runtime)
    return ExitCode.STOPPED


def _kubectl(arguments: Sequence[str]) -> int:
    machine.require_linux()
    kube = build.provide(keep=False, report=_say).kube
    os.execv(kube, ["kubectl", *arguments])  # noqa: S606


def _helm(arguments: Sequence[str]) -> int:
    machine.require_linux()
    helm = build.provide_helm(keep=False, report=_say)
    os.execv(helm, ["helm", *arguments])  # noqa: S606


def _status(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m devcluster status", description="Say how a cluster is."
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    options = parser.parse_args(arguments)
    found = status.look(layout.Layout(root=options.data.absolute()))
    print(found.words())
    return ExitCode.STOPPED if found.is_well else ExitCode.FAILED


def _add_keep_build(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--keep-build",
        action="store_true",
        default=os.environ.get("EUGO_KEEP_BUILD", "") not in {"", "0"},
        help="keep the compiler's caches (some 3.5 GB) for the next change of the sources",
    )


def _say(line: str) -> None:
    print(f"devcluster: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
