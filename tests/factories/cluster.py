"""Views of a cluster's GPUs."""

from collections.abc import Mapping, Sequence

from eugospawner.policy.capacity import ClusterView, Device


def a_cluster(**free: Sequence[int] | Mapping[str, Sequence[int]]) -> ClusterView:
    """
    Return a view in which each model has devices with these free SM percents.

    A list stands for devices of one node; a mapping names the nodes:
    `a_cluster(H100=[100, 50], L4={"n1": [0], "n2": [100]})`. Nothing: no GPU at all.
    """
    return ClusterView(
        devices={
            model: tuple(
                Device(node=node, free_percent=percent)
                for node, percents in (
                    nodes if isinstance(nodes, Mapping) else {"n1": nodes}
                ).items()
                for percent in percents
            )
            for model, nodes in free.items()
        }
    )
