"""Translates answers of the API server to the errors of the controller's ports."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from mintaka_controller.ports import Conflict, Exists, Missing, PortError, Rejected, Unavailable
from mintaka_kubernetes import NoCluster
from mintaka_operator.cluster import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterator

_NOT_FOUND, _CONFLICT = 404, 409


def port_error(error: ApiError) -> PortError:
    """The port's error for an API server error."""
    if error.code == _NOT_FOUND:
        return Missing(str(error))
    if error.code == _CONFLICT:
        return Exists(str(error)) if error.reason == "AlreadyExists" else Conflict(str(error))
    if error.transient:
        return Unavailable(str(error), error.retry_after)
    return Rejected(str(error))


@contextlib.contextmanager
def port_errors() -> Iterator[None]:
    """Raise PortError instead of ApiError and NoCluster: a token that cannot be read now may be there later."""
    try:
        yield
    except ApiError as error:
        raise port_error(error) from error
    except NoCluster as error:
        raise Unavailable(str(error)) from error
