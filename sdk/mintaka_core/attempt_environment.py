"""Run, template and attempt → the environment variables of the attempt's container or process; pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mintaka_core import wire_versions

if TYPE_CHECKING:
    from mintaka_core.resources import FlowRun, FlowTemplate
    from mintaka_core.resources.template import SecretKeyReference


@dataclass(frozen=True, slots=True)
class Places:
    """The settings of the place in which an attempt runs.

    `source_dir` is the folder of its source ("": it has none), `attempt_dir` a folder of the attempt's own that outlives its
    first start, `termination_message_path` the file for its report ("": the SDK's default), `api_url` the API that stores
    its history ("": none), `grace_seconds` the time between SIGTERM and SIGKILL.
    """

    source_dir: str
    attempt_dir: str
    grace_seconds: int
    termination_message_path: str = ""
    api_url: str = ""


def attempt_variables(run: FlowRun, template: FlowTemplate, attempt: int, resumed_from: str, places: Places) -> dict[str, str]:
    """The variables by name, without empty ones and those of `secret_variables`.

    `resumed_from` is the uid of the run whose finished tasks it reuses ("": its own).
    """
    # Another attempt of a run that suspended itself only begins because it was resumed.
    over = [*run.status.resumed, *filter(None, (run.status.suspension,))]
    secrets = template.merged_secrets(run.spec.parameters)
    variables = {
        "MINTAKA_FLOW_RUN": run.metadata.name,
        "MINTAKA_FLOW_RUN_UID": run.metadata.uid,
        "MINTAKA_NAMESPACE": run.metadata.namespace,
        "MINTAKA_DEPLOYMENT": run.spec.deployment or "",
        "MINTAKA_ATTEMPT": str(attempt),
        wire_versions.VARIABLE: str(wire_versions.WIRE_VERSION),
        "MINTAKA_SCHEDULED_TIME": run.spec.scheduled_time.isoformat() if run.spec.scheduled_time else "",
        "MINTAKA_PARAMETERS": json.dumps(template.merged_parameters(run.spec.parameters), separators=(",", ":")),
        "MINTAKA_TAGS": json.dumps(sorted({*template.tags, *run.spec.tags})),
        "MINTAKA_ENTRYPOINT": template.entrypoint or "",
        "MINTAKA_TIMEOUT_SECONDS": str(template.timeout_seconds or ""),
        "MINTAKA_SOURCE_DIR": places.source_dir if template.source else "",
        "MINTAKA_ATTEMPT_DIR": places.attempt_dir if template.entrypoint else "",
        "MINTAKA_RESUME_FROM": resumed_from,
        "MINTAKA_RESUMED": json.dumps(over) if over else "",
        **_result_variables(template),
        "MINTAKA_API_URL": places.api_url,
        "MINTAKA_GRACE_SECONDS": str(places.grace_seconds),
        "MINTAKA_TERMINATION_MESSAGE_PATH": places.termination_message_path,
        "MINTAKA_PARAMETERS_FROM_SECRETS": json.dumps(list(secrets)) if secrets else "",
    }
    return {name: value for name, value in variables.items() if value}


def _result_variables(template: FlowTemplate) -> dict[str, str]:
    if not template.result_storage:
        return {}
    return {"MINTAKA_RESULT_STORAGE": template.result_storage.url, "MINTAKA_RESULTS_PERSIST_BY_DEFAULT": "true"}


def secret_variables(run: FlowRun, template: FlowTemplate) -> dict[str, SecretKeyReference]:
    """The variables whose values are those of Secrets, by name: the parameters that MINTAKA_PARAMETERS_FROM_SECRETS lists.

    They are numbered, since a parameter's name need not be a valid variable name.
    """
    references = template.merged_secrets(run.spec.parameters).values()
    return {f"MINTAKA_PARAMETER_FROM_SECRET_{index}": reference for index, reference in enumerate(references)}
