"""YAML that every reader reads the same: kubectl's takes YAML 1.1's booleans and more numbers for other things than text than PyYAML's."""

from __future__ import annotations

import re
from typing import Any

import yaml

#: Words that YAML 1.1, which kubectl reads, takes for booleans and nulls; PyYAML knows some of them only.
_NOT_TEXT = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "~", "=", "<<"})
#: What begins like a number: kubectl reads `1e3` as one, PyYAML does not.
_LIKE_A_NUMBER = re.compile(r"[-+.]*([0-9]|inf|nan)", re.IGNORECASE)
#: Characters that YAML 1.1 takes for the end of a line, and a mark that it leaves out.
_LINE_ENDS = re.compile("[\r\x85\u2028\u2029\ufeff]")


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and lists indented under their key."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 - PyYAML's signature
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        """Write what stands in two places twice."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    if _LINE_ENDS.search(text) or text.lower() in _NOT_TEXT or _LIKE_A_NUMBER.match(text):
        style: str | None = '"'
    else:
        style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def as_yaml(document: Any) -> str:
    """A document of JSON values as YAML."""
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
    return text
