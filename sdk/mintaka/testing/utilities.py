"""Surroundings for whole test suites, by the name that Prefect's users know."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What says where history and results go.
_VARIABLES = ("MINTAKA_HOME", "MINTAKA_API_URL", "MINTAKA_DATABASE_URL", "MINTAKA_HISTORY", "MINTAKA_RESULT_STORAGE")


@contextmanager
def mintaka_test_harness() -> Iterator[str]:
    """Inside the block, flows keep their history, results and spool in a folder of its own, which is gone afterwards.

    Nothing is started for it. Yields the folder.
    """
    kept = {name: os.environ.pop(name, None) for name in _VARIABLES}
    with tempfile.TemporaryDirectory(prefix="mintaka-test-", ignore_cleanup_errors=True) as folder:
        os.environ["MINTAKA_HOME"] = folder
        try:
            yield folder
        finally:
            os.environ.pop("MINTAKA_HOME", None)
            os.environ.update({name: value for name, value in kept.items() if value is not None})
