"""
Pod: what a workspace's Pod holds beyond what KubeSpawner writes.

Pod Security *restricted* is the rule for every container: no privilege, no capability, no
service-account token, seccomp's default profile. A root shell changes exactly four fields and
lives in a user namespace, so that root inside is nobody outside. Source: design §9; facts on
security, §6; F38, F44, F49, F56.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eugospawner.manifests import claims, storage

if TYPE_CHECKING:
    from eugospawner.policy.decisions import Grant

HOME_VOLUME: Final = "home"
#: Init container that runs before the workspace.
STARTUP: Final = "startup"
#: The user of every image; home and volumes belong to it.
UID: Final = 1000
GID: Final = 1000

#: Where root keeps what nobody else is to read: in the container, so it ends with the workspace.
ROOTS_OWN: Final = "/tmp/root"  # noqa: S108 - of a container that is one person's

#: Where the framework of each workspace is recorded, below the home (F10).
FRAMEWORKS: Final = ".eugo/frameworks"
#: What stands for the name of the server that has none; no name has an underscore.
_UNNAMED: Final = "_default"
#: Longest part of the startup script's output that its container's status can carry (4096).
_REPORT_BYTES: Final = 3500
#: Never blocks the start: it ends with 0 whatever the script says (F49). The report goes where
#: Kubernetes shows it without asking for a log, the whole output into the log.
_STARTUP: Final = f"""\
if [ -n "$EUGO_FRAMEWORK" ]; then
  mkdir -p "$HOME/{FRAMEWORKS}" &&
    printf '%s\\n' "$EUGO_FRAMEWORK" > "$HOME/{FRAMEWORKS}/$EUGO_WORKSPACE"
fi
[ -n "$EUGO_STARTUP_SCRIPT" ] || exit 0
output=$(sh -c "$EUGO_STARTUP_SCRIPT" 2>&1); code=$?
printf '%s\\n' "$output"
printf 'exit code %s\\n' "$code"
{{ printf 'exit code %s\\n' "$code"; printf '%s' "$output" | tail -c {_REPORT_BYTES}; }} > /dev/termination-log
exit 0
"""


def make_container_security() -> dict[str, object]:
    """Return the security context of every container, init containers included."""
    return {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "capabilities": {"drop": ["ALL"]},
    }


def make_pod_security(*, root_shell: bool, fs_group: int | None) -> dict[str, object]:
    """
    Return the Pod's security context.

    Args:
        fs_group: Group that volumes are given to; `None` where volumes are open already.
    """
    context: dict[str, object] = {
        "runAsUser": 0 if root_shell else UID,
        "runAsGroup": 0 if root_shell else GID,
        "runAsNonRoot": not root_shell,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if fs_group is not None:
        context["fsGroup"] = fs_group
    return context


def make_pod_fields(grant: Grant) -> dict[str, object]:
    """Return fields of the Pod's spec that stand beside its containers."""
    fields: dict[str, object] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "schedulerName": "default-scheduler",
    }
    if grant.root_shell:
        fields["hostUsers"] = False
    return fields


def make_volumes(grant: Grant, home_claim: str) -> list[dict[str, object]]:
    """Return the Pod's volumes: the home first, then the extra ones."""
    home: dict[str, object] = {
        "name": HOME_VOLUME,
        "persistentVolumeClaim": {"claimName": home_claim},
    }
    return [
        home,
        *(
            storage.make_volume(index, mount, owner=grant.owner)
            for index, mount in enumerate(grant.mounts)
        ),
    ]


def make_volume_mounts(grant: Grant, home_path: str) -> list[dict[str, object]]:
    """Return the mounts of every container that works with the user's files."""
    return [
        {"name": HOME_VOLUME, "mountPath": home_path},
        *(storage.make_volume_mount(index, mount) for index, mount in enumerate(grant.mounts)),
    ]


def make_environment(grant: Grant, home_path: str) -> dict[str, str]:
    """Return the variables of the profile, the home, which no image can know, and what root needs."""
    return {
        **grant.profile.environment,
        "HOME": home_path,
        **(_root_environment(home_path) if grant.root_shell else {}),
    }


def _root_environment(home_path: str) -> dict[str, str]:
    """
    Return where programs keep what is theirs alone while they run as root of their Pod (F38).

    Root has no capability, so folders that only their owner may enter are closed to it; and those that it
    made would be closed to their owner afterwards, who could not start any more. So they are in the
    container, and what people have installed in their home is found there.
    """
    return {
        "JUPYTER_RUNTIME_DIR": ROOTS_OWN,
        "JUPYTER_DATA_DIR": f"{ROOTS_OWN}/data",
        "JUPYTER_PATH": f"{home_path}/.local/share/jupyter",
        "JUPYTER_CONFIG_DIR": f"{ROOTS_OWN}/config",
        "JUPYTER_CONFIG_PATH": f"{home_path}/.jupyter",
        "IPYTHONDIR": f"{ROOTS_OWN}/ipython",
        "XDG_DATA_HOME": f"{ROOTS_OWN}/share",
        "XDG_CONFIG_HOME": f"{ROOTS_OWN}/settings",
        "XDG_CACHE_HOME": f"{ROOTS_OWN}/cache",
    }


def make_readiness_probe() -> dict[str, object]:
    """
    Return the probe that makes a Pod ready only once its server listens.

    So a program that ends before it serves is seen as what it is, a crash, and not as a
    workspace that does not answer.
    """
    return {
        "tcpSocket": {"port": "notebook-port"},
        "periodSeconds": 1,
        "timeoutSeconds": 1,
        # A server that is busy for a while is still the user's: a minute before it counts.
        "failureThreshold": 60,
    }


def make_startup_container(grant: Grant, home_path: str) -> dict[str, object] | None:
    """
    Return the init container that runs before the workspace, if there is anything to do.

    It records the image's framework in the home (F10) and runs the profile's startup script.
    """
    if not (grant.profile.startup_script or grant.image.framework):
        return None
    environment = {
        **make_environment(grant, home_path),
        "EUGO_STARTUP_SCRIPT": grant.profile.startup_script,
        "EUGO_FRAMEWORK": grant.image.framework,
        "EUGO_WORKSPACE": grant.workspace or _UNNAMED,
    }
    container: dict[str, object] = {
        "name": STARTUP,
        "image": grant.image.reference,
        "command": ["sh", "-c", _STARTUP],
        "workingDir": home_path,
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "volumeMounts": make_volume_mounts(grant, home_path),
        "securityContext": make_container_security(),
    }
    if grant.gpus is not None:
        # Pre-imports may initialise the GPU; the claim is the Pod's, not a second one.
        container["resources"] = {"claims": [{"name": claims.NAME}]}
    return container
