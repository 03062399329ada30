"""
Choosing: what of a workspace's volumes is exported, in the words that people have for it.

Inside the workspace there are paths; outside there are volumes. A folder is named as the workspace sees it
(`/home/user/thesis`, `/data/run-3`) or from the home (`thesis`). Source: F44, F85.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eugospawner.policy.volumes import HOME_NAME, name_of, project_named_in
from hub_services.common.problems import DoorReason, Fault, FieldProblem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from eugospawner.policy.accounts import Accounts

ZIP: Final = "zip"


def mounts_of(options: Mapping[str, Any], home_path: str) -> dict[str, str]:
    """
    Return where a workspace with *options* has which volume: names by path, the home first.

    A volume is called as of `policy.volumes.name_of`.
    """
    listed = options.get("volumes")
    mounts = {home_path: HOME_NAME}
    for each in listed if isinstance(listed, list) else ():
        if isinstance(each, dict) and isinstance(each.get("claim"), str):
            mounts[str(each.get("mount_path", ""))] = name_of(each["claim"])
    return mounts


def without_lost(mounts: Mapping[str, str], accounts: Accounts) -> dict[str, str]:
    """Return *mounts* without the volumes of projects that their owner has left: what is in them is not theirs to take."""
    return {path: name for path, name in mounts.items() if project_left((name,), accounts) is None}


def project_left(names: Iterable[str], accounts: Accounts) -> str | None:
    """Return a project whose volume is among *names*, and that their owner is not in (any more); `None`: there is none."""
    projects = filter(None, map(project_named_in, names))
    return next((each for each in projects if accounts.find(each) is None), None)


def document_of(notebook: str, *, form: str, mounts: Mapping[str, str]) -> dict[str, Any]:
    """
    Return the choice of one *notebook*, named as folders are, as a document.

    Raises:
        Fault: It lies in none of the volumes, or is no notebook.
    """
    if not notebook.lower().endswith(".ipynb"):
        problem = "is no notebook: its name ends in .ipynb"
        raise Fault(
            DoorReason.MALFORMED,
            f"{notebook!r} {problem}.",
            (FieldProblem(field="body.folder", detail=problem),),
        )
    ((name, found),) = choice_of(notebook, notebooks=True, mounts=mounts).items()
    return {name: {"notebook": found["folder"], "format": form}}


def form_of(choice: Mapping[str, Any]) -> str:
    """Return what *choice* is fetched as: `zip`, `html` or `pdf`."""
    return str(next(iter(choice.values())).get("format", ZIP))


def choice_of(folder: str, *, notebooks: bool, mounts: Mapping[str, str]) -> dict[str, Any]:
    """
    Return by volume what is exported; without a *folder*, all volumes.

    Raises:
        Fault: The folder lies in none of the volumes.
    """
    if not folder:
        return {name: {"folder": "", "notebooks": notebooks} for name in mounts.values()}
    home = next(path for path, name in mounts.items() if name == HOME_NAME)
    path = folder if folder.startswith("/") else f"{home}/{folder}"
    parts = [part for part in path.split("/") if part not in {"", "."}]
    whole = "/" + "/".join(parts)
    if ".." not in parts and "\0" not in folder:
        for mount, name in sorted(mounts.items(), key=lambda each: -len(each[0])):
            if whole == mount or whole.startswith(f"{mount}/"):
                inside = whole[len(mount) :].lstrip("/")
                return {name: {"folder": inside, "notebooks": notebooks}}
    problem = (
        f"lies in no volume of the workspace: begin it with {' or '.join(mounts)}, and without “..”"
    )
    raise Fault(
        DoorReason.MALFORMED,
        f"The folder {folder!r} {problem}.",
        (FieldProblem(field="body.folder", detail=problem),),
    )
