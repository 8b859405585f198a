"""What to run and how: the fields that a FlowDeployment and a FlowRun's inline template have in common."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from mintaka_core.backoff import Backoff, Budget, Retries
from mintaka_core.limits import SOURCE_LIMIT_BYTES
from mintaka_core.resources.model import AnyObject, Model, ObjectName, Tag, cel, validations


class BackoffSpec(Model):
    """How long to wait before each retry: delaySeconds * factor^k, at most maxSeconds."""

    delay_seconds: float = Field(default=10, ge=0, le=86400)
    """Seconds before the first retry."""
    factor: float = Field(default=2, ge=1, le=100)
    """The factor between successive waits; with 1 the wait is constant."""
    max_seconds: float = Field(default=600, ge=0, le=604800)
    """Maximum wait, in seconds."""
    jitter: float = Field(default=0.1, ge=0, le=1)
    """Share of a wait that is drawn at random, so that many runs do not retry at once."""


class RetryBudget(Model):
    """How many times to retry, how long to wait before each retry, and for which reasons."""

    limit: int = Field(default=0, ge=0, le=1000)
    """How many retries are granted in the life of a run."""
    backoff: BackoffSpec = BackoffSpec()
    """The wait before each retry."""
    reasons: tuple[Annotated[str, Field(max_length=100)], ...] = Field(default=(), max_length=50)
    """Only these reasons use the budget (such as OOMKilled, Evicted); empty means all."""

    def budget(self) -> Budget:
        """The same as a value for the rules."""
        plan = Backoff(self.backoff.delay_seconds, self.backoff.factor, self.backoff.max_seconds, self.backoff.jitter)
        return Budget(self.limit, plan, frozenset(self.reasons))


class RetriesSpec(Model):
    """Two separate budgets: failures of the code and crashes of the infrastructure."""

    on_failure: RetryBudget = RetryBudget()
    """For runs that end FAILED: the flow raised, returned a failed state or timed out."""
    on_crash: RetryBudget = RetryBudget()
    """For runs that end CRASHED: out of memory, evicted, pod deleted, node lost, image not found and so on."""

    def budgets(self) -> Retries:
        """The same as a value for the rules."""
        return Retries(self.on_failure.budget(), self.on_crash.budget())


class ConfigMapSource(Model):
    """A ConfigMap of the same namespace whose keys are files."""

    name: ObjectName
    """Name of the ConfigMap."""


_SOURCE_RULES = validations(
    cel(
        "has(self.inline) != has(self.configMap)",
        "a source is exactly one of inline and configMap; leave source out when the code is in the image",
    ),
    cel(
        f"!has(self.inline) || bytes(self.inline).size() <= {SOURCE_LIMIT_BYTES}",
        f"inline takes at most {SOURCE_LIMIT_BYTES} bytes of UTF-8: put the code into a ConfigMap (configMap) or an image",
        field_path=".inline",
    ),
)


class Source(Model):
    """The source of the flow's code. Absent: it is in the image."""

    model_config = ConfigDict(json_schema_extra=_SOURCE_RULES)

    inline: str | None = Field(default=None, min_length=1, max_length=SOURCE_LIMIT_BYTES)
    """The Python source itself, at most 64 KiB of UTF-8; its file name is that of the entrypoint."""
    config_map: ConfigMapSource | None = None
    """A ConfigMap whose keys are mounted as files in one folder."""


class SecretReference(Model):
    """A Secret of the same namespace."""

    name: ObjectName
    """Name of the Secret."""


class SecretKeyReference(Model):
    """One key of a Secret of the same namespace."""

    name: ObjectName
    """Name of the Secret."""
    key: str = Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")
    """Key in it; its value is the parameter, as text."""


class ResultStorage(Model):
    """Where results of tasks are persisted."""

    url: str = Field(min_length=1, max_length=2000)
    """A URL that fsspec understands, such as s3://bucket/folder; every attempt of a run must be able to reach it."""
    secret_ref: SecretReference | None = None
    """A Secret whose keys become environment variables of the flow's container: the storage's credentials, under the names
    that its library reads, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
    """


class PodRetention(Model):
    """How long pods stay after their attempt has ended; their logs are in the run's log by then."""

    completed_seconds: int | None = Field(default=None, ge=0, le=31536000)
    """After attempts that completed, were cancelled or suspended, in seconds. Absent: the operator's setting (600)."""
    failed_seconds: int | None = Field(default=None, ge=0, le=31536000)
    """After attempts that failed or crashed, in seconds. Absent: the operator's setting (3600)."""


class ProcessSpec(Model):
    """How `mintaka server` runs the flow, as a process of its machine. In a cluster it has no effect."""

    python: str | None = Field(default=None, min_length=1, max_length=4096)
    """The interpreter, which needs mintaka installed: its path, or the folder of a virtual environment; `~` is the home of the
    server's user. Absent: the server's own interpreter.
    """
    requirements: tuple[Annotated[str, Field(min_length=1, max_length=1000)], ...] = Field(default=(), max_length=200)
    """Packages that are installed for the flow beside those of the interpreter, such as `pandas>=2`; `uv run` does that, and
    reuses what it has installed before.
    """
    working_dir: str | None = Field(default=None, min_length=1, max_length=4096)
    """The folder in which the process runs, and in which an entrypoint without a source is looked for; `~` is the home of the
    server's user. Absent: podTemplate's workingDir of the container, else a folder of the attempt's own.
    """


_TEMPLATE_RULES = validations(
    cel(
        "has(self.entrypoint) || has(self.podTemplate)",
        "name an entrypoint (module:flow or file.py:flow), or give a podTemplate with a container named flow",
        reason="FieldValueRequired",
    ),
    cel(
        "!has(self.source) || has(self.entrypoint)",
        "a source needs an entrypoint that says which function of it is the flow",
        reason="FieldValueRequired",
    ),
    cel(
        "!has(self.source) || !has(self.entrypoint) || self.entrypoint.split(':')[0].endsWith('.py')",
        "with a source, the entrypoint names a file of it, such as flow.py:main",
    ),
    cel(
        "!has(self.entrypoint) || !self.entrypoint.startsWith('/') || !has(self.source)", "with a source, the entrypoint is a relative path"
    ),
    cel(
        "!has(self.verdicts) || self.verdicts.all(reason, reason.matches('^[A-Za-z0-9]{1,100}$'))",
        "the keys of verdicts are reasons of the failure table, such as OOMKilled",
    ),
)


class FlowTemplate(Model):
    """What to run and how to run it."""

    model_config = ConfigDict(json_schema_extra=_TEMPLATE_RULES)

    entrypoint: str | None = Field(default=None, min_length=3, max_length=500, pattern=r"^[^\s:]+:[A-Za-z_][A-Za-z0-9_.]*$")
    """The flow: `module:function` or `path/to/file.py:function`. Absent: the flow is a plain container, and podTemplate
    defines what it runs.
    """
    source: Source | None = None
    """Where the code comes from; absent when it is in the image."""
    image: str | None = Field(default=None, min_length=1, max_length=1000)
    """The image of the flow's container. Absent: the operator's default image, which contains Python and mintaka."""
    parameters: AnyObject | None = None
    """Arguments of the flow. A run's own parameters override them one by one."""
    secret_parameters: dict[str, SecretKeyReference] | None = Field(default=None, max_length=50)
    """Arguments of the flow whose values are taken from Secrets, by the name of the parameter. The values are only in the
    Secret and in the pod; a run that sets such a parameter itself overrides it.
    """
    parameter_schema: AnyObject | None = None
    """JSON Schema (2020-12) of the parameters; checked before anything is started. Values that it marks `format: password`
    or `writeOnly: true` are shown as stars everywhere except in the resources themselves and their pods.
    """
    retries: RetriesSpec = RetriesSpec()
    """How often to retry after a failure and after a crash."""
    timeout_seconds: int | None = Field(default=None, ge=1, le=31536000)
    """How long one attempt may run, in seconds; then it is stopped and ends FAILED, named TimedOut."""
    pending_timeout_seconds: int = Field(default=600, ge=1, le=604800)
    """How long one attempt may take to start (scheduling, pulling the image), in seconds; then it ends CRASHED with the
    reason for the delay.
    """
    verdicts: dict[str, Literal["FAILED", "CRASHED"]] | None = Field(default=None, max_length=50)
    """Overrides the verdict of the failure table for a reason, such as `OOMKilled: FAILED`."""
    result_storage: ResultStorage | None = None
    """Where results of tasks are persisted; if set, they are persisted by default: retries, reruns and runs with resumeFrom
    then take finished tasks from there.
    """
    pod_template: AnyObject | None = None
    """A partial PodTemplateSpec, merged strategically over the operator's own; the container named `flow` is the flow's."""
    process: ProcessSpec | None = None
    """How `mintaka server` runs the flow: interpreter, packages, folder. The command, arguments and variables are those of
    podTemplate's container. In a cluster it has no effect.
    """
    pod_retention: PodRetention = PodRetention()
    """How long pods of ended attempts stay. Before a pod is deleted, output of its container that the SDK did not deliver
    is copied into the run's log.
    """
    tags: tuple[Tag, ...] = Field(default=(), max_length=50)
    """Free words to find runs by."""

    def merged_parameters(self, own: dict[str, Any] | None) -> dict[str, Any]:
        """The arguments of a run that do not come from Secrets: these, overridden one by one by `own`."""
        own = own or {}
        return {name: value for name, value in (self.parameters or {}).items() if name not in (self.secret_parameters or {})} | own

    def merged_secrets(self, own: dict[str, Any] | None) -> dict[str, SecretKeyReference]:
        """The arguments of a run that come from Secrets: those that are not in `own`."""
        return {name: reference for name, reference in (self.secret_parameters or {}).items() if name not in (own or {})}

    def schema_of_merged(self, own: dict[str, Any] | None) -> dict[str, Any] | None:
        """The schema for `merged_parameters`, which does not require parameters from Secrets; None: anything is valid."""
        secrets, schema = self.merged_secrets(own), self.parameter_schema
        if not secrets or not schema or not isinstance(required := schema.get("required"), list):
            return schema
        return {**schema, "required": [name for name in required if name not in secrets]}
