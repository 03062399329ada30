"""
The Go modules of devcluster are tidy, and their own tests pass.

They are compiled as devcluster compiles them, flags and caches included, so that what
`scripts/test` has compiled before is found again (it keeps the caches in the folder that
EUGO_GO_CACHE names). Of the big module our own packages are looked at: its main package only calls
Kubernetes, has no tests, and would have vet read all of Kubernetes; compiling it is its check.
"""

import pytest

from devcluster import build, toolchain
from tests.house.commands import run

MODULES = pytest.mark.parametrize("module", build.SOURCES, ids=lambda source: source.name)
MINUTES = 60

pytestmark = pytest.mark.timeout(15 * MINUTES)


@pytest.fixture(scope="module")
def compiler():
    """The Go that devcluster would use."""
    wanted = toolchain.required(source.folder for source in build.SOURCES)
    return toolchain.find(wanted, cache=build.cache_folder(), report=print)


@pytest.fixture
def go(compiler, module):
    """Run the `go` command in a module, in devcluster's surroundings."""
    variables = build.environment(compiler, build.go_cache(build.cache_folder()))

    def ask(*arguments):
        return run(str(compiler.go), *arguments, folder=module.folder, **variables)

    return ask


def packages(module):
    """Return the pattern of the packages of *module* that are our own."""
    return "./internal/..." if module.name == "kube" else "./..."


@MODULES
def test_vet_finds_nothing_in(module, go):
    go("vet", *module.flags, packages(module))


@MODULES
def test_the_tests_pass_of(module, go):
    go("test", "-vet=off", *module.flags, packages(module))


@MODULES
def test_gofmt_would_change_nothing_in(module, compiler):
    gofmt = compiler.go.resolve().with_name("gofmt")
    assert run(str(gofmt), "-l", ".", folder=module.folder) == ""
