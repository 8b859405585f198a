"""The format in which the runner prints log lines in a pod: the API recognises these lines in the logs of containers."""

from __future__ import annotations

import re

#: For `logging.Formatter`; times in UTC, formatted by `CONSOLE_TIME`.
CONSOLE_FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s: %(message)s"
CONSOLE_TIME = "%Y-%m-%dT%H:%M:%S"
#: Matches such a line: time, level and message. Possessive, so that no line, whatever a container prints, takes more than linear time.
CONSOLE_LINE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (Level \d++|\S++) ++[^:]*+: ?(.*)", re.DOTALL)
