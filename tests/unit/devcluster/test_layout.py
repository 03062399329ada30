"""A data folder is for its owner and for one supervisor."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from devcluster import layout
from devcluster.errors import Trouble

if TYPE_CHECKING:
    from pathlib import Path


def test_everything_is_closed_to_others(tmp_path: Path) -> None:
    with layout.opened(tmp_path / "data") as opened:
        assert {stat.S_IMODE(folder.stat().st_mode) for folder in opened.folders()} == {0o700}


def test_a_second_supervisor_is_told_of_the_first(tmp_path: Path) -> None:
    with (
        layout.opened(tmp_path),
        pytest.raises(Trouble, match=r"in use by another devcluster \(process \d+\)"),
        layout.opened(tmp_path),
    ):
        pass


def test_a_folder_left_by_a_supervisor_is_free_again(tmp_path: Path) -> None:
    for _ in range(2):
        with layout.opened(tmp_path):
            pass


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Trouble, match="cannot be used"), layout.opened(tmp_path / "file" / "x"):
        pass


def test_a_full_disk_is_said_before_anything_begins(tmp_path: Path) -> None:
    with pytest.raises(Trouble, match=r"wants 1000000000\.0 GB"):
        layout.require_room(tmp_path, wanted=10**18, purpose="the test")


def test_a_private_file_is_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    file.chmod(0o644)
    layout.write_private(file, "new")
    assert file.read_text() == "new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]
