import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from scripts.local import processes

DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); "


async def a_child(tmp_path: Path, code: str, *, grace_seconds: float = 5) -> processes.Child:
    child = await processes.start(
        [sys.executable, "-c", code],
        name="test",
        log=tmp_path / "log",
        environment=os.environ,
        output=asyncio.subprocess.PIPE,
        folder=tmp_path,
        grace_seconds=grace_seconds,
    )
    assert await child.process.stdout.readline() == b"up\n"
    return child


async def test_a_child_that_hears_ends_when_asked(tmp_path):
    child = await a_child(tmp_path, "import time; print('up', flush=True); time.sleep(60)")
    await child.stop(hurry=asyncio.Event())
    assert child.process.returncode == -15


async def test_a_child_that_hangs_is_killed_when_its_grace_is_over(tmp_path):
    child = await a_child(tmp_path, DEAF + "time.sleep(60)", grace_seconds=0.2)
    await child.stop(hurry=asyncio.Event())
    assert child.process.returncode == -9


async def test_hurry_does_not_wait_for_the_grace(tmp_path):
    child = await a_child(tmp_path, DEAF + "time.sleep(60)", grace_seconds=60)
    hurry = asyncio.Event()
    hurry.set()
    began = time.monotonic()
    await child.stop(hurry=hurry)
    assert time.monotonic() - began < 5


async def test_an_orphan_in_a_session_of_its_own_is_swept():
    """In a process of its own: a subreaper stays one, and this process has other children."""
    orphaning = (
        "import subprocess, sys\n"
        f"subprocess.Popen([sys.executable, '-c', {DEAF + 'time.sleep(60)'!r}],"
        " start_new_session=True).stdout\n"
        "import time; time.sleep(0.5)"
    )
    code = (
        "import asyncio, subprocess, sys\n"
        "from scripts.local import processes\n"
        "processes.become_subreaper()\n"
        f"subprocess.run([sys.executable, '-c', {orphaning!r}])\n"
        "swept = asyncio.run(processes.sweep())\n"
        "import os\n"
        "print(len(swept), list(processes.descendants(os.getpid())))"
    )
    done = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await done.communicate()
    assert said.split(b"\n")[-2] == b"1 []"


async def test_a_child_dies_when_the_demo_is_killed():
    code = (
        "import asyncio, os, pathlib, sys\n"
        "from scripts.local import processes\n"
        "async def main():\n"
        "    child = await processes.start(['sleep', '60'], name='x', log=pathlib.Path('x'),"
        " environment=os.environ, output=asyncio.subprocess.PIPE, folder=pathlib.Path('/'),"
        " grace_seconds=1)\n"
        "    print(child.process.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())"
    )
    demo = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    pid = int(await demo.stdout.readline())
    await asyncio.sleep(0.2)  # until setpriv has become the program
    demo.kill()
    await demo.wait()
    assert await asyncio.to_thread(ends, pid, seconds=5)


def ends(pid: int, *, seconds: float) -> bool:
    """Tell whether the process ends in time; a zombie has ended, whoever buries it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("lines", [0, 3, 100])
def test_the_tail_of_a_log_is_its_last_lines(tmp_path, lines):
    (tmp_path / "log").write_text("".join(f"line {number}\n" for number in range(lines)))
    shown = processes.tail(tmp_path / "log").split("\n")
    assert shown[-1] == (f"    line {lines - 1}" if lines else "")
    assert len(shown) <= 15


def test_a_log_that_is_not_there_has_no_tail(tmp_path):
    assert processes.tail(tmp_path / "none") == ""
