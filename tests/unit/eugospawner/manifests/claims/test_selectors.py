"""
Selectors: no product name can break out of its CEL string.

The expression is read back by a small lexer written from CEL's specification (langdef, "Lexis"):
strings are cut out and decoded by CEL's escapes, and what is left must be the same skeleton for
any name. CEL knows no surrogates, no raw line end within quotes, and unknown escapes are errors.
"""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eugospawner.manifests.claims import selectors
from tests.factories import a_gpu_model, a_mig_model

DOUBLE_QUOTED = r'"(?:[^"\\\r\n]|\\["\'\\/?`abfnrtv]|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2})*"'
SINGLE_QUOTED = r"'[^'\\\r\n]*'"
STRING = re.compile(f"{DOUBLE_QUOTED}|{SINGLE_QUOTED}")
ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)")
SHORT = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}

HOSTILE = [
    '"',
    '\\"',
    "\\",
    "\\\\",
    "'",
    "\n",
    "\r\n",
    "\0",
    '"] || true || device.driver in ["',
    "' || true //",
    "{username}",
    "${x}",
    "%s",
    "\\u0022 || true",
    "\U0001f680 GPU",
    "\u2028\u2029\u0085",
    "\u202e",
    "é",
    "",
    '"""',
    'r"',
]


def decode(literal: str) -> str:
    """Return the text that a CEL string literal stands for."""

    def character(match: re.Match[str]) -> str:
        escape = match[1]
        if escape[0] == "u":
            code = int(escape[1:], 16)
            assert not 0xD800 <= code <= 0xDFFF, "CEL refuses surrogates"
            return chr(code)
        return SHORT.get(escape, escape)

    return ESCAPE.sub(character, literal[1:-1])


def read(expression: str) -> tuple[str, list[str]]:
    """Return the skeleton of *expression*, strings cut out, and the strings."""
    strings = [decode(match[0]) for match in STRING.finditer(expression)]
    return STRING.sub("§", expression), strings


def expression_of(*products: str, shareable: bool = True, device_type: str | None = "gpu") -> str:
    model = a_gpu_model(products=products, device_type=device_type)
    made = selectors.make_model_selector(model, shareable=shareable)
    assert list(made) == ["cel"]
    cel = made["cel"]
    assert isinstance(cel, dict)
    assert list(cel) == ["expression"]
    return str(cel["expression"])


def test_a_shareable_model() -> None:
    assert expression_of("NVIDIA L4", device_type=None) == (
        'device.attributes["gpu.example.test"].?productName.orValue(\'\') in ["NVIDIA L4"]'
        " && device.allowMultipleAllocations == true"
    )


def test_a_whole_model_of_two_products_and_a_type() -> None:
    assert expression_of("NVIDIA A100-SXM4-40GB", "NVIDIA A100-PCIE-40GB", shareable=False) == (
        "device.attributes[\"gpu.example.test\"].?productName.orValue('') in "
        '["NVIDIA A100-SXM4-40GB", "NVIDIA A100-PCIE-40GB"]'
        ' && device.attributes["gpu.example.test"].?type.orValue(\'\') == "gpu"'
    )


def test_a_further_attribute_is_asked_for_where_a_device_has_it() -> None:
    made: Any = selectors.make_model_selector(a_mig_model(), also={"profile": "1g.10gb"})
    assert made["cel"]["expression"] == (
        "device.attributes[\"gpu.nvidia.com\"].?productName.orValue('') in "
        '["NVIDIA A100 80GB HBM3"]'
        ' && device.attributes["gpu.nvidia.com"].?profile.orValue(\'\') == "1g.10gb"'
    )


def check(products: list[str], device_type: str) -> None:
    expression = expression_of(*products, device_type=device_type)
    skeleton, strings = read(expression)
    assert skeleton == (
        "device.attributes[§].?productName.orValue(§) in "
        f"[{', '.join('§' for _ in products)}]"
        " && device.attributes[§].?type.orValue(§) == §"
        " && device.allowMultipleAllocations == true"
    )
    driver = "gpu.example.test"
    assert strings == [driver, "", *products, driver, "", device_type]
    expression.encode()


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_a_hostile_name_stays_in_its_string(text: str) -> None:
    check([text], "gpu")
    check(["NVIDIA L4", text], text)


no_section_sign = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="§"))


@given(st.lists(no_section_sign, min_size=1, max_size=4), no_section_sign)
def test_no_name_breaks_out_of_its_string(products: list[str], device_type: str) -> None:
    check(products, device_type)
