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


def tell(first: int, step: int, until: float) -> tuple[int, list[str]]:
    """Tell the stories of every `step`-th seed from `first` on; how many, and what was broken."""
    told, broken = 0, []
    while time.time() < until:
        seed = first + told * step
        kinds = [Story, Timetable] if told % _STORIES_PER_TIMETABLE == 0 else [Story]
        for kind in kinds:
            try:
                kind(seed).tell()
            except Exception as error:  # noqa: BLE001 - every seed counts, whatever the last one met
                broken.append(f"{kind.__name__}({seed}): {error!r}")
        told += 1
    return told, broken


@pytest.mark.timeout(SECONDS + 600)
def test_whatever_happens_the_promises_hold() -> None:
    """As many seeds as the time allows."""
    cores, until = os.cpu_count() or 1, time.time() + SECONDS
    with ProcessPoolExecutor(cores) as pool:
        parts = list(pool.map(tell, (FIRST + core for core in range(cores)), [cores] * cores, [until] * cores))
    told = sum(number for number, _ in parts)
    last = FIRST + max(number for number, _ in parts) * cores
    print(f"{told} stories from seed {FIRST} on; continue with SOAK_FIRST_SEED={last}")
    assert [line for _, broken in parts for line in broken] == []
