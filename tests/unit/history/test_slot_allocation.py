"""Who holds slots and who is next, by every order of leases."""

from __future__ import annotations

import random
from itertools import permutations

import pytest

from mintaka_history.sharing.limits import Limit
from mintaka_history.sharing.slot_allocation import Lease, allocate

TWO = Limit("ns", "db", 2, 0.0, 0.0, 0, 0, 0)


def lease(name: str, slots: int = 1, asked: int = 0, *, granted: bool = False, limit: str = "db") -> Lease:
    """A lease that is alive."""
    return Lease(name, limit, slots, asked, asked if granted else None, 100, None, ended=False, who="", namespace="ns")


@pytest.mark.parametrize(
    ("others", "slots", "free", "turns"),
    [
        pytest.param([], 1, True, 0, id="nobody else"),
        pytest.param([lease("a", granted=True)], 1, True, 0, id="one of two is held"),
        pytest.param([lease("a", granted=True)], 2, False, 0, id="both are wanted, one is held"),
        pytest.param([lease("a", 2, granted=True)], 1, False, 0, id="both are held"),
        pytest.param([lease("a")], 1, True, 0, id="one waits before, and there is room for both"),
        pytest.param([lease("a", 2)], 1, False, 1, id="one who waits before wants both"),
        pytest.param([lease("z", 2, asked=9)], 2, True, 0, id="one waits after"),
        pytest.param([lease("a", 2, granted=True), lease("b", 2), lease("c", 2)], 1, False, 2, id="two turns before"),
        pytest.param([lease("a", 2, granted=True, limit="other")], 2, True, 0, id="another limit is held"),
    ],
)
def test_where_somebody_stands_who_asked_at_five(others: list[Lease], slots: int, free: bool, turns: int) -> None:
    """Alone, before, behind."""
    for order in permutations(others):
        allocation = allocate([TWO], order, "me", 5, slots)
        assert (allocation.free, allocation.turns) == (free, turns)


def test_whatever_happens_no_limit_is_exceeded_and_everybody_has_his_turn() -> None:
    """A thousand random claims, each of which holds its slots for a while."""
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    wanted = {f"{number:03}": chance.randint(1, 2) for number in range(300)}
    leases: dict[str, Lease] = {}
    done: list[str] = []
    asked = iter(sorted(wanted))
    for now in range(20_000):
        name = next(asked, None) if chance.random() < 0.5 else None
        if name is not None:
            leases[name] = lease(name, wanted[name], now)
        for each in chance.sample(sorted(leases), len(leases)):
            own = leases[each]
            if own.granted is not None:
                if chance.random() < 0.3:
                    done.append(each)
                    del leases[each]
            elif allocate([TWO], list(leases.values()), own.id, own.asked, own.slots).free:
                leases[each] = own._replace(granted=now)
            assert sum(other.slots for other in leases.values() if other.granted is not None) <= TWO.slots
    assert sorted(done) == sorted(wanted)


def test_a_rate_gives_its_slots_back_by_the_clock() -> None:
    """Never more than there are; a clock that goes back gives nothing."""
    rate = Limit("ns", "r", 2, 0.5, 2.0, 1_000_000, 0, 0)
    assert [rate.taken_at(at * 1_000_000) for at in (0, 1, 2, 3, 5, 60)] == [2.0, 2.0, 1.5, 1.0, 0.0, 0.0]
    assert [rate.seconds_until(slots, 2_000_000) for slots in (1, 2)] == [1.0, 3.0]
