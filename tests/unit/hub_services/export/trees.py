"""Trees such as people, programs and attackers make, in a folder beside which a secret lies."""

import contextlib
import os
import random
import stat
from pathlib import Path

SECRET = b"the bytes of somebody else \x00\x01\xfe"
_NAMES = (
    b"analysis.ipynb", b"Results.IPYNB", b"data.csv", b"-rf", b"a b", b" ", b"...", b"..x", b"~",
    b"new\nline", b"tab\there", b"carriage\rreturn", "\u202eevil.txt".encode(), "ж.ipynb".encode(),
    b"\xff\xfe", b"back\\slash", b"..\\..\\up", b"C:", b"con", b"n" * 255, "é".encode(), "e\u0301".encode(),
    b"SHA256SUMS", b"export.json", b".hidden", b"'quote'", b'"', b"$(x)", b"%2e%2e", b"*",
)  # fmt: skip


class Tree:
    """
    A volume at *volume*, and *outside* beside it.

    Attributes:
        files: What the volume holds that is its owner's, by path.
    """

    def __init__(self, place: Path, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - a tree that can be made again
        self.volume = os.fsencode(place / "volume")
        self.outside = os.fsencode(place / "outside")
        self.files: dict[bytes, bytes] = {}
        for each in (self.volume, self.outside):
            os.mkdir(each)
        with open(self.outside + b"/secret.ipynb", "wb") as secret:
            secret.write(SECRET)
        os.mkdir(self.outside + b"/more")
        with open(self.outside + b"/more/secret.ipynb", "wb") as secret:
            secret.write(SECRET)
        self._fill(b"", self.chance.randint(1, 4))

    def _fill(self, folder: bytes, depth: int) -> None:
        for name in self.chance.sample(_NAMES, self.chance.randint(0, 5)):
            path = folder + b"/" + name if folder else name
            self._make(path, depth)

    def _make(self, path: bytes, depth: int) -> None:
        full = self.volume + b"/" + path
        match self.chance.randint(0, 11):
            case 0 | 1 | 2 if depth:
                os.mkdir(full)
                self._fill(path, depth - 1)
            case 3:
                target = self.chance.choice((
                    self.outside, self.outside + b"/secret.ipynb", b"..", b"/", b".", full,
                    self.volume, b"../outside/secret.ipynb", b"nowhere", b"/etc/passwd",
                ))  # fmt: skip
                os.symlink(target, full)
            case 4:
                os.mkfifo(full)
            case 5:
                with contextlib.suppress(OSError):
                    os.mknod(full, 0o600 | self.chance.choice((stat.S_IFSOCK, stat.S_IFCHR)), 0x105)
            case 6:
                # A name in the volume for a file outside: what a wall must not let through.
                os.link(self.outside + b"/secret.ipynb", full)
            case 7 if self.files:
                known = self.chance.choice(sorted(self.files))
                os.link(self.volume + b"/" + known, full)
                self.files[path] = self.files[known]
            case 8:
                size = self.chance.choice((1, 4096, 70_000))
                with open(full, "wb") as sparse:
                    sparse.truncate(size)
                self.files[path] = bytes(size)
            case _:
                self._write(path, full)

    def _write(self, path: bytes, full: bytes) -> None:
        size = self.chance.choice((0, 1, 20, 500, 5000))
        content = self.chance.choice((self.chance.randbytes(size), b"text " * (size // 5)))
        with open(full, "wb") as file:
            file.write(content)
        if self.chance.random() < 0.1:
            os.utime(full, (0, self.chance.choice((-5e9, 0, 5e9))))
        self.files[path] = content

    def clear(self) -> None:
        """Remove everything; what pytest itself cannot, either."""
        for folder, folders, files in os.walk(os.path.dirname(self.volume), topdown=False):
            for name in files:
                os.unlink(folder + b"/" + name)
            for name in folders:
                path = folder + b"/" + name
                (os.unlink if os.path.islink(path) else os.rmdir)(path)
