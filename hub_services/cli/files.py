"""Files: entries as they are written in the catalog, read as the hub reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import yaml

from eugospawner.settings import yamlfile

if TYPE_CHECKING:
    from pathlib import Path


def read_mapping(file: Path) -> dict[str, Any]:
    """
    Return the keys and values in *file*.

    Raises:
        UsageError: It cannot be read, or holds something else.
    """
    try:
        _, problems, content = yamlfile.read(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        message = f"{file} cannot be read: {error}"
        raise click.UsageError(message) from error
    if problems:
        location, problem = problems[0]
        message = f"{file}: {'.'.join(str(part) for part in location)}: {problem}"
        raise click.UsageError(message)
    if not isinstance(content, dict):
        message = f"{file}: expected keys and values, as in catalog.yaml."
        raise click.UsageError(message)
    return content
