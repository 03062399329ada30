"""Mistakes in an inventory are told by line and field, before anything starts."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel

from devcluster import inventory
from devcluster.errors import ExitCode, Trouble
from devcluster.quantities import amount

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REFERENCE = inventory.DEFAULT.parents[1] / "docs" / "reference" / "inventory.md"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "inventory.yaml"


def test_the_default_has_the_hardware_that_the_catalog_speaks_of() -> None:
    found = inventory.load(inventory.DEFAULT)
    assert {gpu.model: gpu.count for gpu in found.gpus} == {
        "H100": 2, "L4": 4, "L40S": 2, "A100": 1, "T4": 1,
    }  # fmt: skip
    assert [storage.name for storage in found.storage if storage.default] == ["devcluster"]


def test_an_empty_file_is_a_node_without_gpus(file: Path) -> None:
    file.write_text("")
    assert inventory.load(file) == inventory.Inventory()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nodde: {}", "line 1, nodde: there is no such field"),
        ("node:\n  pods: 0\n", "line 2, node.pods: Input should be greater than or equal to 1"),
        (
            "gpus:\n- {product: X, memory: 8Gi}\n- product: Y\n  memory: lots\n",
            "line 4, gpus.1.memory: 'lots' is no quantity",
        ),
        ("gpus:\n- {product: X, memory: 0Gi}\n", "must be more than nothing"),
        ("gpus:\n- {product: X}\n", "line 2, gpus.0.memory: Field required"),
        ("gpus:\n- {product: X, memory: 8Gi, mig: [1g.1gb]}\n", "add 'shares: false'"),
        (
            "gpus:\n- {product: X, memory: 40Gi, shares: false, mig: [9g.1gb]}\n",
            "no MIG profile '9g.1gb'",
        ),
        ("images:\n  a/b:1:\n    user: -1\n", "line 3, images.a/b:1.user"),
        ("nodes:\n- prefix: a\n- prefix: a\n", "nodes: a occurs more than once"),
        ("storage:\n- {name: a, default: true}\n- {name: b, default: true}\n", "more than one"),
        ("nodes:\n- {prefix: a, readyAfter: soon}\n", "line 2, nodes.0.readyAfter"),
        ("a: [", "not YAML, line 1"),
        ("node: {cpu: 2.5}", "line 1, node.cpu"),
    ],
)
def test_a_mistake_is_told_with_its_place(file: Path, text: str, told: str) -> None:
    file.write_text(text)
    with pytest.raises(Trouble) as trouble:
        inventory.load(file)
    assert told in str(trouble.value)
    assert str(file) in str(trouble.value)
    assert trouble.value.exit_code is ExitCode.MISTAKE


def test_a_file_that_is_not_there_is_said_so(file: Path) -> None:
    with pytest.raises(Trouble, match="No such file"):
        inventory.load(file)


@pytest.mark.parametrize(
    ("quantity", "number"),
    [("4", 4), ("500m", Decimal("0.5")), ("80Gi", 80 * 2**30), ("2k", 2000), ("1.5Mi", 1572864)],
)
def test_quantities_are_those_of_kubernetes(quantity: str, number: Decimal) -> None:
    assert amount(quantity) == number


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield *model* and every part of it."""
    yield model
    for part in vars(inventory).values():
        if (
            isinstance(part, type)
            and issubclass(part, BaseModel)
            and part.__module__ == (inventory.__name__)
        ):
            yield part


def test_every_field_stands_in_the_reference() -> None:
    text = REFERENCE.read_text("utf-8")
    documented = set(re.findall(r"^\| `([a-zA-Z]+)`", text, flags=re.MULTILINE))
    fields = {
        str(field.alias)
        for model in models(inventory.Inventory)
        for field in model.model_fields.values()
    }
    assert documented == fields


def test_every_field_says_what_it_is() -> None:
    for model in models(inventory.Inventory):
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"
