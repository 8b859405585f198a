"""Make docs/helm-values.md and files/values.json from the chart's values: `python charts/document_values.py`.

The page lists each value with the comment above it. The chart's templates cannot read values.yaml itself, so they take the defaults of
values that are missing from files/values.json.
"""  # noqa: INP001 - a script

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
VALUES = ROOT / "charts" / "mintaka" / "values.yaml"
PAGE = ROOT / "docs" / "helm-values.md"
DATA = VALUES.parent / "files" / "values.json"

_KEY = re.compile(r"^( *)([A-Za-z]+):")
_HEAD = """# Helm values

Made from `charts/mintaka/values.yaml` by `python charts/document_values.py`; do not edit. What is not listed here is refused
(`values.schema.json`); a value set to null has its default, unless its description says otherwise. How to use them:
[operations](operations.md).

| value | default | meaning |
| --- | --- | --- |
"""


def described(text: str) -> dict[str, str]:
    """The description of each value of `text`, by its dotted path."""
    descriptions: dict[str, str] = {}
    path: list[str] = []
    words: list[str] = []
    for line in text.splitlines():
        comment = line.strip()
        if comment.startswith("# -- "):
            words = [comment.removeprefix("# -- ")]
        elif comment.startswith("# ") and words:
            words.append(comment.removeprefix("# "))
        elif match := _KEY.match(line):
            path = [*path[: len(match[1]) // 2], match[2]]
            if words:
                descriptions[".".join(path)] = " ".join(words)
            words = []
    return descriptions


def default(values: dict[str, Any], path: str) -> Any:
    """The value at a dotted path."""
    found: Any = values
    for name in path.split("."):
        found = found[name]
    return found


def page() -> str:
    """The page, as Markdown."""
    text = VALUES.read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    rows = (
        f"| `{path}` | `{json.dumps(default(values, path))}` | {meaning.replace('|', '\\|')} |" for path, meaning in described(text).items()
    )
    return _HEAD + "\n".join(rows) + "\n"


def data() -> str:
    """The values without their comments, as JSON."""
    return json.dumps(yaml.safe_load(VALUES.read_text(encoding="utf-8")), indent=1) + "\n"


if __name__ == "__main__":
    DATA.write_text(data(), encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")
