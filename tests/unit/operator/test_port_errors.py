"""What the controller makes of the API server's answers."""

from __future__ import annotations

import pytest

from mintaka_controller.ports import Conflict, Exists, Missing, PortError, Rejected, Unavailable
from mintaka_kubernetes import ApiError, ClusterAway, ClusterRefusal, NoCluster
from mintaka_operator.port_errors import port_error, port_errors


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ClusterRefusal(404, "NotFound", ""), Missing),
        (ClusterRefusal(409, "AlreadyExists", ""), Exists),
        (ClusterRefusal(409, "Conflict", ""), Conflict),
        (ClusterRefusal(401, "Unauthorized", ""), Unavailable),
        (ClusterRefusal(408, "Timeout", ""), Unavailable),
        (ClusterRefusal(429, "TooManyRequests", "", 7.0), Unavailable),
        (ClusterRefusal(500, "InternalError", ""), Unavailable),
        (ClusterAway("no route"), Unavailable),
        (ClusterRefusal(403, "Forbidden", ""), Rejected),
        (ClusterRefusal(422, "Invalid", ""), Rejected),
    ],
    ids=str,
)
def test_an_answer_that_may_change_later_is_not_a_refusal(error: ApiError, expected: type[PortError]) -> None:
    """A refusal costs a run, its tombstone or its log."""
    found = port_error(error)
    assert type(found) is expected
    assert getattr(found, "retry_after", None) == error.retry_after


def test_a_token_that_cannot_be_read_now_may_be_there_later() -> None:
    """The kubelet replaces its file."""
    with pytest.raises(Unavailable, match="token"), port_errors():
        raise NoCluster("the service account's token cannot be read")
