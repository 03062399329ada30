"""Every exception of ours stands in one tree, drawn at the top of its module."""

import inspect

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
