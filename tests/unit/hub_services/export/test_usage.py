"""What a volume holds is what `du` says, and what could go is named (F84, F86)."""

import os
import random
import subprocess

import pytest

from hub_services.export.exporter import usage
from hub_services.export.exporter.tree import DEEPEST
from hub_services.export.exporter.usage import Kind
from tests.unit.hub_services.export.trees import Tree

MIB = 1 << 20


@pytest.fixture
def volume(tmp_path):
    """Give a volume, and a function that measures it."""
    place = tmp_path / "volume"
    place.mkdir()
    return place


def measure(place, **words):
    root = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        before = set(os.listdir("/proc/self/fd"))
        found = usage.measure(root, **words)
        assert set(os.listdir("/proc/self/fd")) == before, "descriptors were left open"
        return found
    finally:
        os.close(root)


def du(place):
    """Return what `du` counts, in bytes."""
    said = subprocess.run(
        ["du", "--summarize", "--one-file-system", "--block-size=1", "--", place],
        capture_output=True, check=True, text=True,
    )  # fmt: skip
    return int(said.stdout.split("\t")[0])


def fill(path, size=2 * MIB):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(random.Random(1).randbytes(size))  # noqa: S311 - no secret


def culprits(found):
    return {each.path.decode(): each.kind for each in found.culprits}


@pytest.mark.parametrize("seed", range(40))
def test_it_is_what_du_says_whatever_the_tree(tmp_path, seed):
    tree = Tree(tmp_path, seed)
    found = measure(tree.volume, smallest=0)
    assert found.size == du(tree.volume)
    assert found.unreadable == 0
    inside = sum(size for _, size in found.folders)
    if len(os.listdir(tree.volume)) <= usage.LARGEST:
        assert inside + os.stat(tree.volume).st_blocks * 512 == found.size


def test_a_file_with_holes_counts_what_it_takes_and_one_with_two_names_once(volume):
    with (volume / "sparse").open("wb") as sparse:
        sparse.truncate(64 * MIB)
    fill(volume / "one", MIB)
    (volume / "two").hardlink_to(volume / "one")
    found = measure(volume)
    assert MIB <= found.size < 2 * MIB
    assert found.files == 2
    assert found.size == du(volume)


def test_links_are_not_followed_wherever_they_lead(volume, tmp_path):
    fill(tmp_path / "elsewhere/large", 8 * MIB)
    (volume / "out").symlink_to(tmp_path / "elsewhere")
    (volume / "loop").symlink_to(volume)
    assert measure(volume).size < MIB


def test_the_largest_come_first_and_no_more_than_people_read(volume):
    for number in range(usage.LARGEST + 5):
        fill(volume / f"folder-{number:02}/file", 4096 * (number + 1))
    found = measure(volume)
    assert [name for name, _ in found.folders][:2] == [b"folder-24", b"folder-23"]
    assert len(found.folders) == usage.LARGEST


def test_what_could_go_is_named_with_why(volume):
    fill(volume / ".cache/huggingface/hub/model.bin", 6 * MIB)
    fill(volume / ".cache/pip/wheel")
    fill(volume / "miniconda/pkgs/urls.txt", 10)
    fill(volume / "miniconda/pkgs/numpy.conda")
    fill(volume / "miniconda/envs/torch/conda-meta/history")
    fill(volume / "venv/pyvenv.cfg", 10)
    fill(volume / "venv/lib/site-packages/x.so")
    fill(volume / "thesis/mlruns/0/model.pt")
    fill(volume / ".local/share/Trash/files/old.csv")
    fill(volume / "tagged/CACHEDIR.TAG", 43)
    fill(volume / "tagged/x")
    fill(volume / "thesis/data.csv", 9 * MIB)
    found = measure(volume)
    assert culprits(found) == {
        ".cache/huggingface": Kind.CACHE,
        ".cache/pip": Kind.CACHE,
        "miniconda/pkgs": Kind.CACHE,
        "miniconda/envs/torch": Kind.ENVIRONMENT,
        "venv": Kind.ENVIRONMENT,
        "thesis/mlruns": Kind.OUTPUTS,
        ".local/share/Trash": Kind.BIN,
        "tagged": Kind.CACHE,
    }
    assert found.culprits[0].path == b".cache/huggingface"
    assert all(each.kind in usage.ADVICE for each in found.culprits)


def test_what_lies_in_a_culprit_belongs_to_it_and_what_is_small_is_not_named(volume):
    fill(volume / "venv/pyvenv.cfg", 10)
    fill(volume / "venv/runs/deep")
    fill(volume / ".cache/tiny/x", 100)
    (one,) = measure(volume).culprits
    assert (one.path, one.kind) == (b"venv", Kind.ENVIRONMENT)
    assert one.size == du(volume / "venv")


def index_of(*names):
    """Return an index of Git, version 2, that has these files."""
    entries = b""
    for name in map(str.encode, names):
        entry = bytes(60) + len(name).to_bytes(2, "big") + name
        entries += entry + bytes(8 - len(entry) % 8)
    return b"DIRC" + (2).to_bytes(4, "big") + len(names).to_bytes(4, "big") + entries


def test_outputs_that_git_has_are_nobodys_to_remove(volume):
    fill(volume / "paper/outputs/figure.bin")
    fill(volume / "paper/runs/7/events")
    (volume / "paper/.git").mkdir()
    assert set(culprits(measure(volume))) == {"paper/outputs", "paper/runs"}
    (volume / "paper/.git/index").write_bytes(index_of("a.py", "outputs/figure.bin"))
    assert set(culprits(measure(volume))) == {"paper/runs"}


def test_a_whole_volume_is_never_a_culprit(volume):
    fill(volume / "pyvenv.cfg", 10)
    fill(volume / "lib/x.so")
    assert measure(volume).culprits == []


def test_an_index_that_is_a_link_or_a_pipe_is_not_read(volume, tmp_path):
    fill(tmp_path / "secret", 10)
    (volume / "a/.git").mkdir(parents=True)
    (volume / "a/.git/index").symlink_to(tmp_path / "secret")
    (volume / "b/.git").mkdir(parents=True)
    os.mkfifo(volume / "b/.git/index")
    fill(volume / "a/outputs/x")
    fill(volume / "b/outputs/x")
    assert set(culprits(measure(volume))) == {"a/outputs", "b/outputs"}


def test_what_cannot_be_looked_into_is_said(volume):
    path = volume
    for _ in range(DEEPEST + 20):
        path /= "d"
    path.mkdir(parents=True)
    assert measure(volume).unreadable == 1


def test_it_says_how_far_it_is(volume):
    for number in range(2500):
        (volume / str(number)).touch()
    heard = []
    assert measure(volume, told=heard.append).files == 2500
    assert heard == [1000, 2000]


def test_folders_that_vanish_meanwhile_do_no_harm(volume, monkeypatch):
    for name in ("a", "b", "c"):
        fill(volume / name / "file", 4096)
    opened = os.open

    def vanishing(path, *rest, **words):
        if path == b"b":
            raise FileNotFoundError(path)
        return opened(path, *rest, **words)

    monkeypatch.setattr(usage.os, "open", vanishing)
    found = measure(volume)
    assert (found.files, found.unreadable) == (2, 1)
