"""Programs are compiled once for what they are made of."""

from __future__ import annotations

import io
import tomllib
from typing import TYPE_CHECKING

import pytest

from devcluster import build, toolchain
from devcluster.errors import Trouble
from devcluster.progress import Progress

if TYPE_CHECKING:
    from pathlib import Path

COST = build.Cost(disk_bytes=1, cpu_seconds=1)
ROOT = build.SOURCES[0].folder.parents[1]


@pytest.fixture
def source(tmp_path: Path) -> build.Source:
    folder = tmp_path / "module"
    (folder / "internal" / "testdata").mkdir(parents=True)
    (folder / "go.mod").write_text("module m\n\ngo 1.26.0\n")
    (folder / "main.go").write_text("package main\n")
    return build.Source(name="m", folder=folder, cost=COST)


@pytest.mark.parametrize("name", ["main.go", "go.mod", "go.sum", "ldflags", "internal/new.go"])
def test_what_changes_the_program_changes_its_key(source: build.Source, name: str) -> None:
    before = source.key()
    (source.folder / name).write_text("changed")
    assert source.key() != before


@pytest.mark.parametrize("name", ["main_test.go", "README.md", "internal/testdata/x.yaml"])
def test_what_does_not_change_the_program_leaves_its_key(source: build.Source, name: str) -> None:
    before = source.key()
    (source.folder / name).write_text("changed")
    assert source.key() == before


def test_clones_share_what_was_compiled(source: build.Source, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    source.folder.rename(clone)
    moved = build.Source(name="m", folder=clone, cost=COST)
    (tmp_path / "module").mkdir()
    assert moved.key() == build.Source(name="m", folder=clone, cost=COST).key()


def test_programs_that_are_ready_are_not_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("kube", "runtime"):
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setenv("EUGO_DEVCLUSTER_PROGRAMS", str(tmp_path))
    found = build.provide(keep=False, report=pytest.fail)
    assert (found.kube, found.runtime) == (tmp_path / "kube", tmp_path / "runtime")


def test_a_folder_without_programs_is_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EUGO_DEVCLUSTER_PROGRAMS", str(tmp_path))
    with pytest.raises(Trouble, match=r"kube is no program"):
        build.provide(keep=False, report=pytest.fail)


def test_the_environment_cannot_change_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOFLAGS", "-race")
    monkeypatch.setenv("CGO_ENABLED", "1")
    monkeypatch.setenv("GOPROXY", "https://mirror.example")
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\n")
    go.chmod(0o755)
    found = build.environment(
        toolchain.Toolchain(go=go, version=(1, 26)),
        build.GoCache(compiled=tmp_path / "c", modules=tmp_path / "m", is_ours=True),
    )
    assert (found["GOFLAGS"], found["CGO_ENABLED"]) == ("", "0")
    assert found["GOTOOLCHAIN"] == "local"
    assert found["GOPROXY"] == "https://mirror.example"


def compiling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> list[str]:
    """Provide programs with a compiler that is *script*; return what was reported."""
    go = tmp_path / "go"
    go.write_text(
        '#!/bin/sh\ncase "$*" in "env GOVERSION") echo go1.99; exit;; env*) exit;; esac\n' + script
    )
    go.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("EUGO_DEVCLUSTER_PROGRAMS", "EUGO_GO_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(build, "require_room", lambda *_, **__: None)
    said: list[str] = []
    build.provide(keep=False, report=said.append)
    return said


SUCCESS = """
for word; do case "$word" in -o=*) : > "${word#-o=}"; chmod 755 "${word#-o=}";; esac; done
case "$1" in list) printf 'true\\nfalse\\n';; esac
mkdir -p "$GOMODCACHE/m"; : > "$GOMODCACHE/m/file"; chmod 500 "$GOMODCACHE/m"
mkdir -p "$GOCACHE"
"""


def test_a_build_says_what_it_costs_and_leaves_little_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = compiling(tmp_path, monkeypatch, SUCCESS)
    assert "GB of disk" in said[0]
    assert "min on this machine" in said[0]
    assert not (tmp_path / "cache" / "eugo" / "devcluster" / "build").exists()
    assert compiling(tmp_path, monkeypatch, SUCCESS) == []


@pytest.mark.parametrize(
    ("complaint", "told"),
    [
        ("main.go:1:1: syntax error", "Mend the sources"),
        ("dial tcp: lookup proxy: no such host", "check the network and GOPROXY"),
        ("write: no space left on device", "Free some of the disk"),
    ],
)
def test_a_build_that_fails_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, complaint: str, told: str
) -> None:
    with pytest.raises(Trouble) as trouble:
        compiling(tmp_path, monkeypatch, f"echo '{complaint}' >&2; exit 1")
    assert told in str(trouble.value)
    assert complaint in str(trouble.value)
    assert not list((tmp_path / "cache").rglob("kube"))


@pytest.mark.parametrize(
    ("words", "version"),
    [("go1.26.8", (1, 26, 8)), ("1.26.0", (1, 26, 0)), ("go1.27rc1", (1, 27)), ("devel", ())],
)
def test_versions_are_compared_as_numbers(words: str, version: tuple[int, ...]) -> None:
    assert toolchain.parse(words) == version


def test_the_newest_module_decides_which_go_is_enough(source: build.Source) -> None:
    assert toolchain.required([source.folder, ROOT / "devcluster" / "runtime"]) >= (1, 26)


def test_the_wheel_is_the_one_that_pyproject_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["dependency-groups"]["go"] == [toolchain.REQUIREMENT]


def test_a_program_that_is_no_compiler_has_no_version(tmp_path: Path) -> None:
    assert toolchain.version_of(tmp_path / "go") is None


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_in_a_log_is_a_line_every_few_seconds() -> None:
    now = [0.0]
    log = io.StringIO()
    with Progress("compiling", total=4, stream=log, clock=lambda: now[0]) as progress:
        for _ in range(3):
            now[0] += 6
            progress.step()
    assert log.getvalue().splitlines() == [
        "devcluster: compiling: 0 of 4 packages, 0 s",
        "devcluster: compiling: 2 of 4 packages, 12 s",
        "devcluster: compiling: 3 of 4 packages, 18 s",
    ]


def test_progress_tells_the_time_left_when_it_can() -> None:
    now = [0.0]
    terminal = Terminal()
    progress = Progress("compiling", total=1100, done=100, stream=terminal, clock=lambda: now[0])
    for _ in range(500):
        now[0] += 0.5
        progress.step()
    assert progress.words() == ("compiling: 600 of 1100 packages, 4 min 10 s, some 4 min 10 s left")
    assert "[####" in terminal.getvalue()
