"""What is kept of a flow run beside the results of its tasks, so that it can be run again: which flow, with what.

It lies with the results, as `runs/ID/run`, and is written when the first of these is looked for; so a run that was in a cluster can
be run again wherever its storage can be reached. Arguments are kept as they were, not as history shows them.
"""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mintaka.entrypoints import OF_FILES, imported_flow
from mintaka.exceptions import LoadError, MissingResult
from mintaka.persisting.result_settings import ON
from mintaka.results import ResultStore
from mintaka.serializers import PickleSerializer

if TYPE_CHECKING:
    from mintaka.context import FlowContext
    from mintaka.flows import Flow
    from mintaka.persisting.result_settings import StorageLike

_SERIALIZER = "pickle"


@dataclass(frozen=True, slots=True)
class KeptRun:
    """One flow run.

    `results_id` is the run under whose id the results of its tasks are: itself, or the one that it resumed. `entrypoint` is `module:flow`, or `/path/file.py:flow` on the machine it ran on. `parameters` are pickled on their own, since
    what they are of can be imported only when the flow was; None where they could not be. `secrets` are the names of those
    that are secret and therefore not among them: they have to be given again.
    """

    flow_run_id: str
    results_id: str
    name: str
    flow: str
    entrypoint: str
    parameters: bytes | None
    tags: tuple[str, ...]
    secrets: tuple[str, ...]

    @property
    def key(self) -> str:
        """Where it lies."""
        return f"runs/{self.flow_run_id}/run"


def keep_run(flow: FlowContext) -> None:
    """Write down the flow run that `flow` is, or is part of, once in each attempt.

    Raises:
        ResultError: it could not be written.
    """
    root = flow
    flow.kept = True
    while root.outer is not None:
        root = root.outer
        if root.kept:
            return
    root.kept = True
    if root.launch.replay is not None or not root.launch.flow_run_id:
        return
    launch = root.launch
    parameters = root.flow.parameters
    secrets = {name for name, value in root.parameters.items() if parameters.is_secret(name, value)}
    run = KeptRun(
        launch.flow_run_id,
        launch.results_id,
        root.run.name,
        root.flow.key,
        entrypoint_of(root.flow.fn, root.flow.key),
        _pickled({name: value for name, value in root.parameters.items() if name not in secrets}),
        launch.tags,
        # A default is there again without being given.
        tuple(sorted(name for name in secrets if root.parameters[name] is not parameters.signature.parameters[name].default)),
    )
    ResultStore(root.results.store().storage, _SERIALIZER).write(run, run.key)


def kept_run(flow_run_id: str, storage: StorageLike | None = None) -> tuple[KeptRun, ResultStore]:
    """The run of that id, and the store it was found in (`storage` None: the one the environment names).

    Raises:
        MissingResult: nothing was kept of it there.
        ResultError: it cannot be read.
    """
    store = ResultStore(storage, _SERIALIZER) if storage is not None else ON.store()
    try:
        run = store.read(f"runs/{flow_run_id}/run").result
    except MissingResult as error:
        message = (
            f"nothing is kept of flow run {flow_run_id} in {store.storage.url}: its results have to be persisted "
            "(persist_result=True, or MINTAKA_RESULTS_PERSIST_BY_DEFAULT=true), and MINTAKA_RESULT_STORAGE has to be the same"
        )
        raise MissingResult(message) from error
    return run, store


def _pickled(parameters: dict[str, Any]) -> bytes | None:
    try:
        return PickleSerializer().dumps(parameters)
    except Exception:  # noqa: BLE001 - whoever runs it again has to give them
        return None


def parameters_of(run: KeptRun, given: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """The flow's arguments by name, with `given` over those it had, and whether that changes any; its module has to be imported.

    Raises:
        MissingResult: they cannot be read here, or a secret, which is not kept, is not given.
    """
    if run.parameters is None:
        return dict(given), bool(given)
    secrets = _secrets_of(run)
    if missing := [name for name in secrets if name not in given]:
        options = " ".join(f"-p {name}=…" for name in missing)
        message = f"secret parameters of flow run {run.flow_run_id} are not kept: give them again ({options})"
        raise MissingResult(message)
    try:
        kept: dict[str, Any] = PickleSerializer().loads(run.parameters)
    except Exception as error:
        message = f"the parameters of flow run {run.flow_run_id} cannot be read here: {type(error).__name__}: {error}"
        raise MissingResult(message) from error
    return kept | given, any(name not in secrets for name in given)


def _secrets_of(run: KeptRun) -> tuple[str, ...]:
    """The names of its parameters that have to be given again; runs that were kept before there were any have none."""
    return getattr(run, "secrets", ())


def found_again(run: KeptRun, entrypoint: str = "") -> Flow[Any, Any]:
    """The flow that `run` is of: where it was, or at `entrypoint`.

    Raises:
        LoadError: it is not there, or its code raised while it was imported.
    """
    try:
        return imported_flow(entrypoint or run.entrypoint)
    except LoadError as error:
        if entrypoint:
            raise
        message = f"the flow is not where it was: {error}; name it with --entrypoint (path/to/file.py:function)"
        raise LoadError(message) from error


def entrypoint_of(fn: Any, key: str) -> str:
    """How to find the flow again: by its module where that was imported, else by its file."""
    function = inspect.unwrap(getattr(fn, "__func__", fn))
    module = getattr(function, "__module__", "") or ""
    name = key[len(module) + 1 :]
    spec = getattr(sys.modules.get(module), "__spec__", None)
    if module not in ("", "__main__", *OF_FILES) and spec is not None and spec.name == module:
        return f"{module}:{name}"
    file = getattr(getattr(function, "__code__", None), "co_filename", "")
    return f"{Path(file).absolute()}:{name}" if file else f"{module}:{name}"
