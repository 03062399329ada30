"""
Names of workspaces: what one may be, when two are the same, and which is free.

A name is for people; it is unique within its project, compared as people read it: without case,
without what cannot be seen, and one width of each letter. Source: F3, F36.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Container

#: Long enough to tell what it is for, short enough for a column.
LONGEST: Final = 64
#: Joiners that some scripts need between letters; other characters of format are none of a name.
_JOINERS: Final = "\u200c\u200d"
#: Categories of Unicode that cannot be seen, or that break a line.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def problem_of(name: str) -> str | None:
    """Return what is wrong with *name*, as the end of a sentence; `None`: nothing."""
    if len(name) > LONGEST:
        return f"is longer than {LONGEST} characters"
    if any(unicodedata.category(each) in _UNSEEN and each not in _JOINERS for each in name):
        return "holds characters that cannot be seen"
    if name != " ".join(name.split()):
        return "begins or ends with a space, or has two in a row"
    if not key_of(name):
        return "holds nothing that can be seen"
    return None


def key_of(name: str) -> str:
    """Return what two names have in common that are the same to people."""
    seen = "".join(each for each in name if each not in _JOINERS)
    folded = unicodedata.normalize("NFKC", seen).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def default_of(owner: str, workspace: str) -> str:
    """Return what a workspace is called that nobody named: as its server, or its owner."""
    plain = "".join(
        each for each in workspace or owner if unicodedata.category(each) not in _UNSEEN
    )
    return " ".join(plain.split())[:LONGEST].strip() or "workspace"


def free(wanted: str, taken: Container[str]) -> str:
    """Return *wanted*, or else the first of ``wanted-2``, ``wanted-3`` … that is not *taken*."""
    name, number = wanted, 1
    while key_of(name) in taken:
        number += 1
        ending = f"-{number}"
        name = f"{wanted[: LONGEST - len(ending)].rstrip()}{ending}"
    return name


def name_in(words: object) -> str | None:
    """Return the name that JSON *words* give a workspace, if it can be one."""
    name = words.get("name") if isinstance(words, dict) else None
    return name if isinstance(name, str) and problem_of(name) is None else None
