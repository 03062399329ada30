"""Commands and settings that the docs quote exist, and the reference has every command."""

import re
import shlex
from pathlib import Path

import click
import pytest

from hub_services.cli.app import main
from hub_services.common.problems import RULES

ROOT = Path(__file__).parents[3]
DOCS = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"]


def commands(group: click.Group = main, path: tuple[str, ...] = ()) -> dict[str, click.Command]:
    found = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= commands(command, (*path, name))
        else:
            found[" ".join((*path, name))] = command
    return found


def quoted() -> list[tuple[str, str]]:
    """Return every line that begins with `eugo` in a block, and what stands between backticks."""
    found = []
    for page in DOCS:
        text = page.read_text("utf-8")
        lines = re.findall(r"^(?:\$ )?(eugo [^\n]*)$", text, re.MULTILINE)
        lines += re.findall(r"`(eugo [^`…]*)`", text)
        found.extend((page.name, line.partition(" > ")[0]) for line in lines)
    return found


@pytest.mark.parametrize(("page", "line"), quoted())
def test_a_quoted_command_can_be_given_so(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    while words and words[0].startswith("--"):
        words = words[2:]
    known = commands()
    length = next((n for n in (3, 2, 1) if " ".join(words[:n]) in known), 0)
    if not length:  # a group, or any command
        groups = {name.partition(" ")[0] for name in known}
        assert words[-1:] == ["--help"] or " ".join(words) in {"COMMAND", *groups}, (page, line)
        return
    command, rest = known[" ".join(words[:length])], words[length:]
    options = {each for parameter in command.params for each in parameter.opts}
    unknown = [
        word.partition("=")[0]
        for word in rest
        if word.startswith("--") and word.partition("=")[0] not in options | {"--help"}
    ]
    if " ".join(words[:length]) == "quota set":
        unknown = [
            each for each in unknown if not re.fullmatch(r"--[a-z0-9-]+-hours-(day|month)", each)
        ]
    assert not unknown, (page, line)


def test_the_reference_has_every_command_and_what_it_says() -> None:
    text = (ROOT / "docs" / "reference" / "cli.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `eugo ([^`]+)` \| (.+) \|$", text, re.MULTILINE))
    assert rows == {name: each.get_short_help_str(200) for name, each in commands().items()}


def test_the_reference_has_every_reason_of_the_doors() -> None:
    text = (ROOT / "docs" / "reference" / "services.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d{3}) \| `([a-z-]+)` \| (.+) \|$", text, re.MULTILINE)
    assert rows == [
        (str(status), str(reason), meaning) for reason, (status, meaning) in RULES.items()
    ]
