"""
Units: the one place where text becomes amounts and amounts become text.

CPU is counted in millicores, memory and storage in bytes, GPU shares in *GPU percent*: the
number of GPUs times the SM percent of each, so 2 × 25 % = 50. All are integers, so that sums
are exact. *Effective GPUs* is what people read: GPU percent / 100 with two decimals, always
(F42, F52: the same figure in form, list, ledger and Pod label).

Source of the quantity grammar: Kubernetes, apimachinery/pkg/api/resource/quantity.go.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Context, Decimal
from typing import Final

from eugospawner.policy.errors import BadQuantity

_QUANTITY: Final = re.compile(
    r"\+?(?P<number>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
    r"(?P<suffix>[numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,2})?"
)
_SUFFIXES: Final = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}
#: Kubernetes holds quantities as int64; more is a mistake or an attack.
_LARGEST: Final = Decimal(2**63 - 1)
#: No real quantity is longer; keeps hostile input short.
_LONGEST: Final = 32
_BINARY: Final = ("Ei", "Pi", "Ti", "Gi", "Mi", "Ki")
#: Enough for every digit of the longest text times the largest suffix: nothing is rounded here.
_EXACT: Final = Context(prec=100)


def _parse(text: str) -> Decimal:
    match = _QUANTITY.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        shown = text[:_LONGEST]
        message = f"{shown!r} is not a Kubernetes quantity; write for example 500m, 2 or 8Gi"
        raise BadQuantity(message)
    suffix = match["suffix"] or ""
    if suffix[:1] in {"e", "E"} and len(suffix) > 1 and suffix != "Ei":
        factor = Decimal(f"1{suffix}")
    else:
        factor = _SUFFIXES.get(suffix, Decimal(1))
    value = _EXACT.multiply(Decimal(match["number"]), factor)
    if value > _LARGEST:
        message = f"{text!r} is larger than Kubernetes can hold"
        raise BadQuantity(message)
    return value


def parse_cpu(text: str) -> int:
    """
    Return millicores, rounded up as Kubernetes does.

    Raises:
        BadQuantity: *text* is no quantity.
    """
    return int(_EXACT.multiply(_parse(text), Decimal(1000)).to_integral_value(ROUND_CEILING))


def parse_memory(text: str) -> int:
    """
    Return bytes, rounded up.

    Raises:
        BadQuantity: *text* is no quantity.
    """
    return int(_parse(text).to_integral_value(ROUND_CEILING))


def format_cpu(millicores: int) -> str:
    """Return the shortest quantity: ``2`` or ``500m``."""
    whole, rest = divmod(millicores, 1000)
    return f"{millicores}m" if rest else str(whole)


def format_memory(size_bytes: int) -> str:
    """Return the shortest exact quantity with a binary suffix, for example ``8Gi``."""
    for suffix in _BINARY:
        whole, rest = divmod(size_bytes, int(_SUFFIXES[suffix]))
        if whole and not rest:
            return f"{whole}{suffix}"
    return str(size_bytes)


def size_words(size_bytes: int) -> str:
    """Return a size as people read it, to three digits: ``4.21 MiB``, ``312 bytes``."""
    for suffix in _BINARY:
        whole = int(_SUFFIXES[suffix])
        if size_bytes >= whole:
            return f"{Decimal(size_bytes) / whole:.{_decimals(size_bytes / whole)}f} {suffix}B"
    return "1 byte" if size_bytes == 1 else f"{size_bytes} bytes"


def _decimals(amount: float) -> int:
    """Return how many decimals leave an amount of 1 or more with three digits."""
    return sum(amount < limit for limit in (10, 100))


def gpu_percent(count: int, sm_percent: int) -> int:
    """Return *count* GPUs at *sm_percent* each, in GPU percent (one whole GPU = 100)."""
    return count * sm_percent


def effective_gpus(percent: int) -> str:
    """Return GPU percent as people read it, with two decimals: ``0.50``."""
    whole, hundredths = divmod(percent, 100)
    return f"{whole}.{hundredths:02d}"
