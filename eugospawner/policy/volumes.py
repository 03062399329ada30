"""
Volumes: which extra volumes an owner has, where they may be mounted, and where they are attached.

A request names a volume by its key among the owner's, or as ``data@vision``: the volume ``data`` of the
project ``vision``, for whose workspaces it is; the PersistentVolumeClaim behind it is ours to know. A key that
neither has makes a new volume of the owner. Mount paths are absolute,
normalised, unique, outside system folders and the home. Most volumes are attached to one Node at a
time, so whatever mounts one that is in use has to run there. Source: design §§5 and 9; F44.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from eugospawner.policy.quota import Subject

#: A DNS label of at most 40 characters: short enough for any name made from it.
_KEY: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
#: No braces (KubeSpawner expands templates), no blanks, no control characters.
_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._+@-]+)+")
_LONGEST_PATH: Final = 255
#: Folders whose loss breaks an image, or whose content is the machine's business.
_SYSTEM: Final = (
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/proc",
    "/root", "/run", "/sbin", "/sys", "/tmp", "/usr", "/var",  # noqa: S108 - refused, not used
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """
    An extra volume of an owner, or of a project.

    Attributes:
        key: Its holder's name for it.
        claim_name: The PersistentVolumeClaim's name.
    """

    key: str
    claim_name: str
    size_bytes: int


#: The key of the home; no extra volume can have it.
HOME: Final = ""
_PROJECT: Final = "project/"
#: What the home is called in addresses and archives; no extra volume is.
HOME_NAME: Final = "home"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """
    A volume that is attached to one Node, and to no other meanwhile.

    Attributes:
        key: As a request names it; `HOME` for the home.
        server: The workspace that uses it; empty for the default one.
        is_others: Whether that workspace is somebody else's: the volume is a project's.
    """

    key: str
    node: str
    server: str
    is_others: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Volumes:
    """
    The extra volumes that one owner may mount, and what all of them come to.

    Attributes:
        by_key: Each as a request names it.
        held: Bytes that the volumes of whoever pays for them have; an absent one has none.
        attached: Those that are in use where no second Node can have them, as last seen.
    """

    by_key: Mapping[str, Volume]
    held: Mapping[Subject, int] = field(default_factory=dict)
    attached: tuple[Attachment, ...] = ()

    def attached_for(self, server: str, keys: Iterable[str]) -> tuple[Attachment, ...]:
        """Return of the home and the volumes *keys* those that another workspace than *server* uses, each once."""
        wanted = {HOME, *keys}
        found = {
            each.key: each
            for each in self.attached
            if each.key in wanted and (each.is_others or each.server != server)
        }
        return tuple(sorted(found.values(), key=lambda each: each.key))


def is_key(key: str) -> bool:
    """Whether *key* can name a volume."""
    return _KEY.fullmatch(key) is not None


def holder_of(project: str) -> str:
    """Return as whom a project has its volumes, where people have theirs by their names: no user's name has a slash."""
    return f"{_PROJECT}{project}"


def project_of(holder: str) -> str | None:
    """Return which project *holder* is; `None`: it is somebody."""
    return holder.removeprefix(_PROJECT) if holder.startswith(_PROJECT) else None


def reference_to(holder: str, key: str) -> str:
    """Return how requests name the volume *key* of *holder*: an owner's by its key, a project's as ``data@vision``."""
    project = project_of(holder)
    return key if project is None else f"{key}@{project}"


def place_of(reference: str, owner: str) -> tuple[str, str]:
    """Return the holder and the key of the volume that *owner* calls *reference*."""
    key, _, project = reference.partition("@")
    return (holder_of(project), key) if project else (owner, reference)


def project_named_in(reference: str) -> str:
    """Return the project whose volume *reference* names; empty: it is no project's."""
    return reference.partition("@")[2]


def meant(reference: str, project: str, by_key: Mapping[str, Volume]) -> str:
    """Return *reference* in full: a key that the owner has not, and *project* has, names the project's."""
    full = reference_to(holder_of(project), reference)
    return full if reference not in by_key and full in by_key else reference


def name_of(key: str) -> str:
    """Return what the volume *key* is called in addresses and archives: one with the key `home` is `volume_home`."""
    if key == HOME:
        return HOME_NAME
    return f"volume_{HOME_NAME}" if key == HOME_NAME else key


def key_of(name: str) -> str:
    """Return the key of the volume that is called *name*."""
    if name == HOME_NAME:
        return HOME
    return HOME_NAME if name == name_of(HOME_NAME) else name


def problem_of_path(path: str, home_path: str) -> str | None:
    """Return why nothing may be mounted at *path*, as the end of a sentence, or `None`."""
    if not path.startswith("/"):
        return "is not absolute: begin it with /"
    if len(path) > _LONGEST_PATH:
        return f"is longer than {_LONGEST_PATH} characters"
    if _PATH.fullmatch(path) is None or {".", ".."} & set(path.split("/")):
        return (
            "is not a plain path: use letters, digits and . _ + @ - between single slashes, "
            "without . or .. as a folder and without a slash at the end"
        )
    if any(_lies_in(path, folder) for folder in _SYSTEM):
        return "would hide a folder of the system: use for example /data"
    if overlap(path, home_path):
        return f"overlaps the home {home_path}, which is always mounted: use for example /data"
    return None


def overlap(one: str, other: str) -> bool:
    """Whether one path is the other or lies in it."""
    return _lies_in(one, other) or _lies_in(other, one)


def _lies_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def mounted_by(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the keys of the extra volumes that a workspace with *options* mounts, in order."""
    listed = options.get("volumes")
    if not isinstance(listed, list):
        return ()
    keys = [each.get("claim") for each in listed if isinstance(each, dict)]
    return tuple(dict.fromkeys(key for key in keys if isinstance(key, str)))
