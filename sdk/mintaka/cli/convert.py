"""`mintaka convert`: the deployments of a prefect.yaml as FlowDeployments."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mintaka.cli.parsing import BadArgument, JsonOption
from mintaka.cli.showing import print_json
from mintaka.serving.converting import Converted, converted
from mintaka.serving.prefect_yaml import read_prefect_file
from mintaka.yaml_text import as_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

EPILOG = """
Examples:
  mintaka convert prefect.yaml > deployments.yaml      read the comments, then: mintaka apply deployments.yaml
  mintaka convert prefect.yaml --inline | kubectl apply -f -
"""
EXIT_CODES = "0 all are converted; 1 some are not, and a comment says why; 2 called wrongly, or the file cannot be read"
_NOT_ALL = 1


def command(
    file: Annotated[Path, typer.Argument(help="The file.", metavar="FILE")] = Path("prefect.yaml"),
    inline: Annotated[bool, typer.Option("--inline", help="Put the code of flows without an image into their manifests.")] = False,
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", metavar="NAME", help="Namespace of all of them.")] = None,
    json: JsonOption = False,
) -> int:
    """Print the deployments of a prefect.yaml as FlowDeployments, with a comment for each thing that does not carry over."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"{file} cannot be read: {error.strerror if isinstance(error, OSError) else 'it is not UTF-8'}"
        raise BadArgument(message) from error
    read = read_prefect_file(file, text)
    found = converted(read, os.environ, datetime.now(UTC), inline=inline, namespace=namespace)
    code = _NOT_ALL if any(one.manifest is None for one in found) else 0
    if json:
        print_json([{"title": one.title, "notes": list(one.notes), "manifest": one.manifest} for one in found])
        return code
    for key in read.unknown:
        sys.stdout.write(f"# {file.name}: {_line(key)} is not a key that Mintaka knows\n")
    # Deployments without a manifest come first: a YAML document with only comments would be an empty one.
    for one in sorted(found, key=lambda one: one.manifest is not None):
        sys.stdout.writelines(f"{line}\n" for line in _document(one))
    return code


def _document(one: Converted) -> Iterator[str]:
    """The lines of one deployment: comments, then the manifest."""
    if one.manifest is not None:
        yield "---"
    yield f"# {_line(one.title)}"
    yield from (f"#   {_line(note)}" for note in one.notes)
    if one.manifest is not None:
        yield as_yaml(one.manifest).rstrip("\n")


def _line(text: str) -> str:
    """`text` on one line, for a comment."""
    return " ".join(text.split())
