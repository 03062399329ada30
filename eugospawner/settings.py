"""
Settings: `catalog.yaml`, read strictly into the values that rules know.

An unknown key, a wrong type, a duplicate key or a reference to something that does not exist
refuses the start of the hub with file and line (promise 7). All problems are told at once. Bare
YAML values are taken for what people mean by them (``cpu: 2``, ``memory: 8Gi``), nothing is
coerced beyond that: dates stay text. Source: design §4; F48.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from eugospawner.policy import units, volumes
from eugospawner.policy.catalog import (
    DEFAULT_QUEUE,
    MIG_SLICES,
    WHOLE_PERCENT,
    Catalog,
    Flavor,
    FlavorGpu,
    GpuModel,
    Image,
    Kind,
    Limits,
    MigSize,
    Profile,
    Queue,
    Storage,
    Strategy,
    Web,
)
from eugospawner.policy.errors import BadQuantity, ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

_Location = tuple[int | str, ...]
_Problem = tuple[_Location, str]

#: At most 9999 of a unit, some 27 years: deadlines stay within what a date can say.
_DURATION: Final = re.compile(r"([1-9][0-9]{0,3})(s|min|h|d)")
_SECONDS: Final = {"s": 1, "min": 60, "h": 3600, "d": 86400}


def _duration(value: object) -> timedelta:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        message = f"{value!r} is not a duration; write for example 30min, 8h or 2d"
        raise ValueError(message)
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])


def _text(value: object) -> object:
    """Take a bare number for its text, so that ``cpu: 2`` needs no quotes."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _home(path: str) -> str:
    # Against a home nobody has: only the form and the system folders matter here.
    problem = volumes.problem_of_path(path, "/nonexistent")
    if problem is not None:
        message = f"the path {path!r} {problem}"
        raise ValueError(message)
    return path


def _variable(name: str) -> str:
    if name.startswith("JUPYTERHUB_"):
        message = f"{name} is set by the hub itself"
        raise ValueError(message)
    return name


def _web_command(command: list[str]) -> list[str]:
    for word in command:
        try:
            word.format(port=1, unix_socket="", base_url="")
        except (LookupError, ValueError, AttributeError) as error:
            message = (
                f"{word!r} has braces that are none of {{port}}, {{unix_socket}} and {{base_url}}; "
                "write others twice: {{ and }}"
            )
            raise ValueError(message) from error
    if not any("{port}" in word or "{unix_socket}" in word for word in command):
        message = "says nowhere {port} or {unix_socket}, where the program has to listen"
        raise ValueError(message)
    return command


def _quoted(value: object) -> object:
    # YAML has read 010 as 8 and 1.10 as 1.1 before we see it; Kubernetes asks for text, too.
    if isinstance(value, int | float):
        message = f"{value!r} is no text: write the value in quotes"
        raise ValueError(message)  # noqa: TRY004 - pydantic reports ValueError alone
    return value


_Words = Annotated[str, StringConstraints(min_length=1, max_length=500, strip_whitespace=True)]
_KEY: Final = r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"
_MODEL_KEY: Final = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,38}[A-Za-z0-9])?$"
_DNS_LABEL: Final = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DNS_NAME: Final = rf"^{_DNS_LABEL}(\.{_DNS_LABEL})*$"
_IDENTIFIER: Final = r"^[A-Za-z_][A-Za-z0-9_]{0,31}$"
_REFERENCE: Final = r"^[a-z0-9][A-Za-z0-9._/:@-]*$"
_VARIABLE: Final = r"^[A-Za-z_][A-Za-z0-9_]*$"
_FRAMEWORK: Final = r"^[A-Za-z0-9]([A-Za-z0-9 ._+-]{0,38}[A-Za-z0-9+])?$"
#: A path below the workspace's address, with query: what a browser asks for unchanged.
_WEB_PATH: Final = r"^/([A-Za-z0-9._~-]+/?)*(\?[A-Za-z0-9._~=&/-]*)?$"
#: Compute slices, memory, and what a size has more (`+me`) or less (`-me`) than its like.
_MIG_PROFILE: Final = r"^[1-7]g\.[1-9][0-9]{0,3}gb([+-][a-z]+(\.[a-z]+)*)*$"
#: What a pattern means, for whoever did not keep to it.
_FORMS: Final[Mapping[str, str]] = {
    _KEY: "use up to 40 lower-case letters, digits and hyphens, with a letter or digit at both ends",
    _MODEL_KEY: "use up to 40 letters, digits and . _ -, with a letter or digit at both ends",
    _DNS_NAME: "use a DNS name such as gpu.example.com, in lower case",
    _IDENTIFIER: "use up to 32 letters, digits and underscores, not beginning with a digit",
    _REFERENCE: "use an image reference such as registry.example/team/image:tag, without blanks",
    _VARIABLE: "use letters, digits and underscores, not beginning with a digit",
    _FRAMEWORK: "use up to 40 letters, digits, blanks and . _ + -, for example PyTorch 2.5",
    _WEB_PATH: "use a path such as / or /app/, with letters, digits and . _ ~ -",
    _MIG_PROFILE: "use a profile's name such as 1g.5gb or 1g.5gb+me",
}
_Key = Annotated[str, StringConstraints(pattern=_KEY)]
_ModelKey = Annotated[str, StringConstraints(pattern=_MODEL_KEY)]
_DnsName = Annotated[str, StringConstraints(pattern=_DNS_NAME, max_length=253)]
_Identifier = Annotated[str, StringConstraints(pattern=_IDENTIFIER)]
_Reference = Annotated[str, StringConstraints(pattern=_REFERENCE, max_length=500)]
# Nothing is zero: KubeSpawner takes a limit of 0 for no limit at all.
_Cpu = Annotated[int, BeforeValidator(lambda value: units.parse_cpu(_quantity(value))), Field(gt=0)]
_Bytes = Annotated[
    int, BeforeValidator(lambda value: units.parse_memory(_quantity(value))), Field(gt=0)
]
_Duration = Annotated[timedelta, BeforeValidator(_duration)]
_Variable = Annotated[str, StringConstraints(pattern=_VARIABLE), AfterValidator(_variable)]


class _Loader(yaml.SafeLoader):
    """YAML without dates: nothing here is one, and an image tag may look like one."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - replaced, never changed  # type: ignore[misc]  # yaml's stubs say instance
        first: [each for each in resolvers if each[0] != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _quantity(value: object) -> str:
    text = _text(value)
    if not isinstance(text, str):
        message = f"{value!r} is not a Kubernetes quantity; write for example 2, 500m or 8Gi"
        raise BadQuantity(message)
    return text


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _MigSize(_Strict):
    profile: Annotated[str, StringConstraints(pattern=_MIG_PROFILE, max_length=40)]
    slices: Annotated[int, Field(ge=1, le=MIG_SLICES)]


class _GpuModel(_Strict):
    display_name: _Words
    strategy: Annotated[Strategy, Field(strict=False)]
    device_class: _DnsName
    driver: _DnsName
    products: Annotated[list[_Words], Field(min_length=1)]
    product_attribute: _Identifier = "productName"
    memory: _Bytes
    sm_capacity: _Identifier | None = None
    sm_scale: Annotated[int, Field(ge=1)] = 100
    memory_capacity: _Identifier | None = None
    distinct_attribute: _Identifier | None = None
    device_type: _Words | None = None
    mig_sizes: dict[Annotated[int, Field(ge=1, le=WHOLE_PERCENT)], _MigSize] = {}


class _FlavorGpu(_Strict):
    model: _ModelKey
    count: Annotated[int, Field(ge=1)] = 1


class _Flavor(_Strict):
    display_name: _Words
    when_to_use: _Words
    cpu: _Cpu
    memory: _Bytes
    gpu: _FlavorGpu | None = None


class _Web(_Strict):
    command: Annotated[list[_Words], Field(min_length=1), AfterValidator(_web_command)]
    path: Annotated[str, StringConstraints(pattern=_WEB_PATH, max_length=200)] = "/"


class _Image(_Strict):
    reference: _Reference
    display_name: _Words
    description: _Words
    kinds: Annotated[list[Annotated[Kind, Field(strict=False)]], Field(min_length=1)]
    framework: Annotated[str, StringConstraints(pattern=_FRAMEWORK)] | None = None
    web: _Web | None = None


class _Profile(_Strict):
    display_name: _Words
    when_to_use: _Words
    flavors: Annotated[list[_Key], Field(min_length=1)]
    images: Annotated[list[_Key], Field(min_length=1)]
    kinds: Annotated[list[Annotated[Kind, Field(strict=False)]], Field(min_length=1)] = [
        Kind.JUPYTERLAB
    ]
    idle_stop: _Duration | None = None
    max_session: _Duration | None = None
    environment: dict[_Variable, Annotated[str, BeforeValidator(_quoted)]] = {}
    startup_script: Annotated[str, StringConstraints(max_length=16_384)] = ""


class _Queue(_Strict):
    display_name: _Words
    description: _Words
    priority: int
    priority_class: _DnsName
    preemptible: bool = False


class _Limits(_Strict):
    min_cpu: _Cpu
    max_cpu: _Cpu
    min_memory: _Bytes
    max_memory: _Bytes
    max_gpu_count: Annotated[int, Field(ge=0, le=32)]
    max_volumes: Annotated[int, Field(ge=0, le=32)]


class _Storage(_Strict):
    home_path: Annotated[str, AfterValidator(_home)]
    home_size: _Bytes
    volume_size: _Bytes


class _Defaults(_Strict):
    profile: _Key
    limits: _Limits
    storage: _Storage


class _File(_Strict):
    gpu_models: dict[_ModelKey, _GpuModel]
    flavors: Annotated[dict[_Key, _Flavor], Field(min_length=1)]
    images: Annotated[dict[_Key, _Image], Field(min_length=1)]
    profiles: Annotated[dict[_Key, _Profile], Field(min_length=1)]
    queues: Annotated[dict[_Key, _Queue], Field(min_length=1)]
    defaults: _Defaults


def load_catalog(path: Path) -> Catalog:
    """
    Read *path*.

    Raises:
        ConfigError: The file cannot be read or is wrong; every problem stands on a line of its
            own as ``file:line: field: problem``.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path}: the catalog cannot be read: {error}"
        raise ConfigError(message) from error
    return parse_catalog(text, name=str(path))


def mark_unavailable(
    catalog: Catalog, *, kinds: Mapping[str, str], images: Mapping[str, str]
) -> Catalog:
    """
    Return *catalog* with what this deployment does not have marked so, and why.

    Args:
        kinds: Sentences by kind: ``vscode``.
        images: Sentences by the image's key in the catalog.

    Raises:
        ConfigError: A kind or an image does not exist, or is given no sentence.
    """
    for setting, given, known in (
        ("unavailable_kinds", kinds, list(Kind)),
        ("unavailable_images", images, list(catalog.images)),
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
        for key, image in catalog.images.items()
    }
    return replace(
        catalog,
        images=marked,
        unavailable_kinds={Kind(key): sentence for key, sentence in kinds.items()},
    )


def parse_catalog(text: str, *, name: str) -> Catalog:
    """
    Read a catalog from *text*; *name* stands in errors for the file.

    Raises:
        ConfigError: As `load_catalog`.
    """
    try:
        root, problems, content = _read(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        message = f"{name}{line}: not YAML: {getattr(error, 'problem', None) or error}"
        raise ConfigError(message) from error
    file: _File | None = None
    if not problems:
        try:
            file = _File.model_validate(content)
        except ValidationError as error:
            problems = [(tuple(each["loc"]), _words(each)) for each in error.errors()]
        else:
            problems = list(_dangling(file))
    if file is None or problems:
        raise ConfigError("\n".join(_located(name, root, problems)))
    return _values(file)


def _read(text: str) -> tuple[yaml.Node | None, list[_Problem], object]:
    """
    Return the nodes of *text*, its duplicate keys, and its content.

    Making the content puts what a mapping has from another by a merge key (``<<``) among its own
    nodes, where it keeps the line on which it was written.
    """
    loader = _Loader(text)
    root = loader.get_single_node()
    problems = list(_duplicate_keys(root, (), set()))
    return root, problems, None if root is None else loader.construct_document(root)


def _words(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return "there is no such key"
    if error["type"] == "missing":
        return "the key is missing"
    if error["type"] == "model_type":
        return "expected keys and values"
    if error["type"] == "string_pattern_mismatch":
        return _FORMS[error["ctx"]["pattern"]]
    message = str(error["msg"])
    if error["type"] == "value_error":
        return message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _duplicate_keys(
    node: yaml.Node | None, location: _Location, visited: set[int]
) -> Iterator[_Problem]:
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


def _located(name: str, root: yaml.Node | None, problems: Iterable[_Problem]) -> Iterator[str]:
    for location, problem in problems:
        shown = ".".join(str(part) for part in location if part != "[key]") or "catalog"
        yield f"{name}:{_line(root, location)}: {shown}: {problem}"


def _line(node: yaml.Node | None, location: _Location) -> int:
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


def _dangling(file: _File) -> Iterator[_Problem]:
    """Find references to what does not exist, and combinations that cannot work."""
    yield from _bad_models(file)
    for key, flavor in file.flavors.items():
        if flavor.gpu is not None and flavor.gpu.model not in file.gpu_models:
            yield ("flavors", key, "gpu", "model"), _unknown(flavor.gpu.model, file.gpu_models)
    for key, profile in file.profiles.items():
        for index, flavor_key in enumerate(profile.flavors):
            if flavor_key not in file.flavors:
                yield ("profiles", key, "flavors", index), _unknown(flavor_key, file.flavors)
        for index, image in enumerate(profile.images):
            if image not in file.images:
                yield ("profiles", key, "images", index), _unknown(image, file.images)
        for index, kind in enumerate(profile.kinds):
            images = [file.images[image] for image in profile.images if image in file.images]
            if images and not any(kind in image.kinds for image in images):
                yield ("profiles", key, "kinds", index), f"no image of the profile runs {kind}"
    references: dict[str, str] = {}
    for key, each in file.images.items():
        first = references.setdefault(each.reference, key)
        if first != key:
            yield ("images", key, "reference"), f"is already the reference of {first!r}"
        if (Kind.CUSTOM in each.kinds) != (each.web is not None):
            yield (
                ("images", key, "web"),
                "custom needs the command of the image's web program"
                if each.web is None
                else "only an image of the kind custom has a web program",
            )
    if file.defaults.profile not in file.profiles:
        yield ("defaults", "profile"), _unknown(file.defaults.profile, file.profiles)
    if DEFAULT_QUEUE not in file.queues:
        yield ("queues",), f"the queue {DEFAULT_QUEUE!r} always exists: add it"
    yield from _bad_bounds(file)


def _bad_models(file: _File) -> Iterator[_Problem]:
    for key, model in file.gpu_models.items():
        shared = model.strategy is Strategy.CONSUMABLE_CAPACITY
        if shared and model.sm_capacity is None:
            yield (
                ("gpu_models", key, "sm_capacity"),
                "consumable-capacity needs the name of the driver's SM capacity",
            )
        if shared and model.distinct_attribute is None:
            yield (
                ("gpu_models", key, "distinct_attribute"),
                "consumable-capacity needs an attribute that differs between devices",
            )
        cut = model.strategy is Strategy.MIG
        if cut != bool(model.mig_sizes):
            yield (
                ("gpu_models", key, "mig_sizes"),
                "mig needs the sizes to which a GPU can be cut, by their SM percent"
                if cut
                else f"only mig has sizes, and the strategy is {model.strategy}",
            )
        yield from _bad_sizes(key, model)


def _bad_sizes(key: str, model: _GpuModel) -> Iterator[_Problem]:
    """Find sizes that do not agree with themselves, or do not stand from small to large."""
    before = 0
    for percent, each in model.mig_sizes.items():
        here = ("gpu_models", key, "mig_sizes", percent)
        size = MigSize(profile=each.profile, slices=each.slices)
        if not each.profile.startswith(f"{each.slices}g."):
            yield (*here, "slices"), f"the profile {each.profile} has {each.profile[0]} of them"
        elif percent != size.sm_percent:
            share = f"{each.slices} of {MIG_SLICES} slices are {size.sm_percent} % SM"
            yield here, f"{share}: write {size.sm_percent}"
        if percent <= before:
            yield here, f"stands after {before}: write sizes from small to large"
        before = percent


def _bad_bounds(file: _File) -> Iterator[_Problem]:
    limits = file.defaults.limits
    if limits.min_cpu > limits.max_cpu:
        yield ("defaults", "limits", "min_cpu"), "is larger than max_cpu"
    if limits.min_memory > limits.max_memory:
        yield ("defaults", "limits", "min_memory"), "is larger than max_memory"
    for key, flavor in file.flavors.items():
        if not limits.min_cpu <= flavor.cpu <= limits.max_cpu:
            yield ("flavors", key, "cpu"), "lies outside defaults.limits"
        if not limits.min_memory <= flavor.memory <= limits.max_memory:
            yield ("flavors", key, "memory"), "lies outside defaults.limits"
        if flavor.gpu is not None and flavor.gpu.count > limits.max_gpu_count:
            yield ("flavors", key, "gpu", "count"), "lies outside defaults.limits"


_Value = TypeVar("_Value")


def _unknown(key: str, known: Mapping[str, _Value]) -> str:
    return f"there is no {key!r}; known are: {', '.join(known)}"


def _values(file: _File) -> Catalog:
    limits, storage = file.defaults.limits, file.defaults.storage
    return Catalog(
        gpu_models={key: _model(key, each) for key, each in file.gpu_models.items()},
        flavors={key: _flavor(key, each) for key, each in file.flavors.items()},
        images={key: _image(key, each) for key, each in file.images.items()},
        profiles={key: _profile(key, each) for key, each in file.profiles.items()},
        queues={
            key: Queue(
                key=key,
                display_name=each.display_name,
                description=each.description,
                priority=each.priority,
                priority_class=each.priority_class,
                preemptible=each.preemptible,
            )
            for key, each in file.queues.items()
        },
        default_profile=file.defaults.profile,
        limits=Limits(
            min_cpu_millicores=limits.min_cpu,
            max_cpu_millicores=limits.max_cpu,
            min_memory_bytes=limits.min_memory,
            max_memory_bytes=limits.max_memory,
            max_gpu_count=limits.max_gpu_count,
            max_volumes=limits.max_volumes,
        ),
        storage=Storage(
            home_path=storage.home_path,
            home_bytes=storage.home_size,
            volume_bytes=storage.volume_size,
        ),
        unavailable_kinds={},
    )


def _model(key: str, each: _GpuModel) -> GpuModel:
    return GpuModel(
        key=key,
        display_name=each.display_name,
        strategy=each.strategy,
        device_class=each.device_class,
        driver=each.driver,
        products=tuple(each.products),
        product_attribute=each.product_attribute,
        memory_bytes=each.memory,
        sm_capacity=each.sm_capacity,
        sm_scale=each.sm_scale,
        memory_capacity=each.memory_capacity,
        distinct_attribute=each.distinct_attribute,
        device_type=each.device_type,
        mig_sizes=tuple(
            MigSize(profile=size.profile, slices=size.slices) for size in each.mig_sizes.values()
        ),
    )


def _flavor(key: str, each: _Flavor) -> Flavor:
    gpu = FlavorGpu(model=each.gpu.model, count=each.gpu.count) if each.gpu else None
    return Flavor(
        key=key,
        display_name=each.display_name,
        when_to_use=each.when_to_use,
        cpu_millicores=each.cpu,
        memory_bytes=each.memory,
        gpu=gpu,
    )


def _image(key: str, each: _Image) -> Image:
    web = Web(command=tuple(each.web.command), path=each.web.path) if each.web else None
    return Image(
        key=key,
        reference=each.reference,
        display_name=each.display_name,
        description=each.description,
        kinds=frozenset(each.kinds),
        framework=each.framework or "",
        web=web,
        unavailable="",
    )


def _profile(key: str, each: _Profile) -> Profile:
    return Profile(
        key=key,
        display_name=each.display_name,
        when_to_use=each.when_to_use,
        flavors=tuple(each.flavors),
        images=tuple(each.images),
        kinds=tuple(each.kinds),
        idle_stop=each.idle_stop,
        max_session=each.max_session,
        environment=dict(each.environment),
        startup_script=each.startup_script,
    )
