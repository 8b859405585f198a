"""Gathers what a launch needs, ConfigMaps and Secrets, and builds it."""

from __future__ import annotations

import asyncio
import socket
from time import time
from typing import TYPE_CHECKING, Any

from mintaka_api.local.processes.launch import AttemptPlaces, InvalidLaunch, build_launch, source_files
from mintaka_api.local.processes.references import InvalidReference, config_map_files, container_variables, secret_files, secret_value
from mintaka_controller.ports import CreateRefused, Missing
from mintaka_core import names
from mintaka_core.attempt_environment import secret_variables
from mintaka_core.flow_containers import flow_container, flow_container_name
from mintaka_core.names import FLOW_CONTAINER

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mintaka_api.local.processes.attempt_folder import AttemptFolder
    from mintaka_api.local.processes.launch import Launch, Machine
    from mintaka_api.local.processes.process_workloads import Documents
    from mintaka_core.resources import FlowRun, FlowTemplate
    from mintaka_core.workloads import RevisionCode


class ProcessLaunches:
    """Builds launches; Secrets are folders of `home`, ConfigMaps documents of the store."""

    def __init__(self, home: Path, documents: Documents, machine: Machine) -> None:
        self._home = home
        self._documents = documents
        self._machine = machine

    async def build(
        self, run: FlowRun, template: FlowTemplate, attempt: int, resumed_from: str, code: RevisionCode, folder: AttemptFolder, uid: str
    ) -> Launch:
        """The launch of the attempt whose folder will be `folder`, and whose processes have the token `uid`. Raises CreateRefused."""
        try:
            return build_launch(
                run,
                template,
                attempt,
                resumed_from,
                machine=self._machine,
                places=AttemptPlaces(folder.source, folder.work, folder.report),
                own_variables=await self._own_variables(run, template, attempt),
                files=source_files(template, await self._config_map_source(run, template, code)),
                token=uid,
            )
        except (InvalidLaunch, InvalidReference) as invalid:
            raise CreateRefused(invalid.error) from invalid

    async def _own_variables(self, run: FlowRun, template: FlowTemplate, attempt: int) -> dict[str, str]:
        namespace = run.metadata.namespace
        fields = {
            "metadata.name": names.pod_name(run.metadata.name, attempt),
            "metadata.namespace": namespace,
            "spec.nodeName": socket.gethostname(),
        }
        variables = {
            variable: await secret_value(namespace, reference.name, reference.key, variable, self)
            for variable, reference in secret_variables(run, template).items()
        }
        storage = template.result_storage
        if storage is not None and storage.secret_ref is not None:
            credentials = {"envFrom": [{"secretRef": {"name": storage.secret_ref.name}}]}
            variables |= await container_variables(credentials, namespace, fields, self)
        return variables | await container_variables(flow_container(template), namespace, fields, self)

    async def _config_map_source(self, run: FlowRun, template: FlowTemplate, code: RevisionCode) -> Mapping[str, bytes] | None:
        if code.files is not None:
            return {name: content.encode() for name, content in code.files.items()}
        if template.source is None or template.source.config_map is None:
            return None
        name = template.source.config_map.name
        files = await self.config_map(run.metadata.namespace, name)
        if files is None:
            raise InvalidReference(
                "ConfigMapNotFound", f"the source is ConfigMap {run.metadata.namespace}/{name}, which does not exist: apply it"
            )
        return files

    async def config_map(self, namespace: str, name: str) -> Mapping[str, bytes] | None:
        """The files of a ConfigMap; None if it does not exist."""
        try:
            return config_map_files(await self._documents.read("ConfigMap", (namespace, name)))
        except Missing:
            return None

    async def secret(self, namespace: str, name: str) -> Mapping[str, bytes] | None:
        """The keys of a Secret; None if it does not exist."""
        return await asyncio.to_thread(secret_files, self._home, namespace, name)


def attempt_request(run: FlowRun, template: FlowTemplate, attempt: int, launch: Launch, uid: str, revision: str) -> dict[str, Any]:
    """What the folder records of an attempt before it begins: everything but the variables, some of which are secret."""
    metadata = run.metadata
    return {
        "uid": uid,
        "token": uid,  # as in `launch`: what is left of the attempt is found by it, even if the supervisor's record cannot be read
        "name": names.pod_name(metadata.name, attempt),
        "namespace": metadata.namespace,
        "run": metadata.name,
        "run_uid": metadata.uid,
        "attempt": attempt,
        "reports": template.entrypoint is not None,
        "container": flow_container_name(template) or FLOW_CONTAINER,
        "revision": revision,
        "created": time(),
        "program": launch.command[0],
        "directory": launch.directory,
        "grace_seconds": launch.grace_seconds,
        "remedy": launch.remedy,
        "limits": dict(launch.limits),
    }
