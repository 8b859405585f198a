"""A local server that is killed at random: each of its flow runs ends once, in the right state. The soak: tests/soak/test_server_kills.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from server_kills import run_killed_server

if TYPE_CHECKING:
    from pathlib import Path

SEED = 11


def test_every_run_ends_once_although_the_server_is_killed(tmp_path: Path) -> None:
    """Ten runs and four kills, checked against a ledger that the flows write."""
    run_killed_server(tmp_path, runs=10, kills=4, seed=SEED, seconds=120)
