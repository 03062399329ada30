"""
Shapes: small rules that say what a JSON value may be, and name the place where it is not.

A rule takes a value and its path and yields violations; rules are put together to follow the
shape of an object. An object's rule lists its fields: what is not listed is a violation. Values
are compared with their types, because to JSON `true` is not `1`. Knows nothing of Pods.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from eugospawner.policy.errors import BadQuantity

#: A value as JSON gives it.
Json = Any

#: Keeps what a hook made up out of logs and answers.
_LONGEST: Final = 200
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_PLAIN_KEY: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*")


@dataclass(frozen=True, slots=True)
class Violation:
    """
    One thing that may not stand where it stands.

    Attributes:
        path: Where, as `spec.containers[0].image`; empty: the whole.
        problem: What is wrong with it, as the end of a sentence. Tells no value that was found,
            for that might be somebody's secret.
    """

    path: str
    problem: str

    def __str__(self) -> str:
        """Return where and what, as a log says it."""
        return f"{self.path or 'the Pod'} {self.problem}"


Rule: TypeAlias = Callable[[Json, str], Iterator[Violation]]


def fields(rules: Mapping[str, Rule], *, required: Collection[str] = ()) -> Rule:
    """Return the rule for an object with these fields and no others."""

    def rule(value: Json, path: str) -> Iterator[Violation]:
        if not isinstance(value, dict):
            yield Violation(path, "is no object")
            return
        for key in required:
            if key not in value:
                yield Violation(_below(path, key), "is missing")
        for key, each in value.items():
            if key in rules:
                yield from rules[key](each, _below(path, key))
            else:
                yield Violation(_below(path, key), "is neither granted nor declared")

    return rule


def items(each: Rule) -> Rule:
    """Return the rule for a list of values that *each* holds for."""

    def rule(value: Json, path: str) -> Iterator[Violation]:
        if not isinstance(value, list):
            yield Violation(path, "is no list")
            return
        for index, item in enumerate(value):
            yield from each(item, f"{path}[{index}]")

    return rule


def unique(key: str, listed: Rule) -> Rule:
    """Return the rule for a list whose objects differ in *key*, where they have it."""

    def rule(value: Json, path: str) -> Iterator[Violation]:
        yield from listed(value, path)
        seen: list[Json] = []
        for index, item in enumerate(value if isinstance(value, list) else ()):
            name = item.get(key) if isinstance(item, dict) else None
            if name is not None and name in seen:
                yield Violation(f"{path}[{index}].{key}", "stands here twice")
            seen.append(name)

    return rule


def only(allowed: Json) -> Rule:
    """Return the rule for exactly this value; `None`: the field is absent."""
    return one_of(allowed)


def one_of(*allowed: Json) -> Rule:
    """Return the rule for one of these values; without any: for none."""

    def rule(value: Json, path: str) -> Iterator[Violation]:
        if not any(same(value, each) for each in allowed):
            yield Violation(path, "is not what was granted or declared")

    return rule


def whole(least: int, most: int) -> Rule:
    """Return the rule for whole numbers in these bounds, both included."""

    def rule(value: Json, path: str) -> Iterator[Violation]:
        if type(value) is not int or not least <= value <= most:
            yield Violation(path, f"is no whole number from {least} to {most}")

    return rule


def at_least(least: int) -> Rule:
    """Return the rule for whole numbers of 32 bits from *least* on."""
    return whole(least, 2**31 - 1)


def quantity(parse: Callable[[str], int], amount: int, *, or_less: bool = False) -> Rule:
    """
    Return the rule for Kubernetes quantities that are *amount*.

    Args:
        parse: Turns text into the unit of *amount*.
        or_less: Less will do.
    """
    problem = "is more than was granted" if or_less else "is not what was granted"

    def rule(value: Json, path: str) -> Iterator[Violation]:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            yield Violation(path, "is no quantity")
            return
        try:
            found = parse(str(value))
        except BadQuantity:
            yield Violation(path, "is no quantity")
            return
        if found > amount or (found < amount and not or_less):
            yield Violation(path, problem)

    return rule


def text(value: Json, path: str) -> Iterator[Violation]:
    """Check that *value* is text."""
    if not isinstance(value, str):
        yield Violation(path, "is no text")


def label(value: Json, path: str) -> Iterator[Violation]:
    """Check that *value* is a DNS label (RFC 1123), which names of the parts of a Pod are."""
    if not isinstance(value, str) or not _LABEL.fullmatch(value):
        yield Violation(path, "is no DNS label")


def flag(value: Json, path: str) -> Iterator[Violation]:
    """Check that *value* is true or false."""
    if not isinstance(value, bool):
        yield Violation(path, "is neither true nor false")


def off(value: Json, path: str) -> Iterator[Violation]:
    """Check that *value* is false."""
    if value is not False:
        yield Violation(path, "is not false")


def on(value: Json, path: str) -> Iterator[Violation]:
    """Check that *value* is true."""
    if value is not True:
        yield Violation(path, "is not true")


def anything(value: Json, path: str) -> Iterator[Violation]:  # noqa: ARG001 - a rule
    """Find nothing wrong: the value was compared as part of a whole."""
    return iter(())


def same(one: Json, other: Json) -> bool:
    """Whether two JSON values are equal, types included."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def _below(path: str, key: Json) -> str:
    if isinstance(key, str) and _PLAIN_KEY.fullmatch(key):
        return (f"{path}.{key}" if path else key)[:_LONGEST]
    return f"{path}[{key!r}]"[:_LONGEST]
