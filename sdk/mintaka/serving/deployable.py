"""Deployments of flows: methods of every flow, and `serve`, `aserve`, `deploy`. Heavy modules are imported when these are called."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, Unpack, cast, overload

from mintaka.calling.dual_functions import dual

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path
    from uuid import UUID

    from mintaka.flows import Flow
    from mintaka.serving.flow_places import FlowPlace
    from mintaka.serving.keyword_types import DeploymentWords, DeployWords, ServeWords
    from mintaka.serving.runner_deployments import RunnerDeployment


class EntrypointType(StrEnum):
    """How a deployment names its flow: by a file, or by a module that can be imported where it runs."""

    FILE_PATH = "file_path"
    MODULE_PATH = "module_path"


class Deployable:
    """The methods of flows that make deployments."""

    #: The place where `from_source` found it; None: where its function is defined.
    source_place: FlowPlace | None = None

    async def ato_deployment(self, name: str, **settings: Unpack[DeploymentWords]) -> RunnerDeployment:
        """`to_deployment` for `await`."""
        return self.to_deployment(name, _sync=True, **settings)

    @overload
    def to_deployment(
        self, name: str, *, _sync: Literal[False], **settings: Unpack[DeploymentWords]
    ) -> Coroutine[Any, Any, RunnerDeployment]: ...
    @overload
    def to_deployment(self, name: str, *, _sync: Literal[True] | None = None, **settings: Unpack[DeploymentWords]) -> RunnerDeployment: ...
    @dual(ato_deployment)
    def to_deployment(self, name: str, **settings: Unpack[DeploymentWords]) -> RunnerDeployment:
        """This flow with the settings of a deployment, for `serve` and `deploy`; in async code it is awaited.

        Args:
            name: of the deployment, unique for the flow. The FlowDeployment is called `FLOW-NAME` (docs/serving.md).
            **settings: any of
                `cron`, `interval` (seconds or a timedelta), `rrule`: one, or several in a list; or `schedule`, `schedules`
                (`mintaka.schedules`);
                `paused`: no schedule creates runs;
                `parameters`: of its runs, JSON values;
                `concurrency_limit`: how many of its runs may run at a time;
                `description`, `tags`, `version`: in addition to the flow's, or in place of them;
                `enforce_parameter_schema`: False: parameters are not checked before a run starts;
                `job_variables`: `env`, `working_dir`, and those of Prefect's Kubernetes work pools;
                `entrypoint_type`: how a run finds the flow; "module_path" needs a module that can be imported.

        Raises:
            InvalidSettingError: a setting makes no sense, or no other process can find the flow.
        """
        from mintaka.serving.runner_deployments import runner_deployment  # noqa: PLC0415 - start-up time

        return runner_deployment(cast("Flow[..., Any]", self), name, **settings)

    def serve(self, name: str | None = None, **settings: Unpack[ServeWords]) -> None:
        """Register this flow as a deployment with the local server, and wait until the process is asked to end (Ctrl-C, SIGTERM).

        The server that runs on this machine starts its runs, each in a process of its own, with the interpreter and in the
        working directory of this one; if no server runs, this process is the server meanwhile. At the end the deployment's
        schedules are paused.

        Args:
            name: of the deployment. Default: the flow's.
            **settings: as of `to_deployment`, and
                `limit`: how many runs of all served deployments may run at a time; `global_limit`: as `concurrency_limit`;
                `pause_on_shutdown`: False leaves the schedules as they are at the end;
                `print_starting_message`: False prints nothing.

        Raises:
            InvalidSettingError: a setting makes no sense, or no other process can find the flow.
            DeploymentError: the server refused the deployment, or cannot be started.
        """
        from mintaka.serving.serve_loop import serve_flow  # noqa: PLC0415 - start-up time

        serve_flow(cast("Flow[..., Any]", self), name, **settings)

    async def aserve(self, name: str | None = None, **settings: Unpack[ServeWords]) -> None:
        """`serve` for `await`; cancelling it ends it."""
        from mintaka.serving.serve_loop import aserve_flow  # noqa: PLC0415 - start-up time

        await aserve_flow(cast("Flow[..., Any]", self), name, **settings)

    async def adeploy(self, name: str, **settings: Unpack[DeployWords]) -> UUID:
        """`deploy` for `await`."""
        from mintaka.waiting.drivers import apart  # noqa: PLC0415 - start-up time

        return cast("UUID", await apart(lambda: self.deploy(name, _sync=True, **settings)))

    @overload
    def deploy(self, name: str, *, _sync: Literal[False], **settings: Unpack[DeployWords]) -> Coroutine[Any, Any, UUID]: ...
    @overload
    def deploy(self, name: str, *, _sync: Literal[True] | None = None, **settings: Unpack[DeployWords]) -> UUID: ...
    @dual(adeploy)
    def deploy(self, name: str, **settings: Unpack[DeployWords]) -> UUID:
        """Apply this flow's FlowDeployment where `mintaka apply` would: a local server, or the cluster of kubectl's context.

        Args:
            name: of the deployment.
            **settings: as of `to_deployment`, and
                `image`: the image that contains the flow; without one, the flow's file is stored in the FlowDeployment. No image
                is built or pushed, whatever the values of `build` and `push`.

        Returns:
            The uid of the FlowDeployment.

        Raises:
            InvalidSettingError: a setting makes no sense, or no other process can find the flow.
            DeploymentError: the server or cluster refused the deployment, or cannot be reached.
        """
        from mintaka.serving.deploying import deploy_flow  # noqa: PLC0415 - start-up time

        return deploy_flow(cast("Flow[..., Any]", self), name, **settings)

    @classmethod
    async def afrom_source(cls, source: str | Path, entrypoint: str) -> Flow[..., Any]:
        """`from_source` for `await`."""
        return cls.from_source(source, entrypoint, _sync=True)

    @overload
    @classmethod
    def from_source(cls, source: str | Path, entrypoint: str, *, _sync: Literal[False]) -> Coroutine[Any, Any, Flow[..., Any]]: ...
    @overload
    @classmethod
    def from_source(cls, source: str | Path, entrypoint: str, *, _sync: Literal[True] | None = None) -> Flow[..., Any]: ...
    @classmethod
    @dual(afrom_source)
    def from_source(cls, source: str | Path, entrypoint: str) -> Flow[..., Any]:
        """The flow at `entrypoint` in the folder `source`; served and deployed, it runs in that folder.

        Args:
            source: a folder of this machine.
            entrypoint: `path/to/file.py:flow` below it, or `module.flow`.

        Raises:
            InvalidSettingError: `source` is not a folder: code is not downloaded.
            LoadError: there is no such flow.
        """
        from mintaka.serving.flow_sources import flow_from_source  # noqa: PLC0415 - start-up time

        return flow_from_source(source, entrypoint)


def serve(
    *deployments: RunnerDeployment,
    pause_on_shutdown: bool = True,
    print_starting_message: bool = True,
    limit: int | None = None,
    **others: Any,
) -> None:
    """Register deployments with the local server, and wait until the process is asked to end (Ctrl-C, SIGTERM); see `Flow.serve`.

    Args:
        *deployments: what `flow.to_deployment` returns.
        pause_on_shutdown: False leaves the schedules as they are at the end.
        print_starting_message: False prints nothing.
        limit: how many runs of these deployments may run at a time; None: as many as the server starts.
        **others: settings of Prefect's runner, which have no effect here.

    Raises:
        MissingContextError: in async code, where `aserve` is awaited; in a flow run.
        DeploymentError: the server refused a deployment, or cannot be started.
    """
    from mintaka.serving.serve_loop import serve_deployments  # noqa: PLC0415 - start-up time

    serve_deployments(deployments, limit, pause_on_shutdown=pause_on_shutdown, print_starting_message=print_starting_message, others=others)


async def aserve(
    *deployments: RunnerDeployment,
    pause_on_shutdown: bool = True,
    print_starting_message: bool = True,
    limit: int | None = None,
    **others: Any,
) -> None:
    """`serve` for `await`. Cancelling it ends it, once the deployments are paused."""
    from mintaka.serving.serve_loop import aserve_deployments  # noqa: PLC0415 - start-up time

    await aserve_deployments(
        deployments, limit, pause_on_shutdown=pause_on_shutdown, print_starting_message=print_starting_message, others=others
    )


def deploy(
    *deployments: RunnerDeployment,
    work_pool_name: str | None = None,
    image: Any = None,
    build: bool = True,
    push: bool = True,
    print_next_steps_message: bool = True,
    ignore_warnings: bool = False,
) -> list[UUID]:
    """Apply the FlowDeployments of several flows; see `Flow.deploy`.

    Args:
        *deployments: what `flow.to_deployment` returns.
        work_pool_name: has no effect: runs are started where the deployment is applied.
        image: the image that contains the flows; an object with a `name` and a `tag` too.
        build: has no effect: no image is built.
        push: has no effect: no image is pushed.
        print_next_steps_message: False prints nothing.
        ignore_warnings: True: no warnings about arguments without an effect.

    Returns:
        The uids of the FlowDeployments, in order.

    Raises:
        InvalidSettingError: there is no deployment, or one makes no FlowDeployment.
        DeploymentError: the server or cluster refused them, or cannot be reached.
    """
    from mintaka.serving.deploying import Target  # noqa: PLC0415 - start-up time

    return Target(work_pool_name, image, build=build, push=push, ignore_warnings=ignore_warnings).apply(
        deployments, quiet=not print_next_steps_message
    )
