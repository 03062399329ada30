"""Names of volumes and where they may be mounted (F44; facts on security, misuse cases)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eugospawner.policy import volumes

HOME = "/home/user"

SAFE = ["/data", "/mnt/data", "/srv/a/b/c", "/home2", "/home-user", "/workspace", "/etcetera",
        "/a.b/c_d/e+f/g@h", "/...", "/.hidden", "/1", "/usrlocal", "/" + "a" * 254]  # fmt: skip

UNSAFE = {
    "": "not absolute",
    "data": "not absolute",
    "./data": "not absolute",
    "~/data": "not absolute",
    " /data": "not absolute",
    "/": "not a plain path",
    "//": "not a plain path",
    "//data": "not a plain path",
    "/data/": "not a plain path",
    "/data//x": "not a plain path",
    "/data/.": "not a plain path",
    "/data/../etc": "not a plain path",
    "/..": "not a plain path",
    "/.": "not a plain path",
    "/data\x00": "not a plain path",
    "/data\n": "not a plain path",
    "/da ta": "not a plain path",
    "/data:ro": "not a plain path",
    "/{username}": "not a plain path",
    "/$(HOME)": "not a plain path",
    "/data\\x": "not a plain path",
    "/dätä": "not a plain path",
    "/data\u202e": "not a plain path",
    "/\uff0e\uff0e/etc": "not a plain path",
    "/" + "a" * 255: "longer than 255",
    "/" + "a" * 10**6: "longer than 255",
    "/etc": "folder of the system",
    "/etc/passwd.d": "folder of the system",
    "/proc": "folder of the system",
    "/proc/1": "folder of the system",
    "/sys": "folder of the system",
    "/dev": "folder of the system",
    "/dev/shm": "folder of the system",  # noqa: S108 - refused, not used
    "/run": "folder of the system",
    "/var/run": "folder of the system",
    "/var/run/secrets/kubernetes.io": "folder of the system",
    "/usr": "folder of the system",
    "/usr/local/bin": "folder of the system",
    "/bin": "folder of the system",
    "/sbin": "folder of the system",
    "/lib": "folder of the system",
    "/lib64": "folder of the system",
    "/boot": "folder of the system",
    "/root": "folder of the system",
    "/opt": "folder of the system",
    "/opt/conda": "folder of the system",
    "/tmp": "folder of the system",  # noqa: S108
    "/home": "overlaps the home",
    "/home/user": "overlaps the home",
    "/home/user/data": "overlaps the home",
}


@pytest.mark.parametrize("path", SAFE, ids=lambda path: path[:30])
def test_a_plain_path_outside_system_and_home_is_safe(path: str) -> None:
    assert volumes.problem_of_path(path, HOME) is None


@pytest.mark.parametrize(
    ("path", "problem"), UNSAFE.items(), ids=[ascii(path)[:30] for path in UNSAFE]
)
def test_a_mount_path_that_hides_or_escapes_is_told_why(path: str, problem: str) -> None:
    told = volumes.problem_of_path(path, HOME)
    assert told is not None
    assert problem in told


@given(st.text(st.sampled_from("/.ae{}\\ \0\n~"), max_size=12).map("/{}".format))
def test_a_safe_path_is_its_own_normal_form_and_hides_nothing(path: str) -> None:
    if volumes.problem_of_path(path, HOME) is not None:
        return
    parts = path.split("/")
    assert parts[0] == ""
    assert all(part not in {"", ".", ".."} for part in parts[1:])
    assert not volumes.overlap(path, HOME)


@pytest.mark.parametrize("key", ["a", "0", "data", "my-data-2", "a" * 40])
def test_a_short_dns_label_names_a_volume(key: str) -> None:
    assert volumes.is_key(key)


@pytest.mark.parametrize(
    "key",
    ["", "-a", "a-", "A", "a_b", "a.b", "a/b", "..", "a" * 41, "a\n", "a ", "ä", "٢", "a\0", "{u}"],
    ids=ascii,
)
def test_anything_else_names_none(key: str) -> None:
    assert not volumes.is_key(key)


@pytest.mark.parametrize(
    ("one", "other", "overlapping"),
    [
        ("/a", "/a", True),
        ("/a", "/a/b", True),
        ("/a/b/c", "/a", True),
        ("/a", "/ab", False),
        ("/a/b", "/a/c", False),
    ],
)
def test_paths_overlap_when_one_lies_in_the_other(one: str, other: str, overlapping: bool) -> None:
    assert volumes.overlap(one, other) is overlapping
    assert volumes.overlap(other, one) is overlapping
