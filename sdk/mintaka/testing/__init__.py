"""For tests of flows and tasks: their history at hand, without a server; waits that do not wait; faults on purpose.

    with recorded() as history, no_waiting() as waits, faults() as faulty:
        faulty.crash(load, times=2)
        my_flow()
    assert history.states_of("load-0")[-1] == "Completed"

The pytest plugin (`mintaka.testing.plugin`, installed with the package) has them as fixtures.
"""

from mintaka.testing.faults import Faults, faults
from mintaka.testing.histories import MemoryRecorder, recorded
from mintaka.testing.waits import no_waiting

__all__ = ["Faults", "MemoryRecorder", "faults", "no_waiting", "recorded"]
