"""
What the cluster is said to have: its Node, GPUs, images, storage, and Nodes without machines.

Parsed strictly from one YAML file: a key that does not exist, a value out of bounds or a name used
twice is a mistake, told with file, line and field before anything is started. The words are those
of Kubernetes in its spelling (`workingDir`, `readyAfter`), the short form of a GPU is ours
(`gpus.py` makes devices of it). Reference: docs/reference/inventory.md, which a test keeps true.

Nothing here touches the machine. The default, `inventory.yaml` beside this module, is the hardware
that the product's sample catalog speaks of.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from . import mig as partitions
from .errors import ExitCode, Trouble
from .quantities import amount

DEFAULT = Path(__file__).with_name("inventory.yaml")


def _positive(quantity: str) -> str:
    if amount(quantity) <= 0:
        message = "must be more than nothing"
        raise ValueError(message)
    return quantity


Quantity = Annotated[str, AfterValidator(_positive)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=63)]
Label = Annotated[str, Field(max_length=63)]
Duration = Annotated[str, Field(pattern=r"^(\d+(\.\d+)?(ms|s|m|h))+$")]


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        coerce_numbers_to_str=True,
        use_attribute_docstrings=True,
    )


class Gpu(_Part):
    """Some GPUs of one model."""

    product: str
    """Product name as the vendor's driver says it; claims select by it."""

    memory: Quantity
    """Of one GPU."""

    count: int = Field(default=1, ge=1, le=64)
    """How many the Node has."""

    model: str | None = None
    """Short name, for readers of this file only."""

    architecture: str = "unknown"
    """As the vendor's driver says it, such as Hopper."""

    compute_capability: str = Field(default="8.0.0", pattern=r"^\d+\.\d+\.\d+$")
    """CUDA's, as a version; published by the NVIDIA-like driver."""

    shares: bool = True
    """Whether several claims may share one, by percent; else it is the NVIDIA-like driver's."""

    mig: tuple[str, ...] = ()
    """MIG profiles that it can be cut into, such as 1g.5gb; none for a GPU that cannot."""

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Self:
        if self.shares and self.mig:
            message = "a GPU with mig profiles is cut, not shared: add 'shares: false'"
            raise ValueError(message)
        for words in self.mig:
            partitions.profile(words, memory=self.memory)
        return self


class Driver(_Part):
    """A DRA driver of your own, in the words of the resource API."""

    name: Name
    """Its name, and that of its DeviceClass."""

    devices: tuple[dict[str, Any], ...]
    """resource.k8s.io/v1 Devices, verbatim."""

    shared_counters: tuple[dict[str, Any], ...] = ()
    """resource.k8s.io/v1 CounterSets, verbatim."""


class Node(_Part):
    """The Node that runs processes."""

    name: Name = "devnode"
    """Of the Node object. Part of the data: another name is another Node."""

    cpu: int | None = Field(default=None, ge=1, le=1024)
    """Cores it claims to have; the machine's own if absent. More than it has is no mistake."""

    memory: Quantity | None = None
    """Memory it claims to have; the machine's own if absent."""

    pods: int = Field(default=250, ge=1, le=10000)
    """How many Pods it takes at most."""

    labels: dict[str, Label] = {}
    """Of the Node object."""


class Image(_Part):
    """What an image reference stands for: programs of this machine."""

    command: tuple[str, ...] = ()
    """Entry point; may be empty if every Pod brings its own."""

    args: tuple[str, ...] = ()
    """Arguments of the entry point, unless the Pod brings others."""

    env: dict[str, str] = {}
    """Environment, before the Pod's own."""

    path: tuple[str, ...] = ()
    """Folders put before PATH."""

    working_dir: str | None = None
    """Working folder, unless the Pod says another."""

    user: int | None = Field(default=None, ge=0)
    """User that it runs as, unless the Pod says another."""

    show: tuple[str, ...] = ()
    """Folders visible at their own paths, even below a closed home."""


class StorageClass(_Part):
    """A way to get PersistentVolumes, all of them folders of the data."""

    name: Name
    """Of the StorageClass."""

    default: bool = False
    """Whether claims without a class get it."""

    expansion: bool = True
    """Whether claims may grow."""

    reclaim: str = Field(default="Delete", pattern="^(Delete|Retain)$")
    """What becomes of a volume whose claim is deleted."""

    binding: str = Field(default="Immediate", pattern="^(Immediate|WaitForFirstConsumer)$")
    """When a claim gets its volume."""


class NodeGroup(_Part):
    """Nodes without machines: kept Ready, Pods on them are said to run and do nothing."""

    prefix: Annotated[str, Field(pattern=r"^[a-z0-9][-a-z0-9.]*$", max_length=58)]
    """Their names are PREFIX0, PREFIX1, …"""

    count: int = Field(default=1, ge=1, le=5000)
    """How many."""

    cpu: Quantity = "96"
    """Cores of each."""

    memory: Quantity = "768Gi"
    """Memory of each."""

    pods: int = Field(default=250, ge=1, le=10000)
    """How many Pods each takes at most."""

    labels: dict[str, Label] = {}
    """Of each Node object."""

    taints: tuple[dict[str, str], ...] = ()
    """Taints of each, in the words of the API: key, value, effect."""

    gpus: tuple[Gpu, ...] = ()
    """GPUs of each."""

    ready_after: Duration | None = None
    """How long a Pod on it takes to become Ready, such as 2s; at once if absent."""


class Inventory(_Part):
    """The whole file."""

    node: Node = Node()
    """The Node that runs processes."""

    gpus: tuple[Gpu, ...] = ()
    """Its GPUs, in the short form."""

    drivers: tuple[Driver, ...] = ()
    """Further devices of it, in the words of the API."""

    images: dict[str, Image] = {}
    """Image references that can run; any other is not found."""

    storage: tuple[StorageClass, ...] = (StorageClass(name="devcluster", default=True),)
    """Storage classes."""

    nodes: tuple[NodeGroup, ...] = ()
    """Nodes without machines."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        for what, names in (
            ("drivers", [driver.name for driver in self.drivers]),
            ("storage", [storage.name for storage in self.storage]),
            ("nodes", [group.prefix for group in self.nodes]),
        ):
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                message = f"{what}: {', '.join(sorted(twice))} occurs more than once"
                raise ValueError(message)
        if sum(storage.default for storage in self.storage) > 1:
            message = "storage: more than one class is the default"
            raise ValueError(message)
        return self


def load(path: Path) -> Inventory:
    """
    Read an inventory.

    Raises:
        Trouble: It cannot be read, or is wrong; says where.
    """
    try:
        text = path.read_text("utf-8")
        # The same rules as safe_load; the nodes are kept, for they know their lines.
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except OSError as error:
        raise _mistake(path, str(error.strerror)) from error
    except UnicodeDecodeError as error:
        raise _mistake(path, "it is not UTF-8 text") from error
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise _mistake(path, f"not YAML{line}: {error.problem}") from error
    try:
        return Inventory.model_validate({} if content is None else content)
    except ValidationError as error:
        first, *others = error.errors(include_url=False)
        where = ".".join(str(step) for step in first["loc"]) or "the file"
        more = f" (and {len(others)} more)" if others else ""
        raise _mistake(
            path, f"line {_line(root, first['loc'])}, {where}: {_words(first)}{more}"
        ) from error


def _mistake(path: Path, what: str) -> Trouble:
    return Trouble(
        problem=f"The inventory {path} is wrong: {what}.",
        remedy="docs/reference/inventory.md has every field.",
        exit_code=ExitCode.MISTAKE,
    )


def _words(error: Any) -> str:  # pydantic_core's ErrorDetails
    if error["type"] == "extra_forbidden":
        return "there is no such field"
    message: str = error["msg"]
    return message.removeprefix("Value error, ")


def _line(node: yaml.Node | None, steps: tuple[int | str, ...]) -> int:
    """Return the line, counted from 1, of what *steps* lead to, or of the last that exists."""
    line = 1
    for step in steps:
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == str(step)]
            if not found:
                break
            key, node = found[-1]
            line = key.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
            line = node.start_mark.line + 1
        else:
            break
    return line
