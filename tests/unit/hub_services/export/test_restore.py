"""A ZIP goes into a new folder or not at all, and harms nothing, whatever it is (L8; facts on security, §4)."""

import fcntl
import io
import os
import random
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from hub_services.export.exporter import restore, tree
from hub_services.export.exporter.restore import Left, NotRestored
from hub_services.export.exporter.tree import Most
from tests.unit.hub_services.export.test_archive import archived
from tests.unit.hub_services.export.trees import Tree

ROOM = 10 << 30


@pytest.fixture
def place(tmp_path):
    """A volume with a file in it, beside which a secret lies that nothing may change."""
    volume, outside = tmp_path / "volume", tmp_path / "outside"
    volume.mkdir()
    outside.mkdir()
    (volume / "kept.ipynb").write_text("kept")
    (outside / "secret").write_text("secret")
    yield volume
    assert (outside / "secret").read_text() == "secret"
    assert sorted(os.listdir(outside)) == ["secret"]
    assert (volume / "kept.ipynb").read_text() == "kept"


def packed(*entries, **words):
    """Return a ZIP of names, or ZipInfos, with what they hold."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, **words) as opened:
        for name, content in entries:
            opened.writestr(name, content)
    return made.getvalue()


def unpack(volume, content, folder="restored", *, most=None, room=ROOM):
    with tree.opened(volume) as root:
        return restore.restore(
            io.BytesIO(content), root, os.fsencode(folder), most=most or Most(), room=room
        )


def files(folder):
    return {
        str(each.relative_to(folder)): each.read_bytes()
        for each in Path(folder).rglob("*")
        if each.is_file() and not each.is_symlink()
    }


def an_entry(name, *, mode=0o644, kind=stat.S_IFREG, **changes):
    made = zipfile.ZipInfo(name)
    made.external_attr = (kind | mode) << 16
    for attribute, value in changes.items():
        setattr(made, attribute, value)
    return made


def test_what_was_exported_comes_back_byte_for_byte(place, tmp_path):
    for seed in range(60):
        (tmp_path / str(seed)).mkdir()
        made = Tree(tmp_path / str(seed), seed)
        content, _ = archived(made.volume)
        done = unpack(place, content, f"restored-{seed}")
        found = files(place / f"restored-{seed}")
        assert sorted(found.values()) == sorted(made.files.values())
        assert (done.files, done.left, done.differing) == (len(made.files), [], [])
        made.clear()


def test_it_goes_into_a_new_folder_and_replaces_nothing(place):
    (place / "work").mkdir()
    done = unpack(
        place, packed(("a.ipynb", "1"), ("deep/er/b.csv", "2"), ("empty/", "")), "work/back"
    )
    assert files(place / "work" / "back") == {"a.ipynb": b"1", "deep/er/b.csv": b"2"}
    assert (place / "work" / "back" / "empty").is_dir()
    assert (done.files, done.size) == (2, 2)
    with pytest.raises(NotRestored, match="work/back already: choose another name"):
        unpack(place, packed(("a.ipynb", "3")), "work/back")
    assert (place / "work" / "back" / "a.ipynb").read_text() == "1"


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("../outside/secret", Left.OUTSIDE),
        ("a/../../outside/secret", Left.OUTSIDE),
        ("a/../b", Left.OUTSIDE),
        ("/etc/passwd", Left.OUTSIDE),
        ("\\\\server\\share", Left.OUTSIDE),
        ("..\\..\\up", Left.OUTSIDE),
        ("C:/windows/x", Left.OUTSIDE),
        ("n" * 256, Left.NAME),
        ("d/" * 300 + "x", Left.NAME),
        (an_entry("link", kind=stat.S_IFLNK, mode=0o777), Left.NO_FILE),
        (an_entry("pipe", kind=stat.S_IFIFO), Left.NO_FILE),
        (an_entry("device", kind=stat.S_IFCHR), Left.NO_FILE),
        (an_entry("socket", kind=stat.S_IFSOCK), Left.NO_FILE),
        (".", Left.NAME),
    ],
    ids=lambda value: str(getattr(value, "filename", value))[:30],
)
def test_what_leads_elsewhere_is_left_out_and_the_rest_is_there(place, entry, why):
    done = unpack(place, packed((entry, "../outside"), ("good", "good")))
    assert files(place / "restored") == {"good": b"good"}
    assert [each for _, each in done.left] == [why]
    assert set(restore.SAID) == set(Left)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_nothing_is_written_through_a_link_of_the_archive(place):
    content = packed(
        (an_entry("out", kind=stat.S_IFLNK, mode=0o777), "../../outside"),
        ("out/secret", "overwritten"),
        (an_entry("out2", kind=stat.S_IFLNK, mode=0o777), "../../outside/secret"),
        ("out2", "overwritten"),
    )
    unpack(place, content)
    assert files(place / "restored") == {"out/secret": b"overwritten", "out2": b"overwritten"}


def test_modes_are_not_taken_over(place):
    unpack(place, packed((an_entry("x", mode=0o6777), "x")))
    assert stat.S_IMODE((place / "restored" / "x").stat().st_mode) & 0o6022 == 0


def test_of_two_with_one_name_the_first_stays(place):
    content = packed(
        ("a", "first"), ("b/c", "1"), ("b", "is a folder"), ("a/x", "is a file"), ("./a", "2")
    )
    done = unpack(place, content)
    assert files(place / "restored") == {"a": b"first", "b/c": b"1"}
    assert [why for _, why in done.left] == [Left.TWICE] * 3


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_doubles_are_told(place):
    done = unpack(place, packed(("a", "first"), ("a", "second")))
    assert files(place / "restored") == {"a": b"first"}
    assert done.left == [("a", Left.TWICE)]


def a_bomb():
    return packed(("zeros", bytes(300 << 20)), compresslevel=9)


def overlapping():
    """Many entries of the same bytes, as of D. Fifield's "A better zip bomb"."""
    content = bytearray(packed(("a", os.urandom(10_000)), ("b", os.urandom(10_000))))
    second = content.rindex(b"PK\x01\x02")
    struct.pack_into("<I", content, second + 42, 100)  # the offset of its header: within the first
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "words", "said"),
    [
        (b"", {}, "no ZIP archive"),
        (b"PK\x05\x06" + bytes(10), {}, "no ZIP archive"),
        (os.urandom(5000), {}, "no ZIP archive"),
        (packed(("a", "x" * 100)), {"room": 99}, "unpacks to 100 bytes, and 99 are free"),
        (packed(*((str(n), "") for n in range(30))), {"most": Most(files=20)}, "30 entries; 20"),
        (packed(("a", bytes(2000))), {"most": Most(size=1999)}, "2000 bytes"),
        (a_bomb(), {}, "it is a trap"),
        (overlapping(), {}, "overlap"),
    ],
)
def test_a_trap_is_not_even_begun(place, content, words, said):
    with pytest.raises(NotRestored, match=said):
        unpack(place, content, **words)
    assert sorted(os.listdir(place)) == ["kept.ipynb"]


@pytest.mark.parametrize(
    "folder", ["", "..", "../outside/new", "a/../b", "nowhere/new", "link/new", "n" * 300]
)
def test_the_folder_lies_in_the_volume(place, folder):
    (place / "link").symlink_to("../outside")
    with pytest.raises(NotRestored, match="cannot be made"):
        unpack(place, packed(("a", "1")), folder)


def test_what_is_damaged_is_left_out_and_what_is_not_what_it_was_is_told(place):
    content = bytearray(
        packed(("a", b"a" * 5000), ("b", b"b" * 100), ("SHA256SUMS", f"{'0' * 64}  b\n"))
    )
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        at = opened.getinfo("a").header_offset
    content[at + 35] ^= 0xFF
    done = unpack(place, bytes(content))
    assert files(place / "restored") == {"b": b"b" * 100}
    assert done.left == [("a", Left.DAMAGED)]
    assert done.differing == ["b"]


def test_an_encrypted_or_unknown_entry_is_left_out(place):
    content = bytearray(packed(("a", "1"), ("b", "2")))
    first = content.index(b"PK\x01\x02")
    struct.pack_into("<H", content, first + 8, 0x1)  # encrypted
    second = content.rindex(b"PK\x01\x02")
    struct.pack_into("<H", content, second + 10, 99)  # a method of nobody's
    done = unpack(place, bytes(content))
    assert [why for _, why in done.left] == [Left.ENCRYPTED, Left.METHOD]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_unpacks_without_a_bound_is_left_out(place, method):
    """A few bytes of bzip2 or LZMA become more at once than a Pod has."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as opened:
        opened.writestr("a", bytes(1 << 20))
        opened.writestr("SHA256SUMS", bytes(1 << 20))
        opened.writestr("b", "kept", zipfile.ZIP_DEFLATED)
    done = unpack(place, made.getvalue())
    assert done.left == [("a", Left.METHOD)]
    assert files(place / "restored") == {"b": b"kept"}


def test_if_the_volume_is_full_nothing_of_it_is_kept(place, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(restore, "_write", full)
    with pytest.raises(NotRestored, match=r"No space left on device\. Nothing of it was kept"):
        unpack(place, packed(("x/y/z", "1"), ("a", "1")))
    assert sorted(os.listdir(place)) == ["kept.ipynb"]


def test_what_somebody_left_who_died_goes_and_what_is_at_work_stays(place):
    for name in (".eugo-restore-dead", ".eugo-restore-alive"):
        (place / name / "deep").mkdir(parents=True)
        (place / name / "deep/file").write_text("half")
    (place / ".eugo-restore-link").symlink_to("../outside")
    alive = os.open(place / ".eugo-restore-alive", os.O_RDONLY)
    try:
        fcntl.flock(alive, fcntl.LOCK_EX)
        unpack(place, packed(("a", "1")))
    finally:
        os.close(alive)
    assert sorted(os.listdir(place)) == [
        ".eugo-restore-alive", ".eugo-restore-link", "kept.ipynb", "restored",
    ]  # fmt: skip


def test_the_folder_has_its_name_only_when_all_of_it_is_there(place, monkeypatch):
    seen = []
    write = restore._write

    def watched(*arguments):
        seen.append(sorted(each for each in os.listdir(place) if not each.startswith(".eugo")))
        write(*arguments)

    monkeypatch.setattr(restore, "_write", watched)
    unpack(place, packed(("a", "1"), ("b", "2")))
    assert seen == [["kept.ipynb"]] * 2
    assert files(place / "restored") == {"a": b"1", "b": b"2"}


def test_if_whoever_sends_goes_meanwhile_nothing_of_it_is_kept(place, monkeypatch):
    content = io.BytesIO(packed(*((str(number), b"x" * 500_000) for number in range(6))))
    write, written = restore._write, []

    def watched(*arguments):
        written.append(1)
        if len(written) == 3:
            content.close()
        write(*arguments)

    monkeypatch.setattr(restore, "_write", watched)
    with (
        tree.opened(place) as root,
        pytest.raises(NotRestored, match="has gone"),
    ):
        restore.restore(content, root, b"back", room=ROOM)
    assert sorted(os.listdir(place)) == ["kept.ipynb"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_one_that_came_meanwhile_stays_and_nothing_is_replaced(place, monkeypatch, kind):
    write = restore._write

    def meanwhile(*arguments):
        write(*arguments)
        if kind == "folder":
            (place / "restored").mkdir()
            (place / "restored/mine").write_text("mine")
        else:
            (place / "restored").write_text("mine")

    monkeypatch.setattr(restore, "_write", meanwhile)
    with pytest.raises(NotRestored, match="restored already: choose another name"):
        unpack(place, packed(("a", "1")))
    mine = place / "restored/mine" if kind == "folder" else place / "restored"
    assert mine.read_text() == "mine"
    assert sorted(os.listdir(place)) == ["kept.ipynb", "restored"]


def test_whoever_swaps_folders_meanwhile_leads_nowhere(place, monkeypatch):
    """Before each call of the system that makes or opens something."""
    content = packed(("a/b/c", "1"), ("a/b/d", "2"), ("a/e", "3"))
    for at in range(1, 40):
        calls, folder = 0, f"restored-{at}"

        def counted(call, at=at):
            def wrapped(*arguments, **keywords):
                nonlocal calls
                calls += 1
                target = place / ".eugo-restore-x" / "a"
                if calls == at and target.is_dir() and not target.is_symlink():
                    target.rename(place / f"moved-{at}")
                    target.symlink_to(place.parent / "outside")
                return call(*arguments, **keywords)

            return wrapped

        with monkeypatch.context() as patched:
            patched.setattr(restore.secrets, "token_hex", lambda _: "x")
            for call in ("open", "mkdir", "stat", "fstat"):
                patched.setattr(os, call, counted(getattr(os, call)))
            try:
                unpack(place, content, folder)
            except NotRestored:
                assert (
                    not (place / folder / "a" / "b").is_dir() or (place / folder / "a").is_symlink()
                )
        if calls < at:
            break
    assert at > 8


@pytest.mark.parametrize(
    "seeds",
    [
        pytest.param(range(1500), id="some"),
        pytest.param(
            range(2000, 102_000), id="many",
            marks=[pytest.mark.nightly, pytest.mark.timeout(3600)],
        ),
    ],
)  # fmt: skip
def test_whatever_was_done_to_an_archive_nothing_lies_outside_and_nothing_breaks(place, seeds):
    names = ["a", "b/c", "../x", "/y", "d/", "SHA256SUMS", "é", "link"]
    for seed in seeds:
        chance = random.Random(seed)  # noqa: S311 - one that can be made again
        content = bytearray(
            packed(
                *(
                    (chance.choice(names) + str(n), chance.randbytes(30) * chance.randint(0, 9))
                    for n in range(4)
                )
            )
        )
        for _ in range(chance.randint(0, 6)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        if chance.random() < 0.1:
            del content[chance.randrange(len(content)) :]
        folder = f"r{seed}"
        try:
            unpack(place, bytes(content), folder, room=1 << 20)
        except NotRestored:
            assert not (place / folder).exists()
    assert all(each.startswith("r") or each == "kept.ipynb" for each in os.listdir(place))
