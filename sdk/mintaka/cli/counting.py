"""Counts of task runs by state, in words and colours."""

from __future__ import annotations

from rich.text import Text

_STYLES = {"completed": "green", "cached": "green", "running": "blue", "retrying": "yellow", "failed": "red", "crashed": "magenta"}


def counted(counts: dict[str, int]) -> Text:
    """Counts in their colours: `3 running  1 failed`."""
    return Text("  ").join(Text(f"{count} {bucket}", style=_STYLES.get(bucket, "")) for bucket, count in counts.items())
