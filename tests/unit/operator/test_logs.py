"""Lines of the log are written in blocks, and none is lost."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import logging, sys, time
from mintaka_operator.logs import configure
configure("INFO", "text")
logger = logging.getLogger("x")
for n in range(3):
    logger.info("line %d", n)
"""


def lines_of(end: str) -> tuple[list[str], int]:
    """What is logged by a process that ends so; its exit code."""
    ran = subprocess.run([sys.executable, "-c", PROGRAM + end], capture_output=True, text=True, check=False, timeout=60)
    return [line.rpartition("x ")[2] for line in ran.stderr.splitlines()], ran.returncode


class TestNoLineIsLost:
    def test_when_the_process_ends(self) -> None:
        assert lines_of("") == (["line 0", "line 1", "line 2"], 0)

    def test_when_the_process_is_killed_a_moment_later(self) -> None:
        lines, code = lines_of("time.sleep(1)\nimport os\nos.kill(os.getpid(), 9)")
        assert (lines, code) == (["line 0", "line 1", "line 2"], -9)

    def test_when_the_process_is_killed_after_a_warning(self) -> None:
        """With all that came before it."""
        lines, _ = lines_of("logger.warning('bad')\nimport os\nos.kill(os.getpid(), 9)")
        assert lines == ["line 0", "line 1", "line 2", "bad"]

    def test_when_a_line_cannot_be_made(self) -> None:
        """Logging reports it on stderr, and the next line is there."""
        lines, code = lines_of("logger.info('%d', 'no number')\nlogger.info('after')")
        assert (lines[-1], code) == ("after", 0)
        assert any("--- Logging error ---" in line for line in lines)
