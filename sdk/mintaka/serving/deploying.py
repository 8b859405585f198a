"""`flow.deploy` and `deploy`: FlowDeployments applied where `mintaka apply` would, a local server or a cluster."""

from __future__ import annotations

import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack
from uuid import UUID

from mintaka.cli.masking import without_secrets
from mintaka.engine.loops import loop_is_running
from mintaka.exceptions import DeploymentError, InvalidSettingError, MissingContextError
from mintaka.manifests import warnings_of
from mintaka.recording.homes import command_home
from mintaka.server_address import running_server
from mintaka.serving.documents import ClusterDocuments, ServerDocuments
from mintaka.serving.job_variables import TemplateParts
from mintaka.serving.runner_deployments import RunnerDeployment, runner_deployment
from mintaka.serving.schedule_arguments import with_anchors
from mintaka.serving.served_manifests import served_manifest
from mintaka_core.limits import check_source, refuse

if TYPE_CHECKING:
    from mintaka.flows import Flow
    from mintaka.serving.documents import Document, Documents
    from mintaka.serving.keyword_types import DeployWords

_AROUND = ("work_pool_name", "image", "build", "push", "ignore_warnings")


def deploy_flow(flow: Flow[..., Any], name: str, **settings: Unpack[DeployWords]) -> UUID:
    """See `Flow.deploy`."""
    words: dict[str, Any] = dict(settings)
    around = {word: words.pop(word) for word in _AROUND if word in words}
    quiet = not words.pop("print_next_steps", True)
    return Target(**around).apply((runner_deployment(flow, name, **words),), quiet=quiet)[0]


class Target:
    """The place that `deploy` applies to, and the arguments about it."""

    def __init__(
        self,
        work_pool_name: str | None = None,
        image: Any = None,
        *,
        build: bool = True,
        push: bool = True,
        ignore_warnings: bool = False,
    ) -> None:
        if loop_is_running():
            message = "deploy(…) blocks, and an event loop runs in this thread: write `await my_flow.deploy(…)`"
            raise MissingContextError(message)
        self._image = _image_name(image)
        self._pool = work_pool_name
        self._pushes = [word for word, value in (("build", build), ("push", push)) if value]
        self._ignore_warnings = ignore_warnings
        self._documents, self._here, self._namespace = _place()

    def apply(self, deployments: tuple[RunnerDeployment, ...], *, quiet: bool) -> list[UUID]:
        """Apply them; returns their uids, in order. See `mintaka.deploy`."""
        if not deployments or not all(isinstance(deployment, RunnerDeployment) for deployment in deployments):
            message = "deploy(…) needs deployments: deploy(my_flow.to_deployment('name'), …)"
            raise InvalidSettingError(message)
        now = datetime.now(UTC)
        with warnings.catch_warnings():
            if self._ignore_warnings:
                warnings.simplefilter("ignore", UserWarning)
            self._warn_of_arguments()
            for deployment in deployments:
                deployment.warn()
            manifests = [self._manifest(deployment, now) for deployment in deployments]
            for manifest in manifests:
                for sentence in warnings_of(manifest):
                    _warn(f"{manifest['metadata']['name']}: {sentence}")
        for manifest in manifests:
            _set_anchors(self._documents, manifest, now)
        try:
            stored = self._documents.apply(manifests)
        except DeploymentError as error:  # kubectl quotes the rejected document
            raise DeploymentError(without_secrets(str(error), manifests)) from None
        if not quiet:
            for deployment in deployments:
                sys.stdout.write(f"{deployment.full_name} is applied; a run at once: mintaka run deployment/{deployment.object_name}\n")
        return [UUID(document["metadata"]["uid"]) for document in stored]

    def _manifest(self, deployment: RunnerDeployment, now: datetime) -> Document:
        return served_manifest(deployment, self._namespace, {}, now) if self._here else _cluster_manifest(deployment, self._image, now)

    def _warn_of_arguments(self) -> None:
        """A warning for each argument that has no effect."""
        if self._pool:
            _warn(f"work_pool_name={self._pool!r} has no effect: runs are started where the deployment is applied")
        if self._image and self._here:
            _warn(f"image={self._image!r} has no effect: the local server runs processes of this machine")
        elif self._image and self._pushes:
            words = " and ".join(self._pushes)
            _warn(f"{words}: no image is built or pushed: do that with its own tools, and pass build=False, push=False")


def _place() -> tuple[Documents, bool, str]:
    """The place that the user's commands act on; whether it runs processes of this machine; and the namespace there ("": kubectl's).

    Raises:
        DeploymentError: there is no such place.
    """
    from mintaka.cli.kubectl import kubectl  # noqa: PLC0415 - start-up time

    where = command_home()
    if where.cluster is not None:
        return ClusterDocuments(kubectl), False, ""
    if where.api_url:
        running = running_server(where.folder)
        return ServerDocuments(where.api_url), running is not None and running.url == where.api_url, where.namespace
    message = "no server runs on this machine: start one (mintaka server start), or choose a cluster (mintaka context list)"
    raise DeploymentError(message)


def _cluster_manifest(deployment: RunnerDeployment, image: str | None, now: datetime) -> Document:
    """The FlowDeployment for pods: its code in the image, else in the manifest."""
    parts = TemplateParts()
    variables = dict(deployment.job_variables)
    if image is not None:
        variables["image"] = image
    file, _, _ = deployment.entrypoint.rpartition(":")
    source = None
    if "image" in variables:
        if Path(file).is_absolute():
            _warn(
                f"deployment {deployment.full_name}: {file} has to be at this place in the image; run this in its folder to have it relative"
            )
    elif file.endswith(".py"):
        source = (deployment.place.folder / file).read_text(encoding="utf-8")
        refuse(check_source(source, file))
    else:
        _warn(f"deployment {deployment.full_name}: {file} has to be in the operator's image; image=… names another one")
    if deployment.concurrency_limit:
        parts.spec["concurrency"] = {"limit": deployment.concurrency_limit}
    return deployment.manifest(now=now, source=source, parts=parts, variables=variables)


def _set_anchors(documents: Documents, manifest: Document, now: datetime) -> None:
    schedules = manifest["spec"].get("schedules")
    if schedules and any("interval" in schedule and "anchor" not in schedule for schedule in schedules):
        existing = documents.deployment(manifest["metadata"].get("namespace", ""), manifest["metadata"]["name"]) or {}
        manifest["spec"]["schedules"] = with_anchors(schedules, existing.get("spec", {}).get("schedules") or (), now)


def _image_name(image: Any) -> str | None:
    """A name, or an object such as Prefect's DockerImage, as a name."""
    if image is None or isinstance(image, str):
        return image or None
    name, tag = getattr(image, "name", None), getattr(image, "tag", None)
    if not isinstance(name, str):
        message = f"image is the name of an image, such as registry.example/flows:7, not {image!r:.100}"
        raise InvalidSettingError(message)
    return f"{name}:{tag}" if tag else name


def _warn(text: str) -> None:
    warnings.warn(text, UserWarning, stacklevel=4)
