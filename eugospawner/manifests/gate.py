"""
Manifest gate: the last look at the Pod before it is created, after every hook and override.

It knows the decision and what the hub's configuration declares, and refuses whatever else the
Pod holds. Deny by default: of every object the fields that may stand in it are listed with what
they may say, so a field that Kubernetes adds tomorrow is refused until somebody thinks about it.
It repairs nothing, and that a builder or KubeSpawner made something is no reason to pass. Words: *granted* is
what admission decided, *declared* what the configuration says (`configured`); the *floor* (Pod
Security *restricted*, no token, no device but by claim) holds for what is declared, too.
Source: design §§5 and 9; facts on security, §6; Pod Security Standards v1.35.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from eugospawner.manifests import claims, floor, labels, names, pod
from eugospawner.manifests.configured import plain
from eugospawner.manifests.shapes import (
    Violation,
    fields,
    flag,
    items,
    label,
    off,
    one_of,
    only,
    quantity,
    same,
    text,
    unique,
    whole,
)
from eugospawner.policy import units
from eugospawner.policy.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from eugospawner.manifests.configured import Configured
    from eugospawner.manifests.shapes import Rule
    from eugospawner.policy.decisions import Grant

#: A value as JSON gives it.
Json = Any

_NOTEBOOK: Final = "notebook"
#: Annotations that runtimes and kubelets obey: devices (CDI), confinement, networks.
_OBEYED: Final = (
    "cdi.k8s.io/",
    "container.apparmor.security.beta.kubernetes.io/",
    "container.seccomp.security.alpha.kubernetes.io/",
    "seccomp.security.alpha.kubernetes.io/",
    "io.kubernetes.cri-o.",
    "io.kubernetes.cri.",
    "io.katacontainers.",
    "k8s.v1.cni.cncf.io/",
)


class ManifestRefused(ConfigError):
    """
    A hook or an override of the configuration added what was not granted.

    Attributes:
        violations: Every one, in the order of the Pod.
    """

    def __init__(self, violations: tuple[Violation, ...]) -> None:
        super().__init__("; ".join(map(str, violations)))
        self.violations = violations


def hold(manifest: Json, grant: Grant | None, configured: Configured) -> None:
    """
    Return if the Pod may be created.

    Raises:
        ManifestRefused: It may not; also if nothing was granted at all.
    """
    if grant is None:
        raise ManifestRefused((Violation("", "nothing was granted"),))
    violations = check(manifest, grant, configured)
    if violations:
        raise ManifestRefused(violations)


def check(manifest: Json, grant: Grant, configured: Configured) -> tuple[Violation, ...]:
    """Return every way in which the Pod *manifest* holds what the decision does not allow."""
    return Gate(grant, configured).check(manifest)


@dataclass(frozen=True, slots=True)
class Gate:
    """The rules for one grant; `check` asks them about a Pod."""

    grant: Grant
    configured: Configured

    def check(self, manifest: Json) -> tuple[Violation, ...]:
        """Return every way in which *manifest* holds what the decision does not allow."""
        final = plain(manifest)
        rule = fields(
            {
                "apiVersion": only("v1"),
                "kind": only("Pod"),
                "metadata": self._metadata(),
                "spec": lambda spec, path: self._spec(spec)(spec, path),
            },
            required=("metadata", "spec"),
        )
        return tuple(rule(final, ""))

    # Identity

    def _metadata(self) -> Rule:
        configured = self.configured
        expected = {
            **configured.labels,
            **labels.make_pod_labels(
                self.grant,
                owner_slug=configured.owner_slug,
                workspace_slug=configured.workspace_slug,
                session=configured.session,
            ),
        }
        annotations = {
            key: only(value)
            for key, value in configured.annotations.items()
            if not key.startswith(_OBEYED)
        }
        return fields(
            {
                "name": only(configured.name),
                "namespace": only(configured.namespace),
                "labels": fields(
                    {key: only(value) for key, value in expected.items()}, required=expected
                ),
                "annotations": fields(annotations),
            },
            required=("name", "labels"),
        )

    # The Pod

    def _spec(self, spec: Json) -> Rule:
        grant, configured = self.grant, self.configured
        mounted = self._granted_volumes(spec)
        rules: dict[str, Rule] = {
            "containers": self._containers(mounted),
            "initContainers": self._init_containers(mounted),
            "volumes": self._volumes(),
            "restartPolicy": one_of("OnFailure", "Never"),
            "terminationGracePeriodSeconds": whole(0, floor.GRACE_SECONDS),
            "nodeSelector": only(dict(configured.node_selector)),
            "serviceAccountName": only(configured.service_account),
            "automountServiceAccountToken": off,
            "hostNetwork": off,
            "hostPID": off,
            "hostIPC": off,
            "shareProcessNamespace": off,
            "securityContext": self._pod_security(),
            "imagePullSecrets": items(one_of(*configured.image_pull_secrets)),
            "affinity": only(dict(configured.affinity)),
            "schedulerName": only("default-scheduler"),
            "tolerations": items(one_of(*configured.tolerations)),
            "priorityClassName": only(grant.queue.priority_class),
            "enableServiceLinks": off,
            "resourceClaims": only(self._claims()),
        }
        if grant.root_shell:
            rules["hostUsers"] = off
        required = [
            name
            for name, needed in {
                "containers": True,
                # Absent means: Always, a token, variables that tell of other people's Services.
                "restartPolicy": True,
                "automountServiceAccountToken": True,
                "enableServiceLinks": True,
                "securityContext": True,
                "priorityClassName": True,
                "serviceAccountName": configured.service_account,
                "nodeSelector": configured.node_selector,
                "affinity": configured.affinity,
                "hostUsers": grant.root_shell,
                "resourceClaims": grant.gpus,
            }.items()
            if needed
        ]
        return fields(rules, required=required)

    def _pod_security(self) -> Rule:
        root = self.grant.root_shell
        expected: dict[str, Json] = {
            "runAsUser": 0 if root else pod.UID,
            "runAsGroup": 0 if root else pod.GID,
            "runAsNonRoot": not root,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        rules = {key: only(value) for key, value in expected.items()}
        if self.configured.fs_group is not None:
            rules["fsGroup"] = only(self.configured.fs_group)
        if self.configured.supplemental_groups:
            rules["supplementalGroups"] = only(list(self.configured.supplemental_groups))
        return fields(rules, required=expected)

    def _claims(self) -> list[Json]:
        if self.grant.gpus is None:
            return []
        template = claims.template_name(self.grant.gpus)
        return [{"name": claims.NAME, "resourceClaimTemplateName": template}]

    # Volumes

    def _granted_paths(self) -> dict[str, str]:
        """Where each granted PersistentVolumeClaim is mounted."""
        owner = self.grant.owner
        return {
            self.configured.home_claim: self.configured.home_path,
            **{
                each.claim_name or names.volume_claim_name(owner, each.key): each.mount_path
                for each in self.grant.mounts
            },
        }

    def _granted_volumes(self, spec: Json) -> dict[str, str]:
        """Where each volume of the Pod that stands for a granted claim may be mounted."""
        paths, found = self._granted_paths(), {}
        listed = spec.get("volumes") if isinstance(spec, dict) else None
        for volume in listed if isinstance(listed, list) else ():
            claim = _claim_of(volume)
            if claim in paths and isinstance(volume.get("name"), str):
                found[volume["name"]] = paths[claim]
        return found

    def _volumes(self) -> Rule:
        granted = fields(
            {
                "name": label,
                "persistentVolumeClaim": fields(
                    {"claimName": one_of(*self._granted_paths()), "readOnly": flag},
                    required=("claimName",),
                ),
            },
            required=("name", "persistentVolumeClaim"),
        )

        def volume(value: Json, path: str) -> Iterator[Violation]:
            is_declared = any(same(value, each) for each in self.configured.volumes)
            yield from (floor.VOLUME if is_declared else granted)(value, path)

        return unique("name", items(volume))

    # Containers

    def _containers(self, mounted: Mapping[str, str]) -> Rule:
        notebook = self._notebook(mounted)
        sidecar = self._declared(self.configured.containers)

        def container(value: Json, path: str) -> Iterator[Violation]:
            is_notebook = isinstance(value, dict) and value.get("name") == _NOTEBOOK
            yield from (notebook if is_notebook else sidecar)(value, path)

        def containers(value: Json, path: str) -> Iterator[Violation]:
            yield from unique("name", items(container))(value, path)
            if isinstance(value, list) and not any(
                isinstance(each, dict) and each.get("name") == _NOTEBOOK for each in value
            ):
                yield Violation(path, f"has no container {_NOTEBOOK}")

        return containers

    def _init_containers(self, mounted: Mapping[str, str]) -> Rule:
        startup = pod.make_startup_container(self.grant, self.configured.home_path)
        known = [*self.configured.init_containers, *([plain(startup)] if startup else ())]
        declared = self._declared(known)
        image, mounts = only(self.grant.image.reference), items(self._mount(mounted))

        def container(value: Json, path: str) -> Iterator[Violation]:
            yield from declared(value, path)
            if startup and isinstance(value, dict) and value.get("name") == pod.STARTUP:
                # Granted, not declared: that the builder made it so is not enough.
                yield from image(value.get("image"), f"{path}.image")
                yield from mounts(value.get("volumeMounts", []), f"{path}.volumeMounts")

        return unique("name", items(container))

    def _notebook(self, mounted: Mapping[str, str]) -> Rule:
        grant, configured = self.grant, self.configured
        amounts: dict[str, Rule] = {
            "cpu": quantity(units.parse_cpu, grant.cpu_millicores),
            "memory": quantity(units.parse_memory, grant.memory_bytes),
        }
        at_most: dict[str, Rule] = {
            "cpu": quantity(units.parse_cpu, grant.cpu_millicores, or_less=True),
            "memory": quantity(units.parse_memory, grant.memory_bytes, or_less=True),
        }
        return fields(
            {
                "name": only(_NOTEBOOK),
                "image": only(grant.image.reference),
                "imagePullPolicy": only(configured.image_pull_policy),
                # What runs is the user's to choose anyway, within everything below.
                "command": items(text),
                "args": items(text),
                "workingDir": text,
                "ports": floor.PORTS,
                "env": unique("name", items(self._variable)),
                "resources": fields(
                    {
                        "limits": fields(
                            amounts | _further(configured.limits), required=("cpu", "memory")
                        ),
                        "requests": fields(at_most | _further(configured.requests)),
                        "claims": only(self._used_claims()),
                    },
                    required=("limits", *(("claims",) if grant.gpus else ())),
                ),
                "volumeMounts": unique("mountPath", items(self._mount(mounted))),
                "securityContext": floor.security(root=grant.root_shell),
                **floor.PROBES,
            },
            required=(
                *("name", "image", "resources", "securityContext"),
                *(("imagePullPolicy",) if configured.image_pull_policy else ()),
            ),
        )

    def _declared(self, known: Sequence[Json]) -> Rule:
        """Return the rule for a container that stands in the configuration, as it stands there."""
        root = self.grant.root_shell
        holds = floor.container(root=root, used_claims=self._used_claims())

        def container(value: Json, path: str) -> Iterator[Violation]:
            if not any(same(value, each) for each in known):
                yield Violation(path, "is neither granted nor declared by the configuration")
            yield from holds(value, path)

        return container

    def _used_claims(self) -> list[Json]:
        return [{"name": claims.NAME}] if self.grant.gpus else []

    def _variable(self, value: Json, path: str) -> Iterator[Violation]:
        if not any(same(value, each) for each in self.configured.environment):
            yield from floor.PLAIN_VARIABLE(value, path)
        yield from floor.no_devices(value, path)

    def _mount(self, mounted: Mapping[str, str]) -> Rule:
        def mount(value: Json, path: str) -> Iterator[Violation]:
            name = value.get("name") if isinstance(value, dict) else None
            if isinstance(name, str) and name in mounted:
                rules = {"name": text, "mountPath": only(mounted[name]), "readOnly": flag}
                yield from fields(rules, required=("name", "mountPath"))(value, path)
                return
            if not any(same(value, each) for each in self.configured.volume_mounts):
                yield Violation(path, "is neither granted nor declared by the configuration")
            yield from floor.MOUNT(value, path)

        return mount


def _claim_of(volume: Json) -> str | None:
    source = volume.get("persistentVolumeClaim") if isinstance(volume, dict) else None
    claim = source.get("claimName") if isinstance(source, dict) else None
    return claim if isinstance(claim, str) else None


def _further(declared: Mapping[str, Json]) -> dict[str, Rule]:
    """Return rules for declared amounts that are no devices: a container's disk."""
    return {key: only(value) for key, value in declared.items() if key == "ephemeral-storage"}
