"""A machine that forbids namespaces is told apart, with the command that allows them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from devcluster import enclosure, hardware, identities, node
from devcluster.inventory import Node

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("setting", "value", "user", "remedy"),
    [
        ("kernel/apparmor_restrict_unprivileged_userns", "1", True,
         "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
        ("kernel/unprivileged_userns_clone", "0", True,
         "sudo sysctl -w kernel.unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "0", True, "sudo sysctl -w user.max_user_namespaces=16384"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", False, "--kubeconfig FILE"),
        ("kernel/other", "0", True, "Run as root"),
    ],
    ids=["apparmor", "clone", "maximum", "root", "unknown"],
)  # fmt: skip
def test_what_forbids_it_decides_the_remedy(
    tmp_path: Path, setting: str, value: str, user: bool, remedy: str
) -> None:
    file = tmp_path / "proc" / "sys" / setting
    file.parent.mkdir(parents=True)
    file.write_text(f"{value}\n")
    trouble = node.refusal("unshare: Operation not permitted", user=user, machine=tmp_path)
    assert remedy in trouble.remedy
    assert "Operation not permitted" in trouble.problem


def test_the_view_has_files_of_its_own_where_a_kubelet_writes(tmp_path: Path) -> None:
    view = node.prepare_view(tmp_path)
    targets = {target for _, target in view.binds}
    assert {"/var/log", "/var/lib/kubelet", "/proc/sys/kernel/panic"} <= targets
    assert all(source.exists() for source, _ in view.binds)


async def test_an_enclosure_that_cannot_be_opened_says_which_step_failed(tmp_path: Path) -> None:
    view = node.View(hold=tmp_path, binds=((tmp_path / "not-there", "/var/log"),))
    mapping = identities.Mapping() if node.needs_user_namespace() else None
    closed = node.Enclosure(view=view, mapping=mapping, log=tmp_path / "log")
    with pytest.raises(Exception, match=r"mount .*not-there on /var/log"):
        await closed.open()


async def test_an_enclosure_ends_with_everything_in_it(tmp_path: Path) -> None:
    mapping = identities.Mapping() if node.needs_user_namespace() else None
    opened = node.Enclosure(view=node.prepare_view(tmp_path), mapping=mapping, log=tmp_path / "l")
    await opened.open()
    assert opened.init is not None
    await opened.close()
    assert opened.init is None
    with pytest.raises(RuntimeError, match="not open"):
        opened.entering()


@pytest.mark.parametrize("killed", [False, True], ids=["closed in order", "left by a kill"])
async def test_programs_inside_are_asked_to_end_unless_who_held_them_was_killed(
    tmp_path: Path, killed: bool
) -> None:
    """Asked, a server ends with 0: after kill -9 of everything it then had "wanted" to end."""
    mapping = identities.Mapping() if node.needs_user_namespace() else None
    opened = node.Enclosure(view=node.prepare_view(tmp_path), mapping=mapping, log=tmp_path / "l")
    await opened.open()
    asked = tmp_path / "asked"
    script = 'trap "touch $1; exit 0" TERM; echo ready; while :; do sleep 0.01; done'
    program = await asyncio.create_subprocess_exec(
        *opened.entering(), "sh", "-c", script, "sh", str(asked), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(20):
        assert program.stdout is not None
        assert await program.stdout.readline() == b"ready\n"
        if killed:
            assert opened._process is not None
            assert opened._process.stdin is not None
            opened._process.stdin.close()
            await opened.closed()
        else:
            await opened.close()
        await program.wait()
    assert asked.exists() is not killed


def test_a_grace_is_short_enough_for_people() -> None:
    assert enclosure.GRACE_SECONDS <= 5


def test_a_range_is_found_by_name_or_number_and_must_suffice() -> None:
    lines = ["# who", "else:1:99999", "ada:100000:10", "ada:200000:65536", "7:300000:65536"]
    by_name = identities.granted(lines, name="ada", number=1)
    by_number = identities.granted(lines, name="bob", number=7)
    assert by_name == identities.Range(start=200000, count=65536)
    assert by_number == identities.Range(start=300000, count=65536)
    assert identities.granted(lines, name="carol", number=8) is None


def test_a_mapping_is_kept_with_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = identities.Range(start=1, count=65536)
    monkeypatch.setattr(
        identities, "available", lambda: identities.Mapping(users=given, groups=given)
    )
    first = identities.chosen(tmp_path / "kept")
    monkeypatch.setattr(identities, "available", identities.Mapping)
    assert identities.chosen(tmp_path / "kept") == first
    assert first.has_ranges


def test_a_node_may_claim_more_than_the_machine_has(tmp_path: Path) -> None:
    laid = {
        target: source
        for source, target in hardware.binds(Node(cpu=3, memory="2Gi"), tmp_path / "hardware")
    }
    assert laid["/proc/meminfo"].read_text().split()[:3] == ["MemTotal:", "2097152", "kB"]
    assert laid["/sys/devices/system/cpu/online"].read_text() == "0-2\n"
    cores = sorted((laid["/sys/devices/system/node"] / "node0").glob("cpu*"))
    assert [core.name for core in cores] == ["cpu0", "cpu1", "cpu2"]


def test_a_node_that_claims_nothing_is_the_machine(tmp_path: Path) -> None:
    assert hardware.binds(Node(), tmp_path / "hardware") == ()


def test_a_container_that_forbids_it_is_recognised(tmp_path: Path) -> None:
    (tmp_path / ".dockerenv").touch()
    assert "--privileged" in node.refusal("unshare", user=False, machine=tmp_path).remedy
