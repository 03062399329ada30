"""
Read amounts as Kubernetes writes them: `4`, `500m`, `80Gi`.

Only what people write by hand; signs and exponents are not accepted. Exact: a decimal, never a float.
Source: apimachinery's resource.Quantity.
"""

from __future__ import annotations

import re
from decimal import Decimal

_SUFFIXES: dict[str, Decimal | int] = {
    "": 1, "m": Decimal("0.001"), "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50,
}  # fmt: skip
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)([a-zA-Z]*)")


def amount(quantity: str) -> Decimal:
    """
    Return the number that *quantity* means.

    Raises:
        ValueError: It is none.
    """
    match = _QUANTITY.fullmatch(quantity)
    if match is None or match[2] not in _SUFFIXES:
        message = f"'{quantity}' is no quantity; write for instance 4, 500m, 16Gi"
        raise ValueError(message)
    return Decimal(match[1]) * _SUFFIXES[match[2]]
