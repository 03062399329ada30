"""Every exception of ours stands in one tree, drawn at the top of its module."""

import inspect

import pytest

from eugospawner.policy import errors


def test_the_drawing_shows_every_class() -> None:
    drawing = errors.__doc__ or ""
    for name, each in inspect.getmembers(errors, inspect.isclass):
        assert issubclass(each, errors.EugoError)
        assert name in drawing


def test_a_cluster_error_carries_status_and_reason() -> None:
    error = errors.ClusterError("create pod: it exists", status=409, reason="AlreadyExists")
    assert (str(error), error.status, error.reason) == (
        "create pod: it exists",
        409,
        "AlreadyExists",
    )


def test_without_an_answer_the_status_is_zero() -> None:
    error = errors.ClusterError("no answer")
    assert (error.status, error.reason) == (0, "")


@pytest.mark.parametrize(
    ("said", "status", "is_passing"),
    [
        ("no answer", 0, True),
        ("etcd is away", 500, True),
        ("slow down", 429, True),
        ('pods is forbidden: User "system:serviceaccount:eugo:hub" cannot list resource "pods"', 403, True),
        ('pods "x" is forbidden: violates PodSecurity "restricted:v1.35"', 403, False),
        ('persistentvolumeclaims "x" is forbidden: only dynamically provisioned pvc can be resized', 403, False),
        ("it is not there", 404, False),
        ("it exists", 409, False),
        ("it is wrong", 422, False),
    ],
)  # fmt: skip
def test_what_may_be_granted_later_is_told_from_what_is_refused(said, status, is_passing) -> None:
    assert errors.ClusterError(said, status=status).is_passing is is_passing
