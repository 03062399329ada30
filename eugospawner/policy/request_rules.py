"""
Rules about the request itself: what exists, fits together, lies within bounds, and is there.

Each takes a case and yields refusals; `admission` says in which order they are asked. What the
owner is entitled to is the business of `entitlement_rules`. Source: design §5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eugospawner.policy import units
from eugospawner.policy import volumes as volume_rules
from eugospawner.policy.catalog import WHOLE_PERCENT, Strategy, sizes_words
from eugospawner.policy.decisions import Refusal, shown
from eugospawner.policy.entitlement_rules import elsewhere, other_model
from eugospawner.policy.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eugospawner.policy.capacity import ClusterView
    from eugospawner.policy.case import Case
    from eugospawner.policy.catalog import GpuModel, Image, MigSize
    from eugospawner.policy.requests import VolumeRequest


def offered(case: Case) -> Iterator[Refusal]:
    """Refuse flavors and editors that the profile does not offer, or nobody has here."""
    request, profile = case.request, case.profile
    if request.flavor is not None and request.flavor not in profile.flavors:
        yield Refusal(
            reason=Reason.FLAVOR_NOT_IN_PROFILE,
            word="flavor",
            sentence=f"The profile {profile.key} does not offer the flavor {request.flavor!r}. "
            f"It offers: {', '.join(profile.flavors)}.",
            change={"flavor": None},
        )
    if request.kind is not None and request.kind not in profile.kinds:
        yield Refusal(
            reason=Reason.KIND_NOT_IN_PROFILE,
            word="kind",
            sentence=f"The profile {profile.key} does not offer {request.kind}. "
            f"It offers: {', '.join(profile.kinds)}.",
            change={"kind": None},
        )
    if case.kind in case.catalog.unavailable_kinds:
        yield Refusal(
            reason=Reason.KIND_UNAVAILABLE,
            word="kind",
            sentence=case.catalog.unavailable_kinds[case.kind],
            change=elsewhere(case),
        )


def image(case: Case) -> Iterator[Refusal]:
    """Refuse images that are not in the allowlist, cannot run the editor or are not here."""
    reference = case.request.image
    runners = case.catalog.runners(case.profile, case.kind)
    if reference is None:
        if runners and all(each.unavailable for each in runners):
            yield _image_unavailable(runners[0], elsewhere(case))
        return
    image = case.catalog.image_of(case.profile, reference)
    if image is None:
        yield Refusal(
            reason=Reason.IMAGE_NOT_ALLOWED,
            word="image",
            sentence=f"image not in allowlist: {shown(reference)}. Choose an image that the profile "
            f"{case.profile.key} offers, or ask an admin to add this one.",
            change={"image": None},
        )
    elif case.kind not in image.kinds:
        yield Refusal(
            reason=Reason.IMAGE_WITHOUT_KIND,
            word="kind",
            sentence=f"The image {reference} cannot run {case.kind}. "
            f"It runs: {', '.join(sorted(image.kinds))}.",
            change={"image": None},
        )
    elif image.unavailable:
        yield _image_unavailable(image, {"image": None} if case.usable_images else elsewhere(case))


def _image_unavailable(image: Image, change: dict[str, object]) -> Refusal:
    return Refusal(
        reason=Reason.IMAGE_UNAVAILABLE, word="image", sentence=image.unavailable, change=change
    )


def gpu_model(case: Case) -> Iterator[Refusal]:
    """Refuse GPUs of no model, and models that do not exist or of which none is wanted."""
    known = ", ".join(case.catalog.gpu_models)
    asked = case.request.gpu_model
    if asked is not None and asked not in case.catalog.gpu_models:
        yield Refusal(
            reason=Reason.GPU_MODEL_UNKNOWN,
            word="gpu_model",
            sentence=f"There is no GPU model {asked!r}. Choose one of: {known}.",
            change={"gpu_model": None, "gpu_count": None},
        )
    elif asked is not None and case.request.gpu_count is None and case.flavor.gpu is None:
        # Else the model would be passed over in silence, and the workspace have no GPU.
        yield Refusal(
            reason=Reason.GPU_COUNT_MISSING,
            word="gpu_count",
            sentence=f"Say how many {asked} you want: the flavor {case.flavor.key} has no GPU of "
            "its own. Write 1, or choose no GPU model.",
            change={"gpu_count": 1},
        )
    elif case.gpu_count > 0 and case.model_key is None:
        yield Refusal(
            reason=Reason.GPU_MODEL_MISSING,
            word="gpu_model",
            sentence=f"Say which GPU model you want: {known}.",
            change={"gpu_count": None},
        )


def gpu_amounts(case: Case) -> Iterator[Refusal]:
    """Refuse counts and shares out of bounds, or not on offer for the model."""
    most = case.limits.max_gpu_count
    if not 0 <= case.gpu_count <= most:
        yield Refusal(
            reason=Reason.GPU_COUNT_OUT_OF_BOUNDS,
            word="gpu_count",
            sentence=f"{case.gpu_count} GPUs were requested; a workspace may have 0 to {most}.",
            change={"gpu_count": min(max(case.gpu_count, 0), most)},
        )
    yield from _sm_percent(case)


def _sm_percent(case: Case) -> Iterator[Refusal]:
    model, percent = case.model, case.sm_percent
    change: dict[str, object] = {
        "sm_percent": min(max(percent, 1), WHOLE_PERCENT)
        if model is None
        else model.nearest_percent(percent)
    }
    if not 1 <= percent <= WHOLE_PERCENT:
        yield Refusal(
            reason=Reason.SM_PERCENT_OUT_OF_BOUNDS,
            word="sm_percent",
            sentence=f"An SM percentage of {percent} was requested; "
            "it is a whole number from 1 to 100, and 100 is a full GPU.",
            change=change,
        )
    elif model is None or model.offers(percent):
        return
    elif model.strategy is Strategy.MIG:
        yield Refusal(
            reason=Reason.SM_PERCENT_NOT_A_SIZE,
            word="sm_percent",
            sentence=f"{model.display_name} is cut to fixed sizes, and {percent} % SM is none of "
            f"them. Choose one of: {sizes_words(model.mig_sizes)}.",
            change=change,
        )
    else:
        yield Refusal(
            reason=Reason.SM_PERCENT_NOT_DIVISIBLE,
            word="sm_percent",
            sentence=f"{model.display_name} is handed out whole only. "
            "Use 100 % SM, or a model that can be shared.",
            change=change,
        )


def compute(case: Case) -> Iterator[Refusal]:
    """Refuse CPU and memory out of bounds."""
    limits = case.limits
    if not limits.min_cpu_millicores <= case.cpu_millicores <= limits.max_cpu_millicores:
        least, most = limits.min_cpu_millicores, limits.max_cpu_millicores
        yield Refusal(
            reason=Reason.CPU_OUT_OF_BOUNDS,
            word="cpu",
            sentence=f"{units.format_cpu(case.cpu_millicores)} CPU was requested; "
            f"a workspace may have {units.format_cpu(least)} to {units.format_cpu(most)}.",
            change={"cpu_millicores": min(max(case.cpu_millicores, least), most)},
        )
    if not limits.min_memory_bytes <= case.memory_bytes <= limits.max_memory_bytes:
        least, most = limits.min_memory_bytes, limits.max_memory_bytes
        yield Refusal(
            reason=Reason.MEMORY_OUT_OF_BOUNDS,
            word="memory",
            sentence=f"{units.format_memory(case.memory_bytes)} memory was requested; "
            f"a workspace may have {units.format_memory(least)} to {units.format_memory(most)}.",
            change={"memory_bytes": min(max(case.memory_bytes, least), most)},
        )


def storage(case: Case) -> Iterator[Refusal]:
    """Refuse volumes that cannot be named or mounted so."""
    asked = case.request.volumes
    most = case.limits.max_volumes
    home = case.catalog.storage.home_path
    if len(asked) > most:
        yield Refusal(
            reason=Reason.TOO_MANY_VOLUMES,
            word="volumes",
            sentence=f"{len(asked)} volumes were requested; a workspace may mount {most}.",
            change={"volumes": _acceptable(asked[:most], case)},
        )
        return  # the list is not worth reading
    # The nearest request drops the volume: guessing another path would surprise.
    change = {"volumes": _acceptable(asked, case)}
    for index, volume in enumerate(asked):
        before = asked[:index]
        if project := volume_rules.project_named_in(volume.claim):
            if not _is_the_projects(volume, case):
                yield Refusal(
                    reason=Reason.VOLUME_UNKNOWN,
                    word="volumes",
                    sentence=f"The project {case.project.display_name} has no volume "
                    f"{volume.claim!r}: "
                    + (
                        "choose one that it has, or leave it out."
                        if project == case.project.key
                        else "a workspace mounts volumes of its own project alone. Choose that project, or leave it out."
                    ),
                    change=change,
                )
        elif not volume_rules.is_key(volume.claim):
            yield Refusal(
                reason=Reason.VOLUME_NAME,
                word="volumes",
                sentence=f"{volume.claim!r} cannot name a volume: use up to 40 lower-case "
                "letters, digits and hyphens, beginning and ending with a letter or digit.",
                change=change,
            )
        if any(volume.claim == other.claim for other in before):
            yield Refusal(
                reason=Reason.VOLUME_DUPLICATE,
                word="volumes",
                sentence=f"The volume {volume.claim!r} is mounted twice. Mount it once.",
                change=change,
            )
        problem = volume_rules.problem_of_path(volume.mount_path, home)
        if problem is not None:
            yield Refusal(
                reason=Reason.MOUNT_PATH_UNSAFE,
                word="volumes",
                sentence=f"The mount path {volume.mount_path!r} {problem}.",
                change=change,
            )
        elif any(volume_rules.overlap(volume.mount_path, other.mount_path) for other in before):
            yield Refusal(
                reason=Reason.MOUNT_PATH_DUPLICATE,
                word="volumes",
                sentence=f"The mount path {volume.mount_path!r} is used twice, or lies in "
                "another one. Give each volume a path of its own.",
                change=change,
            )


def _is_the_projects(volume: VolumeRequest, case: Case) -> bool:
    """Whether it is a volume that the project of the workspace has."""
    project = volume_rules.project_named_in(volume.claim)
    return project == case.project.key and volume.claim in case.volumes.by_key


def _acceptable(asked: tuple[VolumeRequest, ...], case: Case) -> tuple[VolumeRequest, ...]:
    kept: list[VolumeRequest] = []
    home = case.catalog.storage.home_path
    for volume in asked:
        is_fit = volume_rules.is_key(volume.claim) or _is_the_projects(volume, case)
        fine = is_fit and not volume_rules.problem_of_path(volume.mount_path, home)
        clash = any(
            volume.claim == other.claim or volume_rules.overlap(volume.mount_path, other.mount_path)
            for other in kept
        )
        if fine and not clash:
            kept.append(volume)
    return tuple(kept)


def presence(case: Case) -> Iterator[Refusal]:
    """Refuse what the cluster can never give; what it cannot give now merely waits."""
    model = case.model
    if model is None:
        return
    if not _is_present(case.cluster, model):
        yield Refusal(
            reason=Reason.GPU_MODEL_ABSENT,
            word="gpu_model",
            sentence=f"The cluster has no {model.display_name} at present. "
            "Choose another model, or ask an admin when it comes back.",
            change=other_model(case),
        )
        return
    if model.strategy is Strategy.MIG:
        size = model.size_of(case.sm_percent)
        if size is None:
            return  # told already, and how many there are of it means nothing
        if not case.cluster.has_size(model.key, size.sm_percent):
            yield _size_absent(case.cluster, model, size)
            return
    most = case.cluster.most_on_a_node(model.key, case.sm_percent)
    share = f" at {case.sm_percent} % SM" if model.strategy is Strategy.MIG else ""
    if most is not None and most < case.gpu_count <= case.limits.max_gpu_count:
        yield Refusal(
            reason=Reason.GPU_COUNT_ABSENT,
            word="gpu_count",
            sentence=f"{case.gpu_count} × {model.display_name}{share} were requested; "
            f"no node has more than {most}.",
            change={"gpu_count": most},
        )


def _size_absent(cluster: ClusterView, model: GpuModel, size: MigSize) -> Refusal:
    """Refuse a size to which nobody has cut a GPU; the next larger one, or the largest, would do."""
    present = [each for each in model.mig_sizes if cluster.has_size(model.key, each.sm_percent)]
    larger = [each for each in present if each.sm_percent > size.sm_percent]
    return Refusal(
        reason=Reason.GPU_SIZE_ABSENT,
        word="sm_percent",
        sentence=f"No {model.display_name} of the cluster can be cut to {size.sm_percent} % SM "
        f"({size.profile}) at present. Choose one of: {sizes_words(present)}; "
        "or ask an admin to offer this size.",
        change={"sm_percent": (larger or present[-1:])[0].sm_percent},
    )


def _is_present(cluster: ClusterView, model: GpuModel) -> bool:
    """Whether the cluster has this model in any way that a request could ask for."""
    if model.strategy is not Strategy.MIG:
        return cluster.has(model.key)
    return any(cluster.has_size(model.key, size.sm_percent) for size in model.mig_sizes)
