"""One namespace, seen through kubectl: create, look, wait."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from tests import patience

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.integration.devcluster.clusters import Kubectl
    from tests.integration.devcluster.pods import Json

T = TypeVar("T")

PATIENCE_SECONDS = 60
"""Far above what anything takes, for a machine that is busy."""


def eventually(look: Callable[[], T | None], what: str, *, within: float = PATIENCE_SECONDS) -> T:
    """Return what *look* finds, as soon as it finds something."""
    found = patience.eventually(look, f"not within {within} s: {what}", seconds=within)
    assert found
    return found


@dataclass(frozen=True, slots=True)
class Place:
    name: str
    kubectl: Kubectl
    command: tuple[str, ...]
    """kubectl's own command line, for tests that talk to it."""
    folder: Path

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Return what kubectl says in this namespace."""
        return self.kubectl("--namespace", self.name, *arguments, stdin=stdin).stdout

    def create(self, *objects: Json) -> None:
        content = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self.run("apply", "-f", "-", stdin=content)

    def get(self, kind: str, name: str) -> Json:
        found: Json = json.loads(self.run("get", kind, name, "-o", "json"))
        return found

    def all(self, kind: str) -> list[Json]:
        found: list[Json] = json.loads(self.run("get", kind, "-o", "json"))["items"]
        return found

    def wait(self, what: str, condition: str) -> None:
        """Wait with `kubectl wait --for`."""
        self.run("wait", what, f"--for={condition}", f"--timeout={PATIENCE_SECONDS}s")

    def runs(self, *pods: Json) -> None:
        """Create *pods* and wait until they are Ready."""
        self.create(*pods)
        for pod in pods:
            self.wait(f"pod/{pod['metadata']['name']}", "condition=Ready")

    def finishes(self, pod: Json) -> str:
        """Create *pod*, wait until it has succeeded, return what it logged."""
        name = pod["metadata"]["name"]
        self.create(pod)
        self.wait(f"pod/{name}", "jsonpath={.status.phase}=Succeeded")
        return self.run("logs", name)

    def shell(self, pod: str, script: str) -> str:
        return self.run("exec", pod, "--", "sh", "-c", script)

    def reasons(self, name: str) -> dict[str, str]:
        """Return the messages of events about the object *name*, by reason."""
        listed = json.loads(
            self.run("get", "events", f"--field-selector=involvedObject.name={name}", "-o", "json")
        )
        return {event["reason"]: event["message"] for event in listed["items"]}

    def status_of(self, pod: str, container: str = "main") -> dict[str, Any]:
        for status in self.get("pod", pod)["status"].get("containerStatuses", []):
            if status["name"] == container:
                found: dict[str, Any] = status
                return found
        return {}
