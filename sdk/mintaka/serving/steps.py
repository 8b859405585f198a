"""The `build`, `push` and `pull` steps of a prefect.yaml: nothing runs them here, so each becomes a note on what to do instead."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_BUILD_IMAGE, _PUSH_IMAGE = "build_docker_image", "push_docker_image"
_DOWNLOADS = re.compile(r"pull_(from_\w+|with_block)|pull_project_from_\w+")
_PLACEHOLDER = re.compile(r"\{\{\s*(.*?)\s*\}\}")
_SHOWN = 100
#: Arguments of every step that do not affect what it does.
_ABOUT_THE_STEP = ("id", "requires")


@dataclass
class Steps:
    """The content of the steps: the working directory that a pull step sets, outputs of build steps by `STEP.NAME`, and notes."""

    folder: str | None = None
    fetches_code: bool = False
    outputs: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_steps(build: Any, push: Any, pull: Any) -> Steps:
    """The steps of a deployment, each a list, one mapping, or nothing."""
    found = Steps()
    for kind, steps in (("build", build), ("push", push), ("pull", pull)):
        for name, arguments in _each(steps):
            found.notes.append(f"{kind}: {_note(found, name, arguments)}")
    return found


def _each(steps: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and arguments of each step."""
    for step in steps if isinstance(steps, list) else [steps]:
        if isinstance(step, Mapping):
            for name, arguments in step.items():
                yield str(name), dict(arguments) if isinstance(arguments, Mapping) else {}


def _note(found: Steps, step: str, arguments: dict[str, Any]) -> str:
    name = step.rpartition(".")[2]
    if name == _BUILD_IMAGE:
        image = _image_of(arguments)
        if identity := arguments.get("id"):
            found.outputs |= {f"{identity}.image": image, f"{identity}.image_name": str(arguments.get("image_name", "")),
                              f"{identity}.tag": str(arguments.get("tag", "latest"))}  # fmt: skip
            if "{{" in image:  # a tag that another step creates
                found.outputs = {key: value for key, value in found.outputs.items() if "{{" not in value}
        file = arguments.get("dockerfile")
        more = f"--file {shlex.quote(str(file))} " if file and file != "auto" else ""
        hint = ", with a Dockerfile (docs/deployments.md, Code)" if file == "auto" else ""
        return f"build the image with its own tools: docker build --tag {shlex.quote(image)} {more}.{hint}"
    if name == _PUSH_IMAGE:
        image = _PLACEHOLDER.sub(lambda match: found.outputs.get(match[1], match[0]), _image_of(arguments))
        return f"push the image with its own tools: docker push {shlex.quote(image)}"
    if name == "set_working_directory":
        folder = str(arguments.get("directory", ""))
        if "{{" in folder:
            return f"set_working_directory {folder}: write the folder in the image as workingDir of podTemplate's container"
        found.folder = folder or None
        return f"set_working_directory is workingDir of podTemplate's container: {folder}"
    if name == "git_clone" or _DOWNLOADS.fullmatch(name):
        found.fetches_code = True
        where = next((str(arguments[key]) for key in ("repository", "bucket", "container", "block_type_slug") if key in arguments), "")
        return f"{name} {where}".rstrip() + ": code is not fetched when a run starts: put it into the image, or into source"
    if name == "pip_install_requirements":
        return "pip_install_requirements: install them in the image; process.requirements is for a local server"
    shown = {key: value for key, value in arguments.items() if key not in _ABOUT_THE_STEP}
    script = " ".join(str(shown.get("script", shown or "")).split())
    return f"{name}: nothing runs it; do it before this is applied, or in the image: {script[:_SHOWN]}".rstrip(": ")


def _image_of(arguments: Mapping[str, Any]) -> str:
    """The image that a step builds or pushes."""
    name, tag = str(arguments.get("image_name", "IMAGE")), arguments.get("tag")
    return f"{name}:{tag}" if tag else f"{name}:latest"
