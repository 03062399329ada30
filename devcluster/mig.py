"""
Into which partitions a GPU with MIG can be cut, how much of it each takes, and where it may lie.

The profiles are those of an A100 with 40 GB, as `nvidia-smi mig -lgip` and `-lgipp` list them; other
GPUs with seven compute and eight memory slices have the same ones, named after their own memory
(1g.10gb instead of 1g.5gb on 80 GB).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .quantities import amount

SLICES: Final = 8
"""Memory slices of a GPU with MIG."""

COMPUTE_SLICES: Final = 7

MEMORY_MIB: Final = 40448
"""Of the GPU to which `Profile.memory_mib` belongs."""

_GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A size of partition."""

    number: int
    """NVIDIA's id."""

    compute: int
    """Compute slices, of 7."""

    memory: int
    """Memory slices, of 8."""

    media: bool = False
    """Whether it takes the GPU's one JPEG and optical-flow engine (`+me`)."""

    starts: tuple[int, ...]
    """Memory slices at which it may begin."""

    memory_mib: int
    """Of a GPU with `MEMORY_MIB`; others in proportion."""

    decoders: int = 0


WHOLE: Final = Profile(
    number=0, compute=7, memory=8, media=True, starts=(0,), memory_mib=MEMORY_MIB, decoders=5
)

PROFILES: Final = (
    Profile(number=19, compute=1, memory=1, starts=(0, 1, 2, 3, 4, 5, 6), memory_mib=4864),
    Profile(
        number=20, compute=1, memory=1, media=True, starts=(0, 1, 2, 3, 4, 5, 6), memory_mib=4864,
        decoders=1,
    ),
    Profile(number=15, compute=1, memory=2, starts=(0, 2, 4, 6), memory_mib=9856, decoders=1),
    Profile(number=14, compute=2, memory=2, starts=(0, 2, 4), memory_mib=9984, decoders=1),
    Profile(number=9, compute=3, memory=4, starts=(0, 4), memory_mib=20096, decoders=2),
    Profile(number=5, compute=4, memory=4, starts=(0,), memory_mib=20096, decoders=2),
    WHOLE,
)  # fmt: skip


def profile(words: str, *, memory: str) -> Profile:
    """
    Return what *words*, such as `2g.10gb`, mean on a GPU with *memory*.

    Raises:
        ValueError: Nothing; says what is known.
    """
    known = {name(candidate, memory=memory): candidate for candidate in PROFILES}
    if words not in known:
        message = f"a GPU of {memory} has no MIG profile '{words}'; it has {', '.join(known)}"
        raise ValueError(message)
    return known[words]


def name(profile: Profile, *, memory: str) -> str:
    """Return what *profile* is called on a GPU with *memory*."""
    # Named after whole gigabytes: an eighth of 39.5 GiB is called 5gb.
    one = round(amount(memory) / _GIB / SLICES)
    # The whole GPU has its media engine anyway.
    extra = "+me" if profile.media and profile.compute < COMPUTE_SLICES else ""
    return f"{profile.compute}g.{one * profile.memory}gb{extra}"
