"""
The file as it is written: YAML without surprises, and the line on which something stands.

A duplicate key is a mistake here, dates stay text, and every problem is told with its line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from eugospawner.settings.fields import FORMS

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

Location = tuple[int | str, ...]
Problem = tuple[Location, str]


def _without_base_60(pattern: re.Pattern[str]) -> re.Pattern[str]:
    """Return *pattern* of a resolver, which matches no text with a colon in it any more."""
    return re.compile(rf"(?![-+0-9_]*:){pattern.pattern}", pattern.flags)


class _Loader(yaml.SafeLoader):
    """
    YAML without dates and without numbers to the base of 60.

    An image tag may look like a date, and 18:00 is a time of day, not 1080 (YAML 1.1).
    """

    yaml_implicit_resolvers = {
        first: [
            (tag, _without_base_60(pattern))
            for tag, pattern in resolvers
            if tag != "tag:yaml.org,2002:timestamp"
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def read(text: str) -> tuple[yaml.Node | None, list[Problem], object]:
    """
    Return the nodes of *text*, its duplicate keys, and its content.

    Making the content puts what a mapping has from another by a merge key (``<<``) among its own
    nodes, where it keeps the line on which it was written.
    """
    loader = _Loader(text)
    root = loader.get_single_node()
    problems = list(_duplicate_keys(root, (), set()))
    return root, problems, None if root is None else loader.construct_document(root)


def read_entry(text: str) -> tuple[yaml.Node | None, list[Problem], object]:
    """
    Read one entry that somebody typed, as `read`.

    Raises:
        ValueError: It uses anchors or merge keys: a few lines of them stand for millions.
    """
    tokens = yaml.scan(text, Loader=_Loader)
    anchors = (each for each in tokens if isinstance(each, yaml.AliasToken | yaml.AnchorToken))
    first = next(anchors, None)
    if first is not None:
        message = (
            f"line {first.start_mark.line + 1}: anchors (& and *) are for the file: write it out"
        )
        raise ValueError(message)
    return read(text)


def words_of(error: Any) -> str:
    """Return what pydantic's *error* says, in the words of whoever wrote the file."""
    if error["type"] == "extra_forbidden":
        return "there is no such key"
    if error["type"] == "missing":
        return "the key is missing"
    if error["type"] == "model_type":
        return "expected keys and values"
    if error["type"] == "string_pattern_mismatch":
        return FORMS[error["ctx"]["pattern"]]
    message = str(error["msg"])
    if error["type"] == "value_error":
        return message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _duplicate_keys(
    node: yaml.Node | None, location: Location, visited: set[int]
) -> Iterator[Problem]:
    """YAML lets a later key win in silence; a catalog must not lose an entry that way."""
    if id(node) in visited:
        return  # an alias: told where its anchor stands, and an anchor may hold itself
    visited.add(id(node))
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # no key of ours; making the content refuses it with its line
            here = (*location, key.value)
            if key.value in seen:
                yield here, "the key stands here twice"
            seen.add(key.value)
            yield from _duplicate_keys(value, here, visited)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _duplicate_keys(value, (*location, index), visited)


def located(
    name: str, root: yaml.Node | None, problems: Iterable[Problem], changed: Container[Location]
) -> Iterator[str]:
    """
    Yield each problem as ``file:line: field: problem``.

    Args:
        changed: Section and key of what was changed at run time; it stands in no file.
    """
    for location, problem in problems:
        parts = [str(part) for part in location if part != "[key]"]
        # A key may hold a line break; what it names is still one line.
        shown = ".".join(each if each.isprintable() else repr(each) for each in parts) or "catalog"
        if location[:2] in changed:
            yield f"changed at run time: {shown}: {problem}"
        else:
            yield f"{name}:{_line(root, location)}: {shown}: {problem}"


def _line(node: yaml.Node | None, location: Location) -> int:
    """Return the line of *location*, or of the nearest thing above it that exists."""
    line = node.start_mark.line + 1 if node is not None else 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == str(part)]
            if not found:
                break
            key, node = found[-1]
            line = key.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line
