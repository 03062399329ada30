"""
Selectors: CEL that picks the devices of a GPU model, and the constraint that keeps them apart.

Only values of the catalog get into an expression, and only as JSON strings, which are CEL
strings; attribute names were checked to be identifiers when the catalog was read. An attribute
that a device lacks is an error that stops the Pod's whole allocation, so each is asked for first.
Source: facts on DRA, §1.1; Kubernetes, CEL in DRA.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eugospawner.policy.catalog import GpuModel


def make_model_selector(
    model: GpuModel, *, shareable: bool = False, also: Mapping[str, str] | None = None
) -> dict[str, object]:
    """
    Return the selector of devices that are this *model*.

    Args:
        shareable: Take only devices that several claims may share. Without it a capacity request
            is a mere filter, and a device that cannot be shared would be handed out whole.
        also: Further attributes of the driver, our own words, and the values they must have.
    """
    driver = _cel(model.driver)
    product = f"device.attributes[{driver}].?{model.product_attribute}.orValue('')"
    terms = [f"{product} in {_cel(list(model.products))}"]
    wanted = {"type": model.device_type} if model.device_type is not None else {}
    terms += [
        f"device.attributes[{driver}].?{name}.orValue('') == {_cel(value)}"
        for name, value in {**wanted, **(also or {})}.items()
    ]
    if shareable:
        terms.append("device.allowMultipleAllocations == true")
    return {"cel": {"expression": " && ".join(terms)}}


def make_distinct(model: GpuModel, request: str) -> dict[str, object]:
    """Return the constraint that no two devices of *request* agree in the distinct attribute."""
    attribute = f"{model.driver}/{model.distinct_attribute}"
    return {"requests": [request], "distinctAttribute": attribute}


def _cel(value: str | list[str]) -> str:
    # Characters beyond ASCII stay as they are: JSON's escape of an emoji is a pair of surrogates,
    # which CEL refuses.
    return json.dumps(value, ensure_ascii=False)
