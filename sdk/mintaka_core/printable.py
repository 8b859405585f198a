"""Output of containers as text that people can read and resources can store."""

from __future__ import annotations

import re

#: Escape sequences of terminals (ECMA-48): control sequences such as colours, operating system commands, others of two characters.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]?|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~]?)")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def printable_end(text: str, limit: int) -> str:
    """The last `limit` characters without escape sequences, control characters, unpaired surrogates and surrounding space.

    Of a line that was overwritten (carriage returns, as progress bars write them), the last state stays.
    """
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in _ESCAPES.sub("", text).split("\n"))
    return _UNPRINTABLE.sub("", "\n".join(lines)).strip()[-limit:].lstrip()
