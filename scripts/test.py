"""
Run every check and test with one pytest, in the environment that `bootstrap.py` has prepared.

Not to be run by itself: `scripts/test` is the command, and `.ci/run` calls nothing else. Arguments
are pytest's (`-k EXPR`, paths, `--nightly`); paths may be given from any folder. Linters, type
checks, the documentation and the Go modules run as the tests of `tests/house`, so that the one
closing summary tells of everything. Kubernetes is compiled first, in the open: it takes minutes
once, and inside a fixture nobody would see it move. The whole suite runs in three processes, if
there is memory for their clusters.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from local import chromium
from local.environment import say
from local.tiers import UNAVAILABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parent.parent

_TAKE_A_WORD = frozenset({"-k", "-m", "-p", "-o", "-c", "-W", "-r", "-n"})
"""Options of pytest whose value is the next word."""


_CORES = 2
"""With fewer, one process keeps them busy."""
_MOST_WORKERS = 3
_MEMORY_EACH = 5 * 2**30
"""A cluster, a hub with its services, JupyterLabs and a browser."""


def pytest_arguments(given: list[str], *, folder: Path) -> list[str]:
    """Return the arguments *given* in *folder* such that they mean the same in the checkout."""
    before = ["", *given]  # the word before each: `-k tests` names no folder
    return [
        str(folder / word) if last not in _TAKE_A_WORD and names_test(word, folder=folder) else word
        for last, word in zip(before, given, strict=False)
    ]


def names_test(word: str, *, folder: Path) -> bool:
    """Tell whether *word* is the path of a test file or folder, seen from *folder*."""
    path = word.partition("::")[0]
    return bool(path) and not path.startswith("-") and (folder / path).exists()


def go_cache(variables: Mapping[str, str]) -> str:
    """Return where compiled Go packages are kept, so that Go's tests need not compile them again."""
    caches = variables.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return variables.get("EUGO_GO_CACHE") or f"{caches}/eugo/go"


def compile_kubernetes() -> None:
    """Compile the embedded cluster unless that was done before; exit if it cannot be."""
    built = subprocess.run([sys.executable, "-m", "devcluster", "build"], cwd=ROOT, check=False)
    if built.returncode != 0:
        sys.exit("scripts/test: Kubernetes could not be compiled; the lines above say why.")


def processes(memory: int) -> int:
    """
    Return how many processes run a whole suite: one more than the cores that they keep busy.

    Args:
        memory: Bytes that the machine has.
    """
    return max(1, min(_MOST_WORKERS, memory // _MEMORY_EACH))


def workers(arguments: list[str]) -> list[str]:
    """
    Return the options that run a whole suite in several processes, each with its own cluster.

    Tests of the cluster wait half of their time. Files stay whole, so what a module prepares is
    prepared once. A few chosen tests run in this process, and so does everything where all would
    share one cluster or one core.
    """
    chosen = [word for word in arguments if not word.startswith("-") or word.startswith("-n")]
    alone = os.environ.get("EUGO_TEST_KUBECONFIG") or (os.cpu_count() or 1) < _CORES
    if chosen or alone:
        return []
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return [f"--numprocesses={processes(memory)}", "--dist=loadfile", "--no-loadscope-reorder"]


def main() -> None:
    """Prepare, then hand over to pytest; its exit code is ours."""
    arguments = pytest_arguments(sys.argv[1:], folder=Path.cwd())
    os.chdir(ROOT)
    sys.path.remove(str(ROOT / "scripts"))  # this file must not pass for the library's `test`
    os.environ["EUGO_GO_CACHE"] = go_cache(os.environ)
    if not {"-h", "--help", "--version", "--co", "--collect-only"}.intersection(arguments):
        compile_kubernetes()
    browser = chromium.find_or_install()
    unavailable = {}
    if browser is None:
        command = chromium.remedy(chromium.os_release())
        unavailable["browser"] = f"no Chromium on the PATH; enable it with: {command}"
    else:
        os.environ["EUGO_CHROMIUM"] = str(browser)
    Path("test-artifacts").mkdir(exist_ok=True)
    say("Running all checks and tests …")
    os.environ[UNAVAILABLE] = json.dumps(unavailable)
    sys.path.insert(0, str(ROOT))
    sys.exit(pytest.main(["-p", "scripts.local.tiers", *workers(arguments), *arguments]))


if __name__ == "__main__":
    main()
