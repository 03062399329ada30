"""
B6: an export's archive against Info-ZIP, its memory, and what it does to the loop that sends it.

    .venv/bin/python bench/export_archive.py [--repeats 5] [--large-gb 10]

Files are what people have: notebooks with pictures, tables, models, text; the same each time. Ours is
`exporter.archive` in a process of its own that writes to a pipe, from the moment it begins to look at the volume: in the
Pod it has started long before. The peer is `zip -0` (nothing deflated) and `zip -1` in the same folder, to a pipe as well. Ours hashes every byte with SHA-256 on the way, zip does not. *Memory* is the
largest resident size of the exporter as the Pod runs it, asked over HTTP for some 100 MB and for as much as
--large-gb says. *Stall* is by how much a timer of 5 ms is late in the process that sends, the exporter's and the
service's, while an archive passes. Before the figures count, what was made opens with Info-ZIP and has every file.

Goals: twice as fast as `zip -0`, 2.5 times as fast as `zip -1`, no more than 2 % larger than it; 64 MiB at most, and
for the large no more than 1.05 times that for the small; a stall of 20 ms in one of a hundred at most.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import hashlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import aiohttp  # noqa: E402

from hub_services.export.exporter.terms import ADDRESS, TOKEN, VOLUMES  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MB: Final = 1_000_000
#: As of the facts: a mix of some 445 MB.
MIX_MB: Final = 445
SMALL_MB: Final = 100
GOALS: Final = {"stored": 2.0, "deflated": 2.5}
_TICK: Final = 0.005
_OURS: Final = """
import os, sys, time
from datetime import UTC, datetime
from hub_services.export.exporter import archive, tree
began = time.perf_counter()
with tree.opened(sys.argv[1]) as root:
    choice = tree.Choice(notebooks=False)
    found = tree.survey(root, choice)
    volume = archive.Volume(name="home", root=root, choice=choice, within=found.within)
    made = archive.archive(
        [volume], archive.Progress(), about={}, now=datetime(2026, 11, 27, tzinfo=UTC),
        fast=sys.argv[2] == "stored",
    )
    for chunk in made:
        os.write(1, chunk)
print(time.perf_counter() - began, file=sys.stderr)
"""


def fill(folder: Path, size: int) -> None:
    """Write files of *size* bytes together, a quarter of each kind."""
    chance = random.Random(6)
    words = [
        "".join(chance.choices("abcdefghijklmnopqrstuvwxyz_", k=chance.randint(2, 9)))
        for _ in range(3000)
    ]
    written = number = 0
    while written < size:
        name, content = _file(chance, words, number)
        path = folder / f"folder-{number % 17}" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        written += len(content)
        number += 1


def _file(chance: random.Random, words: list[str], number: int) -> tuple[str, bytes]:
    match number % 4:
        case 0:
            picture = base64.b64encode(chance.randbytes(60_000)).decode()
            table = "".join(f"<tr><td>{chance.random()}</td></tr>" for _ in range(800))
            output = {"data": {"image/png": picture, "text/html": table}}
            source = " ".join(chance.choices(words, k=300))
            cells = [{"cell_type": "code", "source": source, "outputs": [output]} for _ in range(6)]
            return f"{number}.ipynb", json.dumps({"cells": cells}, indent=1).encode()
        case 1:
            rows = (
                f"{chance.random():.6f},{chance.randint(0, 999)},{chance.choice(words)}"
                for _ in range(40_000)
            )
            return f"{number}.csv", "\n".join(rows).encode()
        case 2:
            return f"{number}.safetensors", chance.randbytes(1 << 20)
        case _:
            return f"{number}.md", " ".join(chance.choices(words, k=60_000)).encode()


def piped(command: list[str], cwd: Path) -> tuple[float, int]:
    """
    Return how long *command* takes to write to a pipe, in seconds, and how many bytes it writes.

    One that prints a number to standard error has measured it itself.
    """
    began = time.perf_counter()
    with subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_environment()
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        size = 0
        buffer = bytearray(1 << 20)
        while read := process.stdout.readinto(buffer):  # type: ignore[attr-defined]
            size += read
        told = process.stderr.read()
    assert process.returncode == 0, (command, told)
    return float(told) if told else time.perf_counter() - began, size


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


def ours(folder: Path, how: str) -> list[str]:
    """Return the command that writes our archive."""
    return [sys.executable, "-c", _OURS, str(folder), how]


def check(folder: Path) -> None:
    """See that Info-ZIP finds all files in ours, whole."""
    with tempfile.TemporaryDirectory() as place:
        for how in GOALS:
            path = Path(place) / "ours.zip"
            with path.open("wb") as out:
                subprocess.run(
                    ours(folder, how),
                    stdout=out,
                    stderr=subprocess.DEVNULL,
                    env=_environment(),
                    check=True,
                )
            subprocess.run(["unzip", "-tq", path], check=True, stdout=subprocess.DEVNULL)
            target = Path(place) / how
            subprocess.run(["unzip", "-q", path, "-d", target], check=True)
            subprocess.run(["diff", "-r", folder, target / "home"], check=True)
            shutil.rmtree(target)


@contextlib.contextmanager
def exporter(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run the exporter as its Pod does; give the process and its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = _environment() | {
        TOKEN: hashlib.sha256(b"token").hexdigest(),
        VOLUMES: json.dumps({"home": str(folder)}),
        ADDRESS: address,
    }
    command = [sys.executable, "-m", "hub_services.export.exporter"]
    with subprocess.Popen(command, env=environment) as process:
        try:
            yield process, address
        finally:
            process.terminate()


async def late(stalls: list[float]) -> None:
    """Note by how much each tick of this loop is late, in seconds."""
    while True:
        expected = time.perf_counter() + _TICK
        await asyncio.sleep(_TICK)
        stalls.append(time.perf_counter() - expected)


async def fetched(address: str, sink: Callable[[bytes], Any]) -> tuple[int, list[float]]:
    """Fetch the archive as the service does; return its size, and the stalls of this loop."""
    stalls: list[float] = []
    ticking = asyncio.create_task(late(stalls))
    size = 0
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer token"}) as session:
        await _answering(session, address)
        body = {
            "choices": {"home": {"folder": "", "notebooks": False}},
            "at": "2026-11-27T00:00:00Z",
        }
        async with session.post(f"http://{address}/v1/survey", json=body) as answer:
            assert answer.ok, await answer.text()
        async with session.post(
            f"http://{address}/v1/archive", json=body, timeout=aiohttp.ClientTimeout(total=None)
        ) as answer:
            async for chunk in answer.content.iter_chunked(1 << 18):
                sink(chunk)
                size += len(chunk)
    ticking.cancel()
    return size, stalls


async def _answering(session: aiohttp.ClientSession, address: str) -> None:
    for _ in range(200):
        with contextlib.suppress(aiohttp.ClientError):
            async with session.get(f"http://{address}/v1/progress"):
                return
        await asyncio.sleep(0.05)


async def probed(address: str, stalls: list[float]) -> None:
    """Note how long the exporter takes to say how far it is, which its loop answers between chunks."""
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer token"}) as session:
        while True:
            began = time.perf_counter()
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(f"http://{address}/v1/progress") as answer:
                    await answer.read()
                    stalls.append(time.perf_counter() - began)
            await asyncio.sleep(_TICK)


def peak(process: subprocess.Popen[bytes]) -> float:
    """Return the largest resident size of *process* so far, in MiB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def served(folder: Path) -> dict[str, float]:
    """Return peak memory in MiB, and stalls in ms of a hundredth, of an export through the exporter."""

    async def run(address: str) -> tuple[list[float], list[float]]:
        answers: list[float] = []
        probing = asyncio.create_task(probed(address, answers))
        _, stalls = await fetched(address, lambda _: None)
        probing.cancel()
        return stalls, answers

    with exporter(folder) as (process, address):
        stalls, answers = asyncio.run(run(address))
        return {
            "rss": peak(process),
            "stall": quantiles(stalls, n=100)[98] * 1000,
            "answer": quantiles(answers, n=100)[98] * 1000,
        }


def spread(values: list[float], digits: int = 2) -> str:
    """Return the middle of *values*, the least and the most."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def main() -> None:
    """Measure, and print the tables of docs/reference/benchmarks.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--large-gb", type=float, default=10)
    parser.add_argument(
        "--folder", type=Path, help="where files are made; default: the system's for temporary ones"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        mix = Path(place) / "mix"
        mix.mkdir()
        fill(mix, MIX_MB * MB)
        check(mix)
        print("| archive | ours, MB/s | zip, MB/s | ratio | goal | size, ours to zip's |")
        print("|---|---|---|---|---|---|")
        total = sum(each.stat().st_size for each in mix.rglob("*") if each.is_file()) / MB
        for how, level in (("stored", "-0"), ("deflated", "-1")):
            mine, theirs, sizes = [], [], []
            for _ in range(options.repeats):
                seconds, size = piped(ours(mix, how), mix)
                peer_seconds, peer_size = piped(["zip", "-q", level, "-r", "-", "."], mix)
                mine.append(total / seconds)
                theirs.append(total / peer_seconds)
                sizes.append(size / peer_size)
            ratios = [one / other for one, other in zip(mine, theirs, strict=True)]
            print(
                f"| {how} | {spread(mine, 0)} | {spread(theirs, 0)} | {spread(ratios)} | {GOALS[how]} | "
                f"{median(sizes):.3f} |"
            )
        small, large, many = (Path(place) / name for name in ("small", "large", "many"))
        for each in (small, large, many):
            each.mkdir()
        fill(small, SMALL_MB * MB)
        times = round(options.large_gb * 1000 / SMALL_MB)
        for path in sorted(small.rglob("*.*")):
            with (large / path.name).open("wb") as out:
                for _ in range(times):
                    out.write(path.read_bytes())
        copies = round(options.large_gb * 1000 / MIX_MB)
        for number in range(copies):
            shutil.copytree(mix, many / str(number))
        print(
            "\n| files | memory, MiB | stall of the service's loop, ms | answer of the exporter meanwhile, ms |"
        )
        print("|---|---|---|---|")
        for folder in (small, large, many):
            found = [served(folder) for _ in range(options.repeats if folder is small else 1)]
            sizes = [each.stat().st_size for each in folder.rglob("*") if each.is_file()]
            columns = " | ".join(
                spread([each[name] for each in found], 1) for name in ("rss", "stall", "answer")
            )
            print(f"| {sum(sizes) / 1e9:.1f} GB in {len(sizes):,} files | {columns} |", flush=True)


if __name__ == "__main__":
    main()
