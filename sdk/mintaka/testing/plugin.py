"""The pytest plugin: fixtures for tests of flows. Installed with the package; `-p no:mintaka` turns it off.

It costs other test suites no more than `import mintaka` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mintaka.testing import Faults, MemoryRecorder


@pytest.fixture
def mintaka_history() -> Iterator[MemoryRecorder]:
    """The history of the flow that the test runs, in memory (`mintaka.testing.recorded`)."""
    from mintaka.testing import recorded  # noqa: PLC0415 - see above

    with recorded() as history:
        yield history


@pytest.fixture
def mintaka_no_waiting() -> Iterator[list[float]]:
    """No run waits for its retry; the skipped waits in seconds (`mintaka.testing.no_waiting`)."""
    from mintaka.testing import no_waiting  # noqa: PLC0415 - see above

    with no_waiting() as waits:
        yield waits


@pytest.fixture
def mintaka_faults() -> Iterator[Faults]:
    """Faults on purpose, undone after the test (`mintaka.testing.faults`)."""
    from mintaka.testing import faults  # noqa: PLC0415 - see above

    with faults() as injected:
        yield injected


@pytest.fixture
def mintaka_home() -> Iterator[str]:
    """A folder of the test's own for history, results and spool (`mintaka.testing.utilities.mintaka_test_harness`)."""
    from mintaka.testing.utilities import mintaka_test_harness  # noqa: PLC0415 - see above

    with mintaka_test_harness() as folder:
        yield folder
