"""Quantities against Kubernetes' grammar (apimachinery, quantity.go), and GPU percent (F42, F52)."""

from decimal import ROUND_CEILING, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eugospawner.policy import units
from eugospawner.policy.errors import BadQuantity, PolicyError

# What apimachinery's quantity tests and the documentation of resource units accept.
MEMORY = {
    "0": 0,
    "0n": 0,
    "0Ki": 0,
    "1": 1,
    "1.": 1,
    ".5Gi": 2**29,
    "+8Gi": 8 * 2**30,
    "1Ki": 2**10,
    "8Ki": 8 * 2**10,
    "7Mi": 7 * 2**20,
    "6Gi": 6 * 2**30,
    "5Ti": 5 * 2**40,
    "4Pi": 4 * 2**50,
    "3Ei": 3 * 2**60,
    "5n": 1,
    "4u": 1,
    "3m": 1,
    "9": 9,
    "8k": 8_000,
    "50k": 50_000,
    "7M": 7 * 10**6,
    "6G": 6 * 10**9,
    "5T": 5 * 10**12,
    "40T": 40 * 10**12,
    "300T": 300 * 10**12,
    "2P": 2 * 10**15,
    "1E": 10**18,
    "1E3": 1000,
    "1e3": 1000,
    "1E+3": 1000,
    "12e6": 12 * 10**6,
    "100e-2": 1,
    "1e-9": 1,
    "128974848": 128_974_848,
    "129e6": 129_000_000,
    "129M": 129_000_000,
    "128974848000m": 128_974_848,
    "123Mi": 123 * 2**20,
    "1.5Gi": 3 * 2**29,
    "0.1Mi": 104_858,
    "0000000000000000000000000000001": 1,
    "9223372036854775807": 2**63 - 1,
}

CPU = {
    "0": 0,
    "0.5": 500,
    "0.1": 100,
    "100m": 100,
    "1": 1000,
    "1.5": 1500,
    "2": 2000,
    "2k": 2_000_000,
    "0.0001": 1,
    "1n": 1,
    "1001u": 2,
    "1.0000000000000000000000000001": 1001,
}

NO_QUANTITIES = [
    "",
    " ",
    "1 ",
    " 1",
    "1\n",
    "\n1",
    "-1",
    "-8Gi",
    "--1",
    "1.2.3",
    "1.1.M",
    ".",
    "+",
    "1,5",
    "1_000",
    "0x10",
    "1K",
    "1KI",
    "1ki",
    "1mi",
    "1MiB",
    "1Gi1",
    "1gi",
    "i",
    "Mi",
    "1e",
    "1e+",
    "1e1.5",
    "1e9999",
    "1E3Gi",
    "1 Gi",
    "8GiGi",
    "NaN",
    "nan",
    "inf",
    "Infinity",
    "1e400",
    "9223372036854775808",
    "8Ei",
    "1e19",
    "१Gi",
    "٢",
    "²",
    "\uff11Gi",
    "1\x00",
    "1Gi\x00",
    "\ud800",
    "9" * 33,
    "9" * 10**6,
]


@pytest.mark.parametrize(("text", "size_bytes"), MEMORY.items(), ids=MEMORY)
def test_memory_is_read_as_kubernetes_reads_it_and_rounded_up(text: str, size_bytes: int) -> None:
    assert units.parse_memory(text) == size_bytes


@pytest.mark.parametrize(("text", "millicores"), CPU.items(), ids=CPU)
def test_cpu_is_read_in_millicores_and_rounded_up(text: str, millicores: int) -> None:
    assert units.parse_cpu(text) == millicores


@pytest.mark.parametrize("text", NO_QUANTITIES, ids=lambda text: ascii(text)[:20])
def test_what_is_no_quantity_is_refused_in_a_short_sentence(text: str) -> None:
    for parse in (units.parse_cpu, units.parse_memory):
        with pytest.raises(BadQuantity) as refused:
            parse(text)
        assert len(str(refused.value)) < 500
        str(refused.value).encode()  # no lone surrogate leaks into an answer


def test_a_bad_quantity_is_both_a_policy_error_and_a_value_error() -> None:
    assert issubclass(BadQuantity, PolicyError)
    assert issubclass(BadQuantity, ValueError)


@pytest.mark.parametrize(
    ("millicores", "text"), [(0, "0"), (1, "1m"), (500, "500m"), (2000, "2"), (2001, "2001m")]
)
def test_cpu_is_written_as_short_as_it_goes(millicores: int, text: str) -> None:
    assert units.format_cpu(millicores) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0"),
        (1, "1"),
        (1023, "1023"),
        (1024, "1Ki"),
        (1536, "1536"),
        (8 * 2**30, "8Gi"),
        (20 * 2**30 + 2**20, "20481Mi"),
        (2**50, "1Pi"),
        (2**60, "1Ei"),
    ],
)
def test_memory_is_written_with_the_largest_exact_binary_suffix(size_bytes: int, text: str) -> None:
    assert units.format_memory(size_bytes) == text


@given(st.integers(0, 2**63 - 1))
def test_what_is_written_is_read_back_unchanged(amount: int) -> None:
    assert units.parse_memory(units.format_memory(amount)) == amount
    assert units.parse_cpu(units.format_cpu(amount)) == amount


@given(st.text(max_size=40) | st.from_regex(r"\+?[0-9]{0,20}\.?[0-9]{0,12}[a-zA-Z+]{0,2}[0-9]?"))
def test_any_text_is_an_amount_that_fits_or_is_refused(text: str) -> None:
    try:
        amount = units.parse_memory(text)
    except BadQuantity:
        return
    assert 0 <= amount < 2**63


@given(
    st.decimals(0, 10**6, allow_nan=False, allow_infinity=False, places=9).map(lambda d: f"{d:f}"),
    st.sampled_from(["", "m", "k", "Ki", "Mi"]),
)
def test_no_digit_is_lost_before_rounding_up(number: str, suffix: str) -> None:
    factor = Decimal({"": "1", "m": "0.001", "k": "1000", "Ki": "1024", "Mi": "1048576"}[suffix])
    with localcontext(prec=200):
        exact = Decimal(number) * factor * 1000
        expected = int(exact.to_integral_value(ROUND_CEILING))
    assert units.parse_cpu(f"{number}{suffix}") == expected


@pytest.mark.parametrize(
    ("count", "sm_percent", "effective"),
    [(2, 25, "0.50"), (1, 100, "1.00"), (3, 33, "0.99"), (1, 1, "0.01"), (32, 100, "32.00")],
)
def test_effective_gpus_have_two_decimals_always(
    count: int, sm_percent: int, effective: str
) -> None:
    assert units.effective_gpus(units.gpu_percent(count, sm_percent)) == effective


def test_no_gpu_is_zero_effective_gpus() -> None:
    assert units.effective_gpus(units.gpu_percent(0, 100)) == "0.00"
