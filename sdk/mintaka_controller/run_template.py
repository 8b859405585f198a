"""What a run runs: its own template, or a revision of its deployment, regardless of later changes to the deployment.

A run takes the newest revision when it is first reconciled, and keeps it. Only while no attempt has begun and the deployment
itself is what prevents that, a corrected deployment is taken; and with the annotation `mintaka.dev/revision: latest`, each
further attempt takes the newest. As long as the deployment has not changed, its cached spec is used and nothing is read.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from pydantic import ValidationError

from mintaka_controller.deployment_cache import invalid_fields
from mintaka_controller.ports import Conflict, Exists, Missing, Rejected
from mintaka_controller.reading import read_deployment
from mintaka_core.reconciling.deployments import FAULTS_OF_THE_DEPLOYMENT
from mintaka_core.revisions import Revision, config_map_of, has_source, has_template, revision_data, revision_name, wants_latest
from mintaka_core.states import CRASHED, FAILED, PAUSED, SCHEDULED
from mintaka_core.workloads import NO_REVISION, CreateError, RevisionCode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mintaka_controller.context import Context
    from mintaka_controller.ports import Name
    from mintaka_core.resources import FlowRun, FlowTemplate
    from mintaka_core.revisions import SourceVersion
    from mintaka_core.workloads import Workload

_logger = logging.getLogger(__name__)

#: A run and the objects it names may be applied together, in any order, and a sync of many manifests takes a while.
SOON = timedelta(seconds=30)
#: How long no other revision of a deployment is tried after one was refused: the operator's Role may be corrected meanwhile.
_REFUSED = timedelta(minutes=10)


class RunTemplate(NamedTuple):
    """What to run, or why that is not known. `revision` is what the next attempt takes (None: the recorded one), `source_found`
    says that its ConfigMap exists.
    """

    template: FlowTemplate | None
    error: CreateError | None = None
    revision: str | None = None
    source_found: bool = False


def may_start(run: FlowRun) -> bool:
    """True if a pass may create a workload for a run that has none."""
    state = run.status.state.type if run.status.state else None
    return state in {None, SCHEDULED, PAUSED} or run.rerun_wanted


async def find_template(context: Context, run: FlowRun, workloads: Mapping[int, Workload]) -> RunTemplate:
    """What the current or the next attempt of a run runs. Raises PortError."""
    if run.spec.deployment is None:
        if run.spec.template is None:
            return RunTemplate(None, CreateError("InvalidTemplate", "the run says neither which deployment nor what to run", FAILED))
        return RunTemplate(run.spec.template)
    if takes_newest(run, workloads):
        return await _newest(context, run)
    revision = _recorded(run, workloads)
    return await _stored(context, run, revision) if revision else await _of_deployment(context, run)


def takes_newest(run: FlowRun, workloads: Mapping[int, Workload]) -> bool:
    """Whether the next attempt takes the newest revision of the deployment."""
    status = run.status
    if any(attempt > status.attempt for attempt in workloads):
        return False  # an attempt has begun whose start is not recorded: it runs what its workload says
    if status.attempt == 0:
        reason = status.state.reason if status.state else ""
        return may_start(run) and (not status.revision or status.is_terminal or reason in FAULTS_OF_THE_DEPLOYMENT)
    current = workloads.get(status.attempt)
    return wants_latest(run) and (may_start(run) or current is None or current.end is not None)


def _recorded(run: FlowRun, workloads: Mapping[int, Workload]) -> str:
    """The revision of the current attempt, also of one whose start is not recorded."""
    begun = max(workloads, default=0)
    return (workloads[begun].revision if begun > run.status.attempt else "") or run.status.revision


async def _of_deployment(context: Context, run: FlowRun) -> RunTemplate:
    """The deployment as it is now."""
    key = (run.metadata.namespace, run.spec.deployment or "")
    found = await read_deployment(context, key)
    if found is None:
        message = f"there is no FlowDeployment {key[1]!r} in namespace {key[0]!r}: apply it, then create the run again"
        return RunTemplate(None, CreateError("DeploymentNotFound", message, FAILED, SOON))
    deployment, problem = found
    if problem:
        return RunTemplate(None, CreateError(problem.reason, f"FlowDeployment {key[1]!r}: {problem.message}", FAILED))
    return RunTemplate(deployment.spec)


async def _newest(context: Context, run: FlowRun) -> RunTemplate:
    found = await _of_deployment(context, run)
    namespace, deployment = run.metadata.namespace, run.spec.deployment or ""
    entry = context.deployments.get((namespace, deployment))
    if found.template is None or entry is None or not entry.template_digest:
        return found
    source = None
    config_map = _config_map(found.template)
    if config_map:
        source = await current_source(context, namespace, config_map)
        if source is None:
            return found._replace(error=source_missing(namespace, config_map))
    if context.revisions.refusal((namespace, deployment), context.ports.clock.now()):
        return found._replace(revision="", source_found=True)
    name = revision_name(deployment, entry.template_digest, source.digest if source else "")
    return found._replace(revision=name, source_found=True)


async def _stored(context: Context, run: FlowRun, revision: str) -> RunTemplate:
    """A revision that was recorded: the deployment itself if it has not changed, else what is stored."""
    key, deployment = (run.metadata.namespace, revision), (run.metadata.namespace, run.spec.deployment or "")
    entry = context.deployments.get(deployment)
    if entry and has_template(revision, entry.template_digest):
        return await _of_deployment(context, run)
    try:
        stored = await _load(context, key)
    except Rejected as error:
        return RunTemplate(None, _not_readable(revision, error))
    if stored:
        return _parsed(context, key)
    await read_deployment(context, deployment)
    if (entry := context.deployments.get(deployment)) and has_template(revision, entry.template_digest):
        return await _of_deployment(context, run)
    what = "has changed" if entry else "was deleted"
    return RunTemplate(None, _not_found(run, revision, f"FlowDeployment {run.spec.deployment!r} {what}"))


def _parsed(context: Context, key: Name) -> RunTemplate:
    try:
        return RunTemplate(context.revisions.template(key))
    except ValidationError as error:
        message = f"ControllerRevision {key[1]!r} is not a valid spec for this release: {invalid_fields(error)}"
        return RunTemplate(None, CreateError("InvalidRevision", message, FAILED))


def _not_readable(revision: str, error: Rejected) -> CreateError:
    return CreateError("RevisionNotReadable", f"ControllerRevision {revision!r} cannot be read: {error}", FAILED, None)


def _not_found(run: FlowRun, revision: str, what: str) -> CreateError:
    message = (
        f"there is no ControllerRevision {revision!r} any more, whose spec this run was created with, and {what} since: create another "
        f"run, or run flow run {run.metadata.name!r} with the present spec: set its annotation mintaka.dev/revision=latest and raise "
        "spec.reruns"
    )
    return CreateError("RevisionNotFound", message, FAILED)


async def _load(context: Context, key: Name) -> bool:
    """Cache the content of a revision; False if there is none."""
    if context.revisions.holds(key):
        return True
    try:
        revision = await context.ports.revisions.read(key)
    except Missing:
        context.revisions.remove(key)
        return False
    if not revision.intact:
        _logger.warning("ControllerRevision %s/%s was not made by this operator, or was changed: it is not used", *key)
        return False
    context.revisions.put(key, revision.data, context.ports.clock.now())
    return True


# Sources in ConfigMaps.


def _config_map(template: FlowTemplate) -> str:
    return template.source.config_map.name if template.source and template.source.config_map else ""


def source_missing(namespace: str, name: str) -> CreateError:
    """The error of a run whose ConfigMap does not exist."""
    message = f"there is no ConfigMap {name!r} in namespace {namespace!r}, which spec.source.configMap names"
    return CreateError("ConfigMapNotFound", message, CRASHED, SOON)


async def current_source(context: Context, namespace: str, name: str) -> SourceVersion | None:
    """A ConfigMap as it is now, None if there is none; its content is only read if it has changed."""
    sources = context.revisions.sources
    try:
        version = await context.ports.sources.find_version(namespace, name)
        known = sources.get((namespace, name), version)
        if known is None:
            known = await context.ports.sources.read_files(namespace, name)
            sources.put((namespace, name), known)
    except Missing:
        return None
    return known


async def has_copy(context: Context, run: FlowRun, revision: str) -> bool:
    """Whether the recorded revision of a run has its own copy of the source, so that the ConfigMap is not needed."""
    key = (run.metadata.namespace, revision)
    try:
        if not revision or not await _load(context, key):
            return False
    except Rejected:
        return False
    source = context.revisions.source(key)
    return source is not None and source.files is not None


async def find_code(context: Context, run: FlowRun, template: FlowTemplate, revision: str, *, newest: bool) -> RevisionCode | CreateError:
    """What the workload of an attempt gets: the files of its revision if the ConfigMap has changed since. `newest`: it cannot have."""
    if not revision:
        return NO_REVISION
    name, key = _config_map(template), (run.metadata.namespace, revision)
    if newest or not name:
        return RevisionCode(revision)
    current = await current_source(context, key[0], name)
    if current is not None and has_source(revision, current.digest):
        return RevisionCode(revision)
    try:
        if not await _load(context, key):
            return _not_found(run, revision, f"ConfigMap {name!r} with the code has changed")
    except Rejected as error:
        return _not_readable(revision, error)
    stored = context.revisions.source(key)
    return RevisionCode(revision, stored.files if stored else None)


# Storing.


async def store_revision(context: Context, run: FlowRun, name: str) -> str:
    """Create the revision that a run needs, unless it is known to exist; return why that was refused, "" if it was not.

    Raises Conflict if the deployment or its source has changed meanwhile, Unavailable.
    """
    namespace, deployment = run.metadata.namespace, run.spec.deployment or ""
    key, now = (namespace, name), context.ports.clock.now()
    context.revisions.note_newest(namespace, deployment, name)
    if context.revisions.exists(key, now):
        return ""
    revision = _made_now(context, namespace, deployment, name)
    try:
        await context.ports.revisions.create(run, revision)
    except Exists:
        pass
    except Rejected as error:
        context.revisions.refuse((namespace, deployment), str(error), now, now + _REFUSED)
        return str(error)
    context.revisions.put(key, revision.data, now)
    return ""


def _made_now(context: Context, namespace: str, deployment: str, name: str) -> Revision:
    """The revision of that name from the deployment and its source as they are known."""
    entry, template = context.deployments.get((namespace, deployment)), context.deployments.template((namespace, deployment))
    source = None
    if template is not None and (config_map := config_map_of(template)):
        source = context.revisions.sources.latest((namespace, config_map))
    if entry and template is not None and revision_name(deployment, entry.template_digest, source.digest if source else "") == name:
        return Revision(name, deployment, entry.uid, revision_data(template, source))
    message = f"FlowDeployment {namespace}/{deployment} has changed meanwhile"
    raise Conflict(message)
