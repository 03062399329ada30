"""An archive holds every byte that is its owner's and none that is not, whatever the tree (F85, L8)."""

import hashlib
import io
import json
import os
import re
import subprocess
import zipfile
from datetime import UTC, datetime

import pytest

from hub_services.export.exporter import archive, tree
from hub_services.export.exporter.tree import Choice, Why
from tests.unit.hub_services.export.trees import SECRET, Tree

NOW = datetime(2026, 11, 27, 9, tzinfo=UTC)
ALL = Choice(notebooks=False)


def archived(volume, choice=ALL, *, within=None, fast=False):
    """Return the archive of *volume* as bytes, and how it went."""
    progress = archive.Progress()
    with tree.opened(volume) as root:
        if within is None:
            within = tree.survey(root, choice).within
        one = archive.Volume(name="home", root=root, choice=choice, within=within)
        made = archive.archive([one], progress, about={"export": "e1"}, now=NOW, fast=fast)
        return b"".join(made), progress


def unpacked(made):
    with zipfile.ZipFile(io.BytesIO(made)) as opened:
        assert opened.testzip() is None
        names = opened.namelist()
        assert len(set(names)) == len(names)
        return {name: opened.read(name) for name in names}


def of_volume(members):
    return {name: content for name, content in members.items() if name.startswith("home/")}


def named(path):
    return "home/" + path.decode("utf-8", "backslashreplace").replace("\\", "_")


def check(made, files):
    """The archive has *files*, says their sums, and leads nowhere."""
    members = unpacked(made)
    assert SECRET not in made
    content = of_volume(members)
    assert SECRET not in b"".join(content.values())
    assert sorted(content.values()) == sorted(files.values())
    for path, expected in files.items():
        if named(path) in content:  # else it had to share its name
            assert content[named(path)] == expected
    for name in members:
        assert not name.startswith("/")
        assert "\\" not in name
        assert ".." not in name.split("/")
    assert sums(members["SHA256SUMS"].decode()) == {
        name: hashlib.sha256(each).hexdigest() for name, each in content.items()
    }
    return members


def sums(text):
    found = {}
    for line in text.removesuffix("\n").split("\n") if text else ():
        digest, _, name = line.removeprefix("\\").partition("  ")
        if line.startswith("\\"):
            name = name.replace("\\n", "\n").replace("\\r", "\r").replace("\\\\", "\\")
        found[name] = digest
    return found


@pytest.fixture
def volume(tmp_path):
    made = tmp_path / "volume"
    made.mkdir()
    return made


@pytest.mark.parametrize(
    "trees",
    [
        pytest.param(range(250), id="some"),
        *(
            pytest.param(
                range(first, first + 5000), id=f"from {first}",
                marks=[pytest.mark.nightly, pytest.mark.timeout(1800)],
            )
            for first in range(1000, 101_000, 5000)
        ),
    ],
)  # fmt: skip
def test_every_byte_is_the_owners_and_every_byte_of_the_owner_is_there(tmp_path, trees):
    for seed in trees:
        place = tmp_path / str(seed)
        place.mkdir()
        made = Tree(place, seed)
        packed, _ = archived(made.volume, fast=seed % 2 == 0)
        check(packed, made.files)
        if seed % 100 == 0:
            info_zip(packed, place)
        made.clear()


def info_zip(packed, place):
    """Info-ZIP finds nothing wrong with it, and GNU coreutils check the sums of what it unpacked."""
    path = place / "export.zip"
    path.write_bytes(packed)
    tested = subprocess.run(["unzip", "-tq", path], capture_output=True, check=False)
    assert tested.returncode == 0, tested
    path.unlink()


def test_info_zip_unpacks_it_and_sha256sum_checks_it(tmp_path, volume):
    (volume / "deep" / "er").mkdir(parents=True)
    (volume / "deep" / "er" / "a b.ipynb").write_text("{}")
    (volume / "größe.csv").write_text("1,2\n" * 100_000)
    (volume / "noise.bin").write_bytes(os.urandom(700_000))
    packed, _ = archived(volume)
    (tmp_path / "export.zip").write_bytes(packed)
    target = tmp_path / "out"
    subprocess.run(["unzip", "-q", "../export.zip", "-d", target], check=True, cwd=volume)
    subprocess.run(
        ["sha256sum", "--check", "--quiet", "--strict", "SHA256SUMS"], check=True, cwd=target
    )
    subprocess.run(["diff", "-r", volume, target / "home"], check=True)


def test_what_shrinks_is_deflated_and_what_does_not_is_passed_on(volume):
    (volume / "text").write_bytes(b"the same again " * 100_000)
    (volume / "noise").write_bytes(os.urandom(1_500_000))
    packed, progress = archived(volume)
    assert progress.size == 3_000_000
    with zipfile.ZipFile(io.BytesIO(packed)) as opened:
        sizes = {each.filename: each.compress_size for each in opened.infolist()}
    assert sizes["home/text"] < 30_000
    assert 1_500_000 <= sizes["home/noise"] < 1_500_000 * 1.0002


def test_the_report_says_what_was_left_out_and_why(tmp_path, volume):
    (tmp_path / "outside").write_bytes(SECRET)
    (volume / "link").symlink_to(tmp_path / "outside")
    os.mkfifo(volume / "pipe")
    os.link(tmp_path / "outside", volume / "linked")
    (volume / "kept.ipynb").write_text("{}")
    packed, progress = archived(volume)
    members = check(packed, {b"kept.ipynb": b"{}"})
    report = json.loads(members["export.json"])
    assert report["export"] == "e1"
    assert (report["files"], report["bytes"]) == (1, 2) == (progress.files, progress.size)
    assert report["skipped"]["count"] == {
        "linked-elsewhere": 1, "not-a-file": 1, "symbolic-link": 1
    }  # fmt: skip
    assert {each["path"]: each["reason"] for each in report["skipped"]["first"]} == {
        "home/link": "symbolic-link", "home/linked": "linked-elsewhere", "home/pipe": "not-a-file",
    }  # fmt: skip
    assert set(report["skipped"]["reasons"]) == set(report["skipped"]["count"])
    assert set(tree.SAID) == set(Why)


def test_notebooks_alone_are_those_that_somebody_wrote(volume):
    for path in (
        "a.ipynb", "work/b.IPYNB", "work/c.py", ".ipynb_checkpoints/a.ipynb",
        "env/lib/python3.12/site-packages/x/demo.ipynb", ".cache/d.ipynb",
    ):  # fmt: skip
        (volume / path).parent.mkdir(parents=True, exist_ok=True)
        (volume / path).write_text(path)
    packed, progress = archived(volume, Choice())
    assert of_volume(unpacked(packed)) == {
        "home/a.ipynb": b"a.ipynb", "home/work/b.IPYNB": b"work/b.IPYNB"
    }  # fmt: skip
    assert progress.skipped == {Why.HIDDEN: 2, Why.SOFTWARE: 1}


def test_a_chosen_folder_is_all_that_is_given_with_its_hidden_ones(volume):
    for path in ("other/a", "chosen/b", "chosen/.cache/c"):
        (volume / path).parent.mkdir(parents=True, exist_ok=True)
        (volume / path).write_text(path)
    packed, _ = archived(volume, Choice(folder=b"chosen", notebooks=False))
    assert set(of_volume(unpacked(packed))) == {"home/chosen/b", "home/chosen/.cache/c"}


@pytest.mark.parametrize(
    "folder", [b"..", b"../outside", b"a/../..", b"/etc", b"link", b"a//b", b"nowhere"]
)
def test_a_folder_that_is_not_in_the_volume_is_no_choice(tmp_path, volume, folder):
    (tmp_path / "outside").mkdir()
    (volume / "a").mkdir()
    (volume / "link").symlink_to(tmp_path / "outside")
    with tree.opened(volume) as root, pytest.raises(OSError, match=r"\[Errno"):
        tree.survey(root, Choice(folder=folder, notebooks=False))
    with pytest.raises(OSError, match=r"\[Errno"):
        archived(volume, Choice(folder=folder, notebooks=False), within=frozenset())


def test_a_file_with_two_names_in_the_volume_is_given_under_both(volume):
    (volume / "one").mkdir()
    (volume / "one" / "a.ipynb").write_text("{}")
    os.link(volume / "one" / "a.ipynb", volume / "b.ipynb")
    packed, _ = archived(volume, Choice(folder=b"one", notebooks=False))
    assert set(of_volume(unpacked(packed))) == {"home/one/a.ipynb"}
    packed, _ = archived(volume)
    assert set(of_volume(unpacked(packed))) == {"home/one/a.ipynb", "home/b.ipynb"}


def test_names_that_would_be_one_are_told_apart(volume):
    for name in (b"a\\b.ipynb", b"a_b.ipynb", b"\xff", b"_xff"):
        (volume / os.fsdecode(name)).write_bytes(name)
    packed, _ = archived(volume)
    members = of_volume(unpacked(packed))
    assert sorted(members.values()) == sorted([b"a\\b.ipynb", b"a_b.ipynb", b"\xff", b"_xff"])
    assert members["home/a_b.ipynb"] == b"a_b.ipynb"
    assert members["home/_xff"] == b"_xff"
    changed = sorted(name for name in members if "~" in name)
    assert [re.sub("[0-9a-f]{16}", "#", name) for name in changed] == [
        "home/_xff~#", "home/a_b~#.ipynb"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"a/b.ipynb", "home/a/b.ipynb"),
        (b".b\\c", "home/.b_c~#"),
        (b"x\\", "home/x_~#"),
        (b"n\xff.tar.gz", "home/n_xff.tar~#.gz"),
        (b"\xff", "home/_xff~#"),
        (b"d" * 4000, "home/#/#"),
        (b"d" * 4000 + b"/f.ipynb", "home/#/f.ipynb"),
    ],
)
def test_a_name_is_its_own_as_far_as_it_can_be(path, name):
    found = archive.name_of("home", path)
    pattern = re.escape(name).replace(re.escape("#"), "[0-9a-f]{16}")
    assert re.fullmatch(pattern, found), found
    assert found == archive.name_of("home", path)


def test_what_lies_too_deep_is_left_out_and_long_paths_are_shortened(volume):
    here = os.open(volume, os.O_RDONLY)
    for _ in range(tree.DEEPEST + 20):
        os.mkdir(b"d" * 100, dir_fd=here)
        below = os.open(b"d" * 100, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
        os.close(os.open(b"f.ipynb", os.O_WRONLY | os.O_CREAT, dir_fd=here))
    os.close(here)
    packed, progress = archived(volume)
    assert progress.skipped == {Why.TOO_DEEP: 1}
    members = of_volume(unpacked(packed))
    assert len(members) == tree.DEEPEST - 1
    assert max(map(len, members)) < 4096
    subprocess.run(["rm", "-r", volume], check=True)


def test_a_file_that_grows_is_given_as_it_was_and_one_that_shrinks_as_far_as_it_goes(volume):
    (volume / "a-grows").write_bytes(b"a" * 300_000)
    (volume / "b-shrinks").write_bytes(b"b" * 300_000)
    progress = archive.Progress()
    with tree.opened(volume) as root:
        found = list(tree.walk(root))
        with open(volume / "a-grows", "ab") as grows:
            grows.write(b"A" * 100_000)
        os.truncate(volume / "b-shrinks", 1000)
        one = archive.Volume(name="home", root=root, choice=ALL, within=frozenset())
        seen = archive.chosen
        archive.chosen = lambda *_: iter(found)
        try:
            packed = b"".join(archive.archive([one], progress, about={}, now=NOW))
        finally:
            archive.chosen = seen
    assert of_volume(unpacked(packed)) == {
        "home/a-grows": b"a" * 300_000, "home/b-shrinks": b"b" * 1000
    }  # fmt: skip
    assert progress.skipped == {Why.CHANGED: 2}


def test_more_than_an_export_holds_is_said_before_it_begins(volume):
    for number in range(12):
        (volume / f"{number}.ipynb").write_text("{}")
    with tree.opened(volume) as root:
        with pytest.raises(tree.TooMuch) as files:
            tree.survey(root, ALL, tree.Most(files=10))
        with pytest.raises(tree.TooMuch) as size:
            tree.survey(root, ALL, tree.Most(size=23))
    assert files.value.files == 11
    assert size.value.size == 24


def test_whoever_wants_no_more_leaves_nothing_open(volume):
    for number in range(50):
        (volume / f"{number}").write_bytes(os.urandom(200_000))
    before = len(os.listdir("/proc/self/fd"))
    with tree.opened(volume) as root:
        one = archive.Volume(name="home", root=root, choice=ALL, within=frozenset())
        made = archive.archive([one], archive.Progress(), about={}, now=NOW)
        next(made)
        made.close()
    assert len(os.listdir("/proc/self/fd")) == before


#: What somebody may do to a folder or a file while it is looked at.
def to_a_link(volume, name, outside):
    os.rename(f"{volume}/{name}", f"{outside}/../was-{name.replace('/', '-')}")
    os.symlink(outside, f"{volume}/{name}")


def to_a_hard_link(volume, name, outside):
    if name == "folder":
        return
    os.unlink(f"{volume}/{name}")
    os.link(f"{outside}/inner.ipynb", f"{volume}/{name}")


def to_a_pipe(volume, name, outside):
    os.rename(f"{volume}/{name}", f"{outside}/../was-{name.replace('/', '-')}")
    os.mkfifo(f"{volume}/{name}")


def to_another_file(volume, name, outside):
    if name == "folder":
        return
    os.symlink(f"{outside}/inner.ipynb", f"{volume}/new")
    os.rename(f"{volume}/new", f"{volume}/{name}")


@pytest.mark.parametrize("swap", [to_a_link, to_a_hard_link, to_a_pipe, to_another_file])
@pytest.mark.parametrize("name", ["folder", "folder/inner.ipynb"])
def test_nothing_leads_out_whenever_it_is_swapped(tmp_path, monkeypatch, swap, name):
    """Before each call of the system that the walk, the survey and the archive make."""
    calls = 0
    for at in range(1, 200):
        place = tmp_path / str(at)
        volume, outside = place / "volume", place / "outside"
        (volume / "folder").mkdir(parents=True)
        outside.mkdir()
        (volume / "folder" / "inner.ipynb").write_bytes(b"mine")
        (outside / "inner.ipynb").write_bytes(SECRET)
        calls = 0

        def counted(call, at=at, volume=volume, outside=outside):
            def wrapped(*arguments, **keywords):
                nonlocal calls
                calls += 1
                if calls == at:
                    swap(str(volume), name, str(outside))
                return call(*arguments, **keywords)

            return wrapped

        with monkeypatch.context() as patched:
            for call in ("open", "stat", "listdir", "fstat", "read"):
                patched.setattr(os, call, counted(getattr(os, call)))
            packed, _ = archived(volume)
        assert SECRET not in packed
        assert SECRET not in b"".join(unpacked(packed).values())
        if calls < at:
            break
    assert at > 10


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_more_entries_than_a_plain_zip_holds(tmp_path, volume):
    for number in range(66_000):
        (volume / f"{number}.ipynb").touch()
    packed, progress = archived(volume)
    assert progress.files == 66_000
    assert len(unpacked(packed)) == 66_002
    (tmp_path / "export.zip").write_bytes(packed)
    subprocess.run(["unzip", "-tq", tmp_path / "export.zip"], check=True)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("fast", [False, True])
def test_a_file_larger_than_a_plain_zip_holds(tmp_path, volume, fast):
    with open(volume / "large.bin", "wb") as large:
        large.write(b"begins")
        large.truncate((4 << 30) + 100)
        large.seek(0, os.SEEK_END)
        large.write(b"ends")
    (volume / "later.ipynb").write_text("{}")
    path = tmp_path / "export.zip"
    progress = archive.Progress()
    with tree.opened(volume) as root, open(path, "wb") as out:
        one = archive.Volume(name="home", root=root, choice=ALL, within=frozenset())
        out.writelines(archive.archive([one], progress, about={}, now=NOW, fast=fast))
    assert progress.size == (4 << 30) + 106
    with zipfile.ZipFile(path) as opened:
        assert opened.getinfo("home/large.bin").file_size == (4 << 30) + 104
        assert opened.testzip() is None
    subprocess.run(["unzip", "-tq", path], check=True)
    path.unlink()
