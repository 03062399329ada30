"""
The Go modules of devcluster are tidy, and their own tests pass.

`scripts/test` compiles Kubernetes first and names the folder where the compiled packages are kept
(EUGO_GO_CACHE); the same flags find them again here. Of the big module only our own packages are
looked at: its main program is the whole of Kubernetes, and compiling that twice would take longer
than everything else; the build itself shows that it compiles.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.house.commands import ROOT, run

MODULES = ("runtime", "kubernetes")
MINUTES = 60

pytestmark = pytest.mark.timeout(30 * MINUTES)


@pytest.fixture(scope="module")
def go():
    """Go: of the PATH, else the wheel's in the environment."""
    found = shutil.which("go") or shutil.which("go", path=str(Path(sys.executable).parent))
    assert found, "no Go: run scripts/test, which installs one"
    return found


def settings():
    """Return the variables with which devcluster compiles, and its caches if they are kept."""
    flags = {"CGO_ENABLED": "0", "GOFLAGS": "-trimpath", "GOTOOLCHAIN": "local"}
    kept = os.environ.get("EUGO_GO_CACHE")
    if kept is None:
        return flags
    return flags | {"GOCACHE": f"{kept}/gocache", "GOMODCACHE": f"{kept}/gomodcache"}


def packages(module):
    """Return the pattern of the packages of *module* that are ours."""
    return "./internal/..." if module == "kubernetes" else "./..."


@pytest.mark.parametrize("module", MODULES)
def test_vet_finds_nothing_in(module, go):
    run(go, "vet", packages(module), folder=ROOT / "devcluster" / module, **settings())


@pytest.mark.parametrize("module", MODULES)
def test_the_tests_pass_of(module, go):
    folder = ROOT / "devcluster" / module
    run(go, "test", "-vet=off", packages(module), folder=folder, **settings())


@pytest.mark.parametrize("module", MODULES)
def test_gofmt_would_change_nothing_in(module, go):
    gofmt = Path(run(go, "env", "GOROOT").strip(), "bin", "gofmt")
    assert run(str(gofmt), "-l", ".", folder=ROOT / "devcluster" / module) == ""
