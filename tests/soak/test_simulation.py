"""Stories and timetables of the simulation, one seed after the other, for two hours on every core.

Its small twin in `make test` is tests/simulation. SOAK_FIRST_SEED continues from an earlier soak (benchmarks/README.md names the last
seed), SOAK_SIMULATION_SECONDS makes it shorter. A seed that breaks a promise goes into tests/simulation/test_stories.py.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ProcessPoolExecutor

import pytest

from simulated.story import Story
from simulated.timetable import Timetable

FIRST = int(os.environ.get("SOAK_FIRST_SEED", "1000000"))
SECONDS = float(os.environ.get("SOAK_SIMULATION_SECONDS", "7200"))
#: A timetable takes as long as several stories.
_STORIES_PER_TIMETABLE = 10


def run_seeds(first: int, step: int, until: float) -> tuple[int, list[str]]:
    """Run the stories of every `step`-th seed from `first` on until the time `until`; how many, and the promises that were broken."""
    count, broken = 0, []
    while time.time() < until:
        seed = first + count * step
        kinds = [Story, Timetable] if count % _STORIES_PER_TIMETABLE == 0 else [Story]
        for kind in kinds:
            try:
                kind(seed).tell()
            except Exception as error:  # noqa: BLE001 - the seeds after a broken one run too
                broken.append(f"{kind.__name__}({seed}): {error!r}")
        count += 1
    return count, broken


@pytest.mark.timeout(SECONDS + 600)
def test_whatever_happens_the_promises_hold() -> None:
    """As many seeds as the time allows."""
    cores, until = os.cpu_count() or 1, time.time() + SECONDS
    with ProcessPoolExecutor(cores) as pool:
        parts = list(pool.map(run_seeds, (FIRST + core for core in range(cores)), [cores] * cores, [until] * cores))
    count = sum(number for number, _ in parts)
    last = FIRST + max(number for number, _ in parts) * cores
    print(f"{count} stories from seed {FIRST} on; continue with SOAK_FIRST_SEED={last}")
    assert [line for _, broken in parts for line in broken] == []
