"""
Settings: `catalog.yaml` and what was changed since, read strictly into the values that rules know.

An unknown key, a wrong type, a duplicate key or a reference to something that does not exist
refuses the start of the hub with file and line (promise 7). All problems are told at once. What
admins changed at run time stands in the store, in the words of the file, and wins over it; both
are judged together by the same models. Source: design §4; F48.

- `yamlfile`: the file as it is written, and lines
- `fields`: what may stand behind a key
- `catalog`, `plans`, `accounts`: the sections, and the values they become
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import yaml
from pydantic import ValidationError

from eugospawner.policy.catalog import Catalog, Kind
from eugospawner.policy.errors import ConfigError
from eugospawner.settings import accounts, catalog, plans
from eugospawner.settings.fields import Key
from eugospawner.settings.plans import AllowedEntry, PlanEntry, QuotaEntry
from eugospawner.settings.yamlfile import located, read, words_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from eugospawner.policy.accounts import Directory
    from eugospawner.settings.yamlfile import Problem

#: Sections whose entries admins may change at run time.
CHANGEABLE: Final = (
    "organizations",
    "groups",
    "projects",
    "people",
    "profiles",
    "plans",
    "queues",
    "quotas",
)

#: What was changed at run time, by section and key; `None`: the entry was removed.
Changes = Mapping[tuple[str, str], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an operator offers, and who is who."""

    catalog: Catalog
    directory: Directory


class _Defaults(catalog.DefaultsEntry):
    plan: AllowedEntry


class _File(catalog.Sections, accounts.Sections):
    defaults: _Defaults
    plans: dict[Key, PlanEntry] = {}
    quotas: dict[Key, QuotaEntry] = {}


def load(path: Path, changes: Changes | None = None) -> Settings:
    """
    Read *path*.

    Args:
        changes: What was changed since at run time.

    Raises:
        ConfigError: The file cannot be read or is wrong; every problem stands on a line of its
            own as ``file:line: field: problem``.
    """
    return parse(read_file(path), name=str(path), changes=changes)


def read_file(path: Path) -> str:
    """
    Return the text of the file at *path*.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path}: the catalog cannot be read: {error}"
        raise ConfigError(message) from error


def mark_unavailable(
    offered: Catalog, *, kinds: Mapping[str, str], images: Mapping[str, str]
) -> Catalog:
    """
    Return *offered* with what this deployment does not have marked so, and why.

    Args:
        kinds: Sentences by kind: ``vscode``.
        images: Sentences by the image's key in the catalog.

    Raises:
        ConfigError: A kind or an image does not exist, or is given no sentence.
    """
    for setting, given, known in (
        ("unavailable_kinds", kinds, list(Kind)),
        ("unavailable_images", images, list(offered.images)),
    ):
        for key, sentence in given.items():
            if key not in known:
                message = (
                    f"EugoSpawner.{setting}: there is no {key!r}; known are: {', '.join(known)}"
                )
                raise ConfigError(message)
            if not sentence.strip():
                message = f"EugoSpawner.{setting}: say why {key!r} cannot be had; people read it"
                raise ConfigError(message)
    marked = {
        key: replace(image, unavailable=images.get(key, ""))
        for key, image in offered.images.items()
    }
    return replace(
        offered,
        images=marked,
        unavailable_kinds={Kind(key): sentence for key, sentence in kinds.items()},
    )


def parse(text: str, *, name: str, changes: Changes | None = None) -> Settings:
    """
    Read settings from *text*; *name* stands in errors for the file.

    Raises:
        ConfigError: As `load`.
    """
    try:
        root, problems, content = read(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        message = f"{name}{line}: not YAML: {getattr(error, 'problem', None) or error}"
        raise ConfigError(message) from error
    file: _File | None = None
    if not problems:
        try:
            file = _File.model_validate(_changed(content, changes or {}))
        except ValidationError as error:
            problems = [(tuple(each["loc"]), words_of(each)) for each in error.errors()]
        else:
            problems = list(_dangling(file))
    if file is None or problems:
        raise ConfigError("\n".join(located(name, root, problems, changes or {})))
    return _values(file)


#: Entries by section and key, in the words of the file.
Documents = Mapping[str, Mapping[str, Any]]


def documents(text: str) -> Documents:
    """Return the entries of a file's *text* that `parse` has taken."""
    return _sections(read(text)[2])


def with_changes(entries: Documents, changes: Changes) -> Documents:
    """Return *entries* with *changes* in them."""
    return _sections(_changed(dict(entries), changes))


def _sections(content: object) -> Documents:
    if not isinstance(content, dict):
        return {}
    return {section: entries for section, entries in content.items() if isinstance(entries, dict)}


def _changed(content: object, changes: Changes) -> object:
    """Return *content* of the file with *changes* in it; what is no mapping stays what it is."""
    if not changes or not isinstance(content, dict):
        return content
    sections = dict(content)
    for (section, key), document in changes.items():
        entries = sections.get(section) or {}
        if not isinstance(entries, dict):
            continue
        sections[section] = {
            **{
                each: value
                for each, value in entries.items()
                if each != key or document is not None
            },
            **({} if document is None else {key: document}),
        }
    return sections


def _dangling(file: _File) -> Iterator[Problem]:
    yield from catalog.problems(file)
    yield from plans.problems(file, file.plans, file.quotas)
    yield from plans.allowed_problems(("defaults", "plan"), file, file.defaults.plan)
    yield from accounts.problems(file, file.plans, file.quotas)


def _values(file: _File) -> Settings:
    known = {key: plans.plan(key, each, file) for key, each in file.plans.items()}
    return Settings(
        catalog=catalog.values(
            file,
            quotas=tuple(plans.quotas(file.quotas)),
            storage_quotas=tuple(plans.storage_quotas(file.quotas)),
        ),
        directory=accounts.values(
            file,
            known,
            plans.default_plan(file.defaults.plan, file),
            file.defaults.required,
        ),
    )
