"""
Configured: what the hub's own configuration puts into every Pod of a spawner.

The admin's volumes, sidecars, tolerations and the like are traits of KubeSpawner. They are read
before `modify_pod_hook` runs, so that the manifest gate can tell what the configuration declares
from what a hook or an override slipped in. Nothing here is allowed by being declared: the gate
holds it to the same floor as everything else. Traits that say freely what a Pod holds
(`extra_pod_config`, `extra_container_config`) declare nothing. Source: design §§5 and 9.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: A value as JSON gives it.
Json = Any

_SNAKE: Final = re.compile(r"_([a-z])")
_SPELLING: Final = {"downward_api": "downwardAPI"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """
    What the configuration and the workspace's identity put into its Pod.

    Attributes:
        home_claim: PersistentVolumeClaim of the owner's home.
        home_path: Where the home is mounted.
        owner_slug: The owner's name as it stands in labels.
        workspace_slug: The server's name as it stands in labels; empty for the default server.
        session: Identifier of this run.
        labels: KubeSpawner's own and the admin's; those of the platform come from the grant.
        annotations: KubeSpawner's own and the admin's.
        affinity: In Kubernetes' words; empty: none.
        fs_group: Group that volumes are given to; `None`: none.
        containers: Sidecars, which run beside the notebook.
        environment: Entries of the notebook's environment that are no plain text.
        limits: What containers may have besides CPU and memory.
        requests: Likewise.
    """

    name: str
    namespace: str
    home_claim: str
    home_path: str
    owner_slug: str
    workspace_slug: str
    session: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    service_account: str | None = None
    image_pull_policy: str | None = None
    image_pull_secrets: tuple[Json, ...] = ()
    node_selector: Mapping[str, str]
    tolerations: tuple[Json, ...] = ()
    affinity: Mapping[str, Json]
    fs_group: int | None = None
    supplemental_groups: tuple[int, ...] = ()
    volumes: tuple[Json, ...] = ()
    volume_mounts: tuple[Json, ...] = ()
    containers: tuple[Json, ...] = ()
    init_containers: tuple[Json, ...] = ()
    environment: tuple[Json, ...] = ()
    limits: Mapping[str, Json]
    requests: Mapping[str, Json]


def of(spawner: Any) -> Configured:
    """Return what the traits of a KubeSpawner declare, its templates expanded for its user."""

    def declared(trait: str) -> tuple[Json, ...]:
        values = spawner._sorted_dict_values(getattr(spawner, trait))  # noqa: SLF001
        return tuple(_camel(each) for each in spawner._expand_all(values) or ())  # noqa: SLF001

    groups = spawner.supplemental_gids
    return Configured(
        name=spawner.pod_name,
        namespace=spawner.namespace,
        home_claim=spawner.pvc_name,
        home_path=spawner.desk.catalog.storage.home_path,
        owner_slug=spawner._slug(spawner.user.name),  # noqa: SLF001
        workspace_slug=spawner._slug(spawner.name),  # noqa: SLF001
        session=spawner._session_id,  # noqa: SLF001
        labels=spawner._build_pod_labels(  # noqa: SLF001
            spawner._expand_all(spawner.extra_labels)  # noqa: SLF001
        ),
        annotations=spawner._build_common_annotations(  # noqa: SLF001
            spawner._expand_all(spawner.extra_annotations)  # noqa: SLF001
        ),
        service_account=spawner._expand_all(spawner.service_account),  # noqa: SLF001
        image_pull_policy=spawner.image_pull_policy,
        image_pull_secrets=tuple(
            {"name": each} if isinstance(each, str) else plain(each)
            for each in spawner.image_pull_secrets or ()
        ),
        node_selector=plain(spawner.node_selector or {}),
        tolerations=_unexpanded(spawner, "tolerations"),
        affinity=_affinity(spawner),
        fs_group=spawner.fs_gid,
        supplemental_groups=() if callable(groups) else tuple(groups or ()),
        volumes=declared("volumes"),
        volume_mounts=declared("volume_mounts"),
        containers=declared("extra_containers"),
        init_containers=declared("init_containers"),
        environment=tuple(_environment(spawner)),
        limits=plain(spawner.extra_resource_limits or {}),
        requests=plain(spawner.extra_resource_guarantees or {}),
    )


def plain(value: Json) -> Json:
    """
    Return a copy of *value* as the API server reads it: tuples are lists, null is absent.

    Models of the Kubernetes clients, which may stand in a configuration, are objects like others.
    """
    if hasattr(value, "attribute_map"):
        value = {key: getattr(value, name) for name, key in value.attribute_map.items()}
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items() if each is not None}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def _unexpanded(spawner: Any, trait: str) -> tuple[Json, ...]:
    values = spawner._sorted_dict_values(getattr(spawner, trait))  # noqa: SLF001
    return tuple(_camel(each) for each in values or ())


def _affinity(spawner: Any) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for kind, prefix in (
        ("nodeAffinity", "node_affinity"),
        ("podAffinity", "pod_affinity"),
        ("podAntiAffinity", "pod_anti_affinity"),
    ):
        preferred = list(_unexpanded(spawner, f"{prefix}_preferred"))
        required: Json = list(_unexpanded(spawner, f"{prefix}_required"))
        if required and kind == "nodeAffinity":
            required = {"nodeSelectorTerms": required}
        terms = {
            "preferredDuringSchedulingIgnoredDuringExecution": preferred,
            "requiredDuringSchedulingIgnoredDuringExecution": required,
        }
        if preferred or required:
            found[kind] = {key: each for key, each in terms.items() if each}
    return found


def _environment(spawner: Any) -> Iterable[Json]:
    for name, given in spawner.environment.items():
        value = given(spawner) if callable(given) else spawner._expand_all(given)  # noqa: SLF001
        if isinstance(value, dict):
            yield {"name": name, **_camel(value)}


def _camel(value: Json) -> Json:
    """Return *value* with its own keys in Kubernetes' spelling, as KubeSpawner writes them."""
    value = plain(value)
    if not isinstance(value, dict):
        return value
    return {_SPELLING.get(key, _to_camel(key)): each for key, each in value.items()}


def _to_camel(key: str) -> str:
    return _SNAKE.sub(lambda match: match[1].upper(), key)
