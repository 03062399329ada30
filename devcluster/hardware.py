"""
Let a Node claim more (or less) CPU and memory than this machine has.

A kubelet reports what it finds, and there is no setting for it. A laptop would be a Node on which
the catalog's large flavors never fit. So the files in which it looks are others in its enclosure:
/proc/meminfo with another total, and a CPU topology with as many cores as are claimed. The scheduler
then accounts for a machine of that size; processes share what there really is.

The files are those that cadvisor reads (its machine and sysinfo packages, v0.53); a kubelet that
looked elsewhere would report the real figures, and a test says so.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from .quantities import amount

if TYPE_CHECKING:
    from .inventory import Node

_MEMINFO = Path("/proc/meminfo")
_TOPOLOGY = "/sys/devices/system/node"
_ONLINE = "/sys/devices/system/cpu/online"


def binds(node: Node, folder: Path) -> tuple[tuple[Path, str], ...]:
    """Write files that claim what *node* says below *folder*; return what lies where."""
    folder.mkdir(mode=0o755, exist_ok=True)
    laid: list[tuple[Path, str]] = []
    memory = _MEMINFO.read_text("ascii")
    if node.memory is not None:
        memory = with_total(memory, int(amount(node.memory)))
        meminfo = folder / "meminfo"
        meminfo.write_text(memory, "ascii")
        laid.append((meminfo, str(_MEMINFO)))
    if node.cpu is not None:
        online = folder / "online"
        online.write_text(f"0-{node.cpu - 1}\n", "ascii")
        laid.append((topology(folder / "topology", cpus=node.cpu, memory=memory), _TOPOLOGY))
        laid.append((online, _ONLINE))
    return tuple(laid)


def with_total(meminfo: str, total_bytes: int) -> str:
    """Return the text of a /proc/meminfo with another total."""
    return re.sub(
        r"(?m)^(MemTotal:\s*)\d+", lambda line: f"{line[1]}{total_bytes // 1024}", meminfo
    )


def topology(folder: Path, *, cpus: int, memory: str) -> Path:
    """Make a /sys/devices/system/node in *folder*: one socket with *cpus* cores."""
    shutil.rmtree(folder, ignore_errors=True)
    for cpu in range(cpus):
        core = folder / "node0" / f"cpu{cpu}" / "topology"
        core.mkdir(parents=True)
        (core / "core_id").write_text(f"{cpu}\n", "ascii")
        (core / "physical_package_id").write_text("0\n", "ascii")
    (folder / "node0" / "hugepages").mkdir()
    (folder / "node0" / "distance").write_text("10\n", "ascii")
    (folder / "node0" / "meminfo").write_text(re.sub(r"(?m)^", "Node 0 ", memory), "ascii")
    return folder
