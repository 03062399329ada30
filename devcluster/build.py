"""
Compile the Go programs once per user, and find them ever after: two that are the cluster; Helm and Kueue where wanted.

They lie in a cache keyed by what they are made of: every file of the module that can change the
program, the flags, the platform. So each clone and branch with the same sources shares them, and a
changed line is a new key. A finished program appears in one step; two builds at once cannot
collide, the second waits for the first and says so.

The compiler's own caches (some 3.5 GB) lie beside them until the build has succeeded, which makes a
build that was broken off resumable, and are removed then, unless told to keep them. Everything that
the environment says about where modules come from is respected (GOPROXY and its kin); nothing else
of it can change the program. The flags are explained in docs/decisions/0002-building-kubernetes.md.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from . import toolchain
from .errors import ExitCode, Trouble
from .layout import require_room
from .progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .toolchain import Toolchain

FLAGS: Final = ("-trimpath", "-buildvcs=false")
"""Of every build: the same program wherever the clone lies, and no call of git."""

_STRIPPED = "-s -w"
_LDFLAGS = "ldflags"
"""A file of the module with one linker flag a line; without it only `_STRIPPED`."""

_GCFLAGS = "gcflags"
"""A file of the module with the compiler's flags, if it wants any."""

_NOT_COMPILED = ("_test.go", ".md")

_STALE_SECONDS = 30 * 24 * 3600
"""Programs that nobody started for so long are removed after a build."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a build from nothing takes (measured, decision 0002)."""

    disk_bytes: int
    cpu_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A Go module that becomes a program."""

    name: str
    folder: Path
    cost: Cost

    package: str = "."
    """What is built: the module itself, or a program of a module that it names as a tool."""

    beside: tuple[str, str] | None = None
    """A module, and a folder of it that is kept beside the program."""

    @property
    def linker_flags(self) -> str:
        """Flags of the linker, which also carry the version that the program tells."""
        with contextlib.suppress(FileNotFoundError):
            return " ".join((self.folder / _LDFLAGS).read_text("utf-8").split())
        return _STRIPPED

    @property
    def flags(self) -> tuple[str, ...]:
        """Flags of `go list` and `go build`, which must be the same to find what is compiled."""
        with contextlib.suppress(FileNotFoundError):
            return (*FLAGS, f"-gcflags={(self.folder / _GCFLAGS).read_text('utf-8').strip()}")
        return FLAGS

    def key(self) -> str:
        """Return a digest of everything that makes the program what it is."""
        digest = hashlib.sha256()
        flags = (*self.flags, self.linker_flags, platform.system(), platform.machine())
        digest.update("\0".join(flags).encode())
        for path in sorted(self.folder.rglob("*")):
            relative = path.relative_to(self.folder)
            if not path.is_file() or "testdata" in relative.parts:
                continue
            if not relative.name.endswith(_NOT_COMPILED):
                digest.update(f"\0{relative}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()[:20]


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """Where the compiled programs are."""

    kube: Path
    runtime: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class GoCache:
    """Where the compiler keeps what it has compiled and downloaded."""

    compiled: Path
    modules: Path

    is_ours: bool
    """Whether it may be removed."""


_HERE = Path(__file__).resolve().parent

SOURCES: Final = (
    Source(
        name="kube",
        folder=_HERE / "kubernetes",
        cost=Cost(disk_bytes=3_500_000_000, cpu_seconds=480),
    ),
    Source(
        name="runtime",
        folder=_HERE / "runtime",
        cost=Cost(disk_bytes=300_000_000, cpu_seconds=40),
    ),
)

HELM: Final = Source(
    name="helm",
    folder=_HERE / "helm",
    cost=Cost(disk_bytes=1_500_000_000, cpu_seconds=230),
)
"""What installs the chart; compiled when somebody wants that."""

KUEUE: Final = Source(
    name="kueue",
    folder=_HERE / "kueue",
    cost=Cost(disk_bytes=2_500_000_000, cpu_seconds=600),
    package="sigs.k8s.io/kueue/cmd/kueue",
    beside=("sigs.k8s.io/kueue", "config/components"),
)
"""What admits Pods by queue, for the tests of that engine; with its definitions (CRDs) beside it."""


def cache_folder() -> Path:
    """Return the folder of everything that is compiled."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "eugo" / "devcluster"


def provide(*, keep: bool, report: Callable[[str], None]) -> Programs:
    """
    Return the programs, compiled if need be.

    `EUGO_DEVCLUSTER_PROGRAMS` names a folder that has them ready, for machines without a compiler.

    Args:
        keep: Leave the compiler's caches for the next build.

        report: Told in a line what is going on.

    Raises:
        Trouble: They cannot be compiled; says what to do.
    """
    ready = os.environ.get("EUGO_DEVCLUSTER_PROGRAMS")
    if ready:
        return _ready_made(Path(ready).absolute())
    found = _provided(SOURCES, keep=keep, report=report)
    return Programs(kube=found["kube"], runtime=found["runtime"])


def provide_helm(*, keep: bool, report: Callable[[str], None]) -> Path:
    """
    Return Helm, compiled if need be; as `provide`.

    `EUGO_HELM` names one that is ready.
    """
    if ready := os.environ.get("EUGO_HELM"):
        return Path(ready).absolute()
    return _provided((HELM,), keep=keep, report=report)["helm"]


def provide_kueue(*, keep: bool, report: Callable[[str], None]) -> Path:
    """
    Return Kueue, compiled if need be; as `provide`. Beside it lie its definitions, in `components`.

    `EUGO_KUEUE` names one that is ready.
    """
    if ready := os.environ.get("EUGO_KUEUE"):
        return Path(ready).absolute()
    return _provided((KUEUE,), keep=keep, report=report)["kueue"]


def _provided(
    sources: tuple[Source, ...], *, keep: bool, report: Callable[[str], None]
) -> dict[str, Path]:
    cache = cache_folder()
    targets = {source: cache / source.key() / source.name for source in sources}
    if not all(target.exists() for target in targets.values()):
        try:
            cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Trouble(
                problem=f"The cache folder {cache} cannot be made: {error.strerror}.",
                remedy="Set XDG_CACHE_HOME to a folder that you may write.",
            ) from error
        with _locked(cache / "lock", report):
            _compile_missing(targets, cache=cache, keep=keep, report=report)
    for target in targets.values():
        with contextlib.suppress(OSError):
            os.utime(target)  # when it was used last
    return {source.name: target for source, target in targets.items()}


def environment(go: Toolchain, cache: GoCache) -> dict[str, str]:
    """Return the compiler's environment: ours, with what could change the program pinned."""
    pinned = {
        "CGO_ENABLED": "0",
        "GO111MODULE": "on",
        "GOCACHE": str(cache.compiled),
        "GOENV": "off",
        "GOEXPERIMENT": "",
        "GOFLAGS": "",
        "GOMODCACHE": str(cache.modules),
        # A wheel's program does not know where it lies.
        "GOROOT": str(go.go.resolve().parent.parent),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
    # `go env -w` is switched off, so what it would say about the origin of modules is handed on.
    written = _written_settings(go)
    return {**written, **os.environ, **pinned}


def go_cache(cache: Path) -> GoCache:
    """
    Return where the compiler works.

    `EUGO_GO_CACHE` names a folder with `gocache` and `gomodcache` that is used and left alone.
    """
    own = os.environ.get("EUGO_GO_CACHE")
    folder = Path(own).absolute() if own else cache / "build"
    return GoCache(compiled=folder / "gocache", modules=folder / "gomodcache", is_ours=own is None)


def _compile_missing(
    targets: dict[Source, Path], *, cache: Path, keep: bool, report: Callable[[str], None]
) -> None:
    # Another build may have made some while we waited for the lock.
    missing = {source: target for source, target in targets.items() if not target.exists()}
    if not missing:
        return
    caches = go_cache(cache)
    go = toolchain.find(
        toolchain.required(source.folder for source in missing), cache=cache, report=report
    )
    is_fresh = not caches.compiled.exists()
    if is_fresh:
        _announce(missing, caches, keep=keep, report=report)
    for source, target in missing.items():
        _compile(source, target, go=go, caches=caches)
        report(f"{source.name} is compiled: {target}")
    if caches.is_ours and not keep:
        report("removing the compiler's caches (--keep-build would keep them)")
        remove_tree(cache / "build")
        remove_tree(cache / "toolchain")
    _remove_stale(cache, keep=set(targets.values()))


def _announce(
    missing: dict[Source, Path], caches: GoCache, *, keep: bool, report: Callable[[str], None]
) -> None:
    disk = sum(source.cost.disk_bytes for source in missing)
    minutes = sum(source.cost.cpu_seconds for source in missing) / 60 / (os.cpu_count() or 1)
    folder = caches.compiled.parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    require_room(folder, wanted=disk, purpose="the build")
    after = (
        "most of which stays (you asked for it)"
        if keep or not caches.is_ours
        else "of which 0.2 GB stay afterwards"
    )
    report(
        f"compiling {' and '.join(source.name for source in missing)}, once per user: "
        f"some {max(1, round(minutes))} min on this machine, {disk / 1e9:.1f} GB of disk below "
        f"{folder}, {after}; Ctrl-C breaks off, the next start goes on from there"
    )


def _compile(source: Source, target: Path, *, go: Toolchain, caches: GoCache) -> None:
    """Compile *source* into *target*, with progress."""
    variables = environment(go, caches)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with Progress(f"fetching modules of {source.name}", total=0) as progress:
        listed = _go(
            go, "list", *source.flags, "-deps", "-f={{.Stale}}", source.package,
            source=source, variables=variables, progress=progress, counted="go: downloading",
        )  # fmt: skip
    stale = listed.count("true")
    try:
        with Progress(
            f"compiling {source.name}", total=len(listed), done=len(listed) - stale
        ) as progress:
            _go(
                go, "build", *source.flags, "-v", f"-ldflags={source.linker_flags}", f"-o={draft}",
                source.package, source=source, variables=variables, progress=progress, counted="",
            )  # fmt: skip
            _copy_beside(source, target, go=go, variables=variables, progress=progress)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def _copy_beside(
    source: Source, target: Path, *, go: Toolchain, variables: dict[str, str], progress: Progress
) -> None:
    if source.beside is None:
        return
    module, folder = source.beside
    found = _go(
        go, "list", "-m", "-f={{.Dir}}", module,
        source=source, variables=variables, progress=progress, counted="go: downloading",
    )  # fmt: skip
    kept = target.parent / Path(folder).name
    remove_tree(kept)
    shutil.copytree(Path(" ".join(found)) / folder, kept, copy_function=shutil.copyfile)
    for place in (kept, *kept.rglob("*")):
        place.chmod(0o700 if place.is_dir() else 0o600)


def _go(
    go: Toolchain, *arguments: str, source: Source, variables: dict[str, str],
    progress: Progress, counted: str,
) -> list[str]:  # fmt: skip
    """
    Run the compiler; return the words of its standard output.

    Lines of its standard error that begin with *counted* and name a package are steps.
    """
    # Dies with us: a build that nobody waits for would keep two cores busy for minutes.
    dying = ("setpriv", "--pdeathsig", "TERM", "--") if shutil.which("setpriv") else ()
    process = subprocess.Popen(
        [*dying, str(go.go), *arguments],
        cwd=source.folder,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    said: list[str] = []
    with process:
        try:
            # Standard output is one word a package, far less than a pipe holds until the end.
            for line in _lines(process.stderr):
                if line.startswith(counted) and not _is_complaint(line):
                    progress.step()
                else:
                    said.append(line.rstrip())
            words = "".join(_lines(process.stdout)).split()
        except BaseException:
            process.terminate()
            raise
    if process.returncode != 0:
        raise _failure(source, said)
    return words


def _lines(pipe: IO[str] | None) -> Iterable[str]:
    return () if pipe is None else pipe


def _is_complaint(line: str) -> bool:
    """Tell whether a line of `go build -v` is more than the path of a package."""
    return not line.startswith("go: downloading") and (" " in line.strip() or line[:1] in "#.")


def _failure(source: Source, said: list[str]) -> Trouble:
    text = "\n".join(f"    {line}" for line in said[-15:])
    lowered = text.lower()
    if any(word in lowered for word in ("no space left", "disk quota exceeded")):
        remedy = "Free some of the disk, then start again: it goes on from there."
    elif any(
        word in lowered
        for word in ("dial tcp", "no such host", "i/o timeout", "connection refused", "proxyconnect",
                     "certificate", "tls:", "502", "503", "504")
    ):  # fmt: skip
        remedy = (
            "The modules could not be downloaded: check the network and GOPROXY, "
            "then start again: it goes on from there."
        )
    else:
        remedy = "Mend the sources, or report this."
    return Trouble(
        problem=f"{source.name} cannot be compiled. {remedy}", remedy=f"Go says:\n{text}",
        exit_code=ExitCode.MACHINE,
    )  # fmt: skip


def _ready_made(folder: Path) -> Programs:
    programs = Programs(kube=folder / "kube", runtime=folder / "runtime")
    for program in (programs.kube, programs.runtime):
        if not os.access(program, os.X_OK):
            raise Trouble(
                problem=f"EUGO_DEVCLUSTER_PROGRAMS: {program} is no program.",
                remedy="Name a folder that holds kube and runtime, or unset the variable.",
                exit_code=ExitCode.MISTAKE,
            )
    return programs


def _written_settings(go: Toolchain) -> dict[str, str]:
    names = ("GOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE", "GONOPROXY", "GOINSECURE", "GOAUTH")
    answer = subprocess.run(
        [str(go.go), "env", *names],
        env={**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": ""},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    values = answer.stdout.split("\n")
    return {name: value for name, value in zip(names, values, strict=False) if value}


@contextlib.contextmanager
def _locked(path: Path, report: Callable[[str], None]) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("another build of the same user is under way; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _remove_stale(cache: Path, *, keep: set[Path]) -> None:
    for source in SOURCES:
        for program in cache.glob(f"*/{source.name}"):
            unused = time.time() - program.stat().st_mtime  # noqa: TID251  # against a file's time
            if program not in keep and unused > _STALE_SECONDS:
                remove_tree(program.parent)


def remove_tree(folder: Path) -> None:
    """Remove *folder*; Go makes the files of modules read-only, and their folders too."""
    for place, _, _ in os.walk(folder):
        with contextlib.suppress(OSError):
            Path(place).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
