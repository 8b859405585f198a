"""FlowRun → command, folder, variables and files of its process; pure.

The documents are those of a cluster. Of podTemplate, the fields that apply to a process are used: command, arguments, variables
and working directory of the flow's container, and the grace period. `process` adds what only this machine has. What a cluster's
operator refuses or would run differently is refused here, and the message says what to write instead.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mintaka_api.local.processes.leftovers import TOKEN
from mintaka_api.local.processes.references import expanded
from mintaka_core.attempt_environment import Places, attempt_variables
from mintaka_core.errors import MintakaError
from mintaka_core.flow_containers import flow_container, flow_container_name
from mintaka_core.json_values import integer, items, mapping, text
from mintaka_core.names import ANNOTATION_PROCESS_LIMITS, FLOW_CONTAINER
from mintaka_core.states import FAILED
from mintaka_core.workloads import CreateError

if TYPE_CHECKING:
    from mintaka_core.json_values import Json
    from mintaka_core.resources import FlowRun, FlowTemplate

#: Kubernetes' default grace period in seconds.
_USUAL_GRACE_SECONDS = 30
#: Variables with our prefix that processes inherit from the server; the others are the server's own settings.
_SHARED = frozenset({"MINTAKA_HOME", "MINTAKA_LOG_LEVEL"})
_PREFIX = "MINTAKA_"
#: Secrets are for flows: `MINTAKA_SECRET_NAME` has one, `MINTAKA_SECRETS_DIR` the folder of others.
_SECRETS = "MINTAKA_SECRET"
#: Kubernetes allows no other keys of ConfigMaps.
_FILE_NAME = re.compile(r"[-._a-zA-Z0-9]{1,253}")


class InvalidLaunch(MintakaError):
    """A template from which no process can be started."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.error = CreateError("InvalidTemplate", message, FAILED)


@dataclass(frozen=True, slots=True)
class Machine:
    """What all processes of this server have in common. `token_file` "" means that the API needs no token.

    History that cannot be delivered while the API is away is stored in `spool_dir` ("": the SDK's default).
    """

    python: str
    api_url: str = ""
    token_file: str = ""
    variables: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    spool_dir: str = ""


@dataclass(frozen=True, slots=True)
class AttemptPlaces:
    """The files of one attempt: folders for its source and for what it writes, and the file for its report."""

    source: str
    work: str
    report: str


@dataclass(frozen=True, slots=True)
class Launch:
    """What to start. `files` are those of its source by path; `remedy` says what to correct if the program is missing, `notes`
    what is ignored of podTemplate, `limits` how many processes of its groups may run.
    """

    command: list[str]
    directory: str
    environment: dict[str, str]
    files: Mapping[str, bytes]
    grace_seconds: int
    remedy: str
    notes: tuple[str, ...] = ()
    limits: Mapping[str, int] = field(default_factory=dict)


def build_launch(
    run: FlowRun,
    template: FlowTemplate,
    attempt: int,
    resumed_from: str,
    *,
    machine: Machine,
    places: AttemptPlaces,
    own_variables: Mapping[str, str],
    files: Mapping[str, bytes],
    token: str,
) -> Launch:
    """The launch of an attempt; `own_variables` are those of podTemplate and Secrets, `token` marks what it starts.

    Raises InvalidLaunch.
    """
    container, grace = flow_container(template), _grace_seconds(template)
    ours = attempt_variables(
        run, template, attempt, resumed_from, Places(places.source, places.work, grace, places.report, machine.api_url)
    )
    if machine.token_file:
        ours["MINTAKA_API_TOKEN_FILE"] = machine.token_file
    if machine.spool_dir:
        ours["MINTAKA_SPOOL_DIR"] = machine.spool_dir
    python = _interpreter(template, machine)
    variables = {**_inherited(machine.variables, python), **ours, **own_variables, TOKEN: token}
    return Launch(
        command=_command(template, container, python, variables),
        directory=_directory(template, container) or places.work,
        environment=variables,
        files=files,
        grace_seconds=grace,
        remedy=_remedy(template, container),
        notes=_notes(template),
        limits=_limits(template),
    )


def source_files(template: FlowTemplate, config_map: Mapping[str, bytes] | None) -> Mapping[str, bytes]:
    """The files of the source by path; `config_map` are those of its ConfigMap. Raises InvalidLaunch."""
    source = template.source
    if source is None:
        return {}
    if source.inline is None:
        if wrong := [name for name in config_map or {} if not _FILE_NAME.fullmatch(name) or name in {".", ".."}]:
            message = f"the keys of the source's ConfigMap are names of files, which {wrong[0]!r} is not"
            raise InvalidLaunch(message)
        return config_map or {}
    path = PurePosixPath((template.entrypoint or "").rpartition(":")[0])
    if path.is_absolute() or ".." in path.parts or not path.name:
        message = f"the entrypoint of source.inline begins with the name of the file, which {str(path)!r} is not: write flow.py:main"
        raise InvalidLaunch(message)
    return {str(path): source.inline.encode()}


def _inherited(server: Mapping[str, str], python: str) -> dict[str, str]:
    """The server's variables, without its own settings; programs of the interpreter's environment are found first."""
    variables = {
        name: value for name, value in server.items() if not name.startswith(_PREFIX) or name.startswith(_SECRETS) or name in _SHARED
    }
    folder = os.path.dirname(python)  # noqa: PTH120 - a text
    variables["PATH"] = os.pathsep.join(filter(None, (folder, variables.get("PATH", os.defpath))))
    return variables


def _interpreter(template: FlowTemplate, machine: Machine) -> str:
    given = template.process.python if template.process else None
    if given is None:
        return machine.python
    path = Path(given).expanduser()
    if not path.is_absolute():
        message = f"process.python is the absolute path of an interpreter or of a virtual environment, not {given!r}"
        raise InvalidLaunch(message)
    return str(path / "bin" / "python" if path.is_dir() else path)


def _command(template: FlowTemplate, container: Json, python: str, variables: Mapping[str, str]) -> list[str]:
    command, arguments = ([expanded(word, variables) for word in _words(container, key)] for key in ("command", "args"))
    if command or not template.entrypoint:
        if not command:
            message = (
                "there is no command: this server runs processes and no images, so write the command of podTemplate's container, "
                "or name an entrypoint"
            )
            raise InvalidLaunch(message)
        return command + arguments
    runner = ["-m", "mintaka.runner", *arguments]
    requirements = template.process.requirements if template.process else ()
    if not requirements:
        return [python, *runner]
    packages = [word for requirement in requirements for word in ("--with", requirement)]
    return ["uv", "run", "--no-project", "--quiet", "--python", python, *packages, "--", "python", *runner]


def _words(container: Json, key: str) -> list[str]:
    words = container.get(key)
    if words is None:
        return []
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        message = f"{key} of podTemplate's container is a list of words"
        raise InvalidLaunch(message)
    return words


def _directory(template: FlowTemplate, container: Json) -> str:
    """The working directory in the template; "" if it has none."""
    if template.process and template.process.working_dir:
        path = Path(template.process.working_dir).expanduser()
        if not path.is_absolute():
            message = f"process.workingDir is an absolute path, not {template.process.working_dir!r}"
            raise InvalidLaunch(message)
        return str(path)
    return text(container.get("workingDir"))


def _grace_seconds(template: FlowTemplate) -> int:
    grace = integer(mapping(mapping(template.pod_template).get("spec")).get("terminationGracePeriodSeconds"))
    return _USUAL_GRACE_SECONDS if grace is None or grace < 0 else grace


def _remedy(template: FlowTemplate, container: Json) -> str:
    if container.get("command") or not template.entrypoint:
        return "correct the command of podTemplate's container"
    if template.process and template.process.requirements:
        return "process.requirements needs uv (https://docs.astral.sh/uv): install it where the server finds it, or leave requirements out"
    if template.process and template.process.python:
        return "correct process.python, the interpreter or virtual environment of the flow"
    return "the interpreter of the server is gone: install it again and restart the server"


def _notes(template: FlowTemplate) -> tuple[str, ...]:
    """What podTemplate contains that is ignored here."""
    spec = mapping(mapping(template.pod_template).get("spec"))
    flow = flow_container_name(template) or FLOW_CONTAINER
    others = [text(one.get("name")) for one in items(spec.get("containers")) if one.get("name") != flow]
    first = [text(one.get("name")) for one in items(spec.get("initContainers"))]
    volumes = [text(one.get("name")) for one in items(spec.get("volumes"))]
    ignored = [
        f"{kind} {', '.join(found)}" for kind, found in (("init containers", first), ("containers", others), ("volumes", volumes)) if found
    ]
    return (f"podTemplate: {'; '.join(ignored)}: ignored, since this server runs one process for each attempt",) if ignored else ()


def _limits(template: FlowTemplate) -> Mapping[str, int]:
    """By group, how many processes of it may run: an annotation of podTemplate, which `flow.serve(limit=…)` writes."""
    annotations = mapping(mapping(mapping(template.pod_template).get("metadata")).get("annotations"))
    given = text(annotations.get(ANNOTATION_PROCESS_LIMITS))
    if not given:
        return {}
    try:
        limits = json.loads(given)
    except ValueError:
        limits = None
    if not isinstance(limits, dict) or not all(type(limit) is int and limit > 0 for limit in limits.values()):
        message = (
            f'the annotation {ANNOTATION_PROCESS_LIMITS} is an object such as {{"group": 3}}, with numbers from 1 on, not {given:.100}'
        )
        raise InvalidLaunch(message)
    return limits
