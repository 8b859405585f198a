"""Checks that the database answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import literal, select

if TYPE_CHECKING:
    from sqlalchemy import Connection


def answers(connection: Connection) -> bool:
    """True if it answers; raises otherwise."""
    return bool(connection.scalar(select(literal(1))))
