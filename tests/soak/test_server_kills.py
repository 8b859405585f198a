"""200 flow runs of a local server that is killed 60 times at random: each ends once, in the right state.

The short version in `make test` is tests/integration/test_server_kills.py. SOAK_SERVER_SEED sets the seed.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from server_kills import run_killed_server

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 3600


@pytest.mark.timeout(SECONDS + 1800)
def test_every_run_ends_once_although_the_server_is_killed(tmp_path: Path) -> None:
    """The seed is printed."""
    seed = int(os.environ.get("SOAK_SERVER_SEED") or random.SystemRandom().randrange(1_000_000))
    run_killed_server(tmp_path, runs=200, kills=60, seed=seed, seconds=SECONDS)
