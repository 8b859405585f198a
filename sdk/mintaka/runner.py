"""The entry point of a flow's pod: `python -m mintaka.runner`, everything else in the environment.

Loads the flow, runs it, delivers its history, leaves a report in the termination message file and says the same with its
exit code (docs/exit-codes.md). Whatever goes wrong before, in or after the flow ends in a report; only a process that is
killed leaves none, and then the operator reads the pod's status.
"""

from __future__ import annotations

import faulthandler
import io
import logging
import os
import sys
import threading
from dataclasses import replace
from time import gmtime, monotonic
from typing import TYPE_CHECKING, Any

from mintaka.container_starts import claim_start
from mintaka.context import LAUNCH, Launch
from mintaka.engine.child_processes import CHILD_PROCESSES
from mintaka.engine.tracebacks import log_information, tail, with_place
from mintaka.entrypoints import load_flow
from mintaka.environment import Environment, InvalidEnvironment
from mintaka.exceptions import EntrypointNotFound, MissingResult, ParameterError, ResultError, SourceUnreadable, Suspension
from mintaka.logger_tree import hear, own_logger
from mintaka.logging import HistoryHandler
from mintaka.recording.recorder import Delivery, NullRecorder
from mintaka.states import Crashed, Failed, State
from mintaka.termination import FENCED, MARGIN_SECONDS, Termination
from mintaka_core.console import CONSOLE_FORMAT, CONSOLE_TIME
from mintaka_core.reports import ExitCode, Report
from mintaka_core.states import COMPLETED, RUNNING, StateType
from mintaka_core.wire_versions import why_not_of_this_operator

if TYPE_CHECKING:
    from mintaka.flows import Flow
    from mintaka.recording.delivery import HistoryRecorder
    from mintaka.recording.leftovers_of_pods import LeftoversOfPods
    from mintaka_core.stop_reasons import StopReason

logger = logging.getLogger("mintaka.runner")

_TAIL_FRAMES = 3
#: How long bringing undelivered history to the storage of results may take.
_UPLOAD_SECONDS = 20.0


class Attempt:
    """One attempt of a flow run in this process."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.launch = Launch(
            flow_run_id=environment.flow_run_uid,
            name=environment.flow_run,
            namespace=environment.namespace,
            deployment=environment.deployment,
            attempt=environment.attempt,
            scheduled_time=environment.scheduled_time,
            tags=environment.tags,
            resume_from=environment.resume_from,
            resumed=frozenset(environment.resumed),
        )
        self._recorder: HistoryRecorder | None = None
        self._others: LeftoversOfPods | None = None
        ask = self._stop_reason_in_api if environment.api_url and environment.flow_run_uid else None
        self.termination = Termination(ask, environment.grace_seconds, self._foretell, self._hurry, environment.timeout_seconds)
        self.launch.judge = self.termination.judge
        self.retriable = True
        self._suspension: Suspension | None = None
        self._writing = threading.Lock()
        self._written = False

    def run(self) -> ExitCode:
        """Run the flow from loading to report; returns the exit code."""
        if not claim_start(self.environment.attempt_dir, self.environment.attempt):
            return self._started_again()
        if self.environment.wire_version and (problem := why_not_of_this_operator(self.environment.wire_version)):
            logger.warning("%s", problem)
        self._start_history()
        try:
            self.termination.install()
            state = self._flow_state()
            self.termination.finish()
        except BaseException as error:  # noqa: BLE001 - SIGTERM, SystemExit, KeyboardInterrupt: not the flow's own end
            self.termination.finish()
            state = self._interrupted(error)
            self._suspension = error if isinstance(error, Suspension) and state.type == StateType.PAUSED else None
        return self._report(state, self._deliver())

    def _started_again(self) -> ExitCode:
        """The end of an attempt whose container is started a second time; what the first start left undelivered is lost."""
        message = "the container was started again in its pod (was the node reset?): what the first start did is not repeated here"
        state = Crashed(reason="ContainerRestarted", message=message)
        return self._report(state, Delivery(complete=False))

    def _flow_state(self) -> State:
        """The state the flow ends in, or the one that stands for why it could not be run."""
        environment = self.environment
        try:
            values = environment.parsed_parameters()
            flow = load_flow(environment.entrypoint, inline=environment.source_inline, folder=environment.source_dir)
        except InvalidEnvironment as error:
            return self._final("InvalidParameters", error)
        except EntrypointNotFound as error:
            return self._final("EntrypointNotFound", error)
        except SourceUnreadable as error:
            return Crashed(reason="SourceUnreadable", message=str(error))
        except Exception as error:  # noqa: BLE001 - the user's module may raise anything while it is imported
            return self._import_failed(error)
        if (refusal := self._cannot_resume(flow)) is not None:
            return refusal
        logger.info("flow run %s: flow %s, attempt %d", environment.flow_run or "without a name", flow.name, environment.attempt)
        try:
            return self._ended(self._called(flow, values))
        except ParameterError as error:
            return self._final("InvalidParameters", error)

    def _cannot_resume(self, flow: Flow[Any, Any]) -> State | None:
        """Why nothing can be taken over from the run that this one is to resume; None where it can, or there is none."""
        if not self.environment.resume_from:
            return None
        from mintaka.persisting.kept_runs import kept_run  # noqa: PLC0415 - start-up time
        from mintaka.persisting.result_settings import surroundings_of  # noqa: PLC0415 - start-up time

        try:
            kept_run(self.environment.resume_from, surroundings_of(self.launch).within(flow.result_settings).store().storage)
        except MissingResult as error:
            return self._final("InvalidResume", error)
        except ResultError as error:
            return Crashed(reason="ResultStorageAway", message=str(error))
        return None

    def _final(self, reason: str, error: Exception) -> State:
        """FAILED, and trying again would not help."""
        self.retriable = False
        return Failed(reason=reason, message=str(error))

    def _called(self, flow: Flow[Any, Any], values: dict[str, Any]) -> State:
        token = LAUNCH.set(self.launch)
        try:
            if not flow.is_async:
                state: State = flow.run_with(values)
                return state
            return self._called_async(flow, values)
        finally:
            LAUNCH.reset(token)

    def _called_async(self, flow: Flow[Any, Any], values: dict[str, Any]) -> State:
        import asyncio  # noqa: PLC0415 - start-up time

        async def main() -> State:
            task = asyncio.current_task()
            if task is not None:
                self.termination.attach(asyncio.get_running_loop(), task)
            state: State = await flow.run_with(values)
            return state

        return asyncio.run(main())

    def _ended(self, state: State) -> State:
        """The flow's own end, told for people who see only the report."""
        run = self.launch.run
        if isinstance(state.error, ParameterError) and run is not None and not any(entry.type == RUNNING for entry in run.history):
            return self._final("InvalidParameters", state.error)
        if state.error is None or state.type == COMPLETED:
            return state
        return State(state.type, state.name, state.reason, with_place(state.message, state.error), error=state.error)

    def _import_failed(self, error: Exception) -> State:
        logger.error("the flow's code raised while it was imported", exc_info=log_information(error))
        return Failed(reason=type(error).__name__, message=f"importing {self.environment.entrypoint} failed: {tail(error, _TAIL_FRAMES)}")

    def _interrupted(self, error: BaseException) -> State:
        """The state of a flow run that something other than an exception ended."""
        run = self.launch.run
        if run is not None and run.is_over:
            last = run.state
            return State(last.type, last.name, last.reason, last.message)
        return self.termination.judge(error).flow

    # -- history ------------------------------------------------------------------------------------------------------

    def _start_history(self) -> None:
        environment = self.environment
        if not (environment.api_url and environment.flow_run_uid):
            self.launch.recorder = NullRecorder()
            return
        from mintaka.recording.delivery import HistoryRecorder  # noqa: PLC0415 - start-up time
        from mintaka.recording.delivery_settings import SPOOL_LIMIT_BYTES, DeliverySettings  # noqa: PLC0415 - start-up time
        from mintaka.recording.sinks import ApiSink  # noqa: PLC0415 - start-up time

        settings = DeliverySettings(
            spool_folder=environment.spool_dir, spool_limit_bytes=environment.spool_limit_bytes or SPOOL_LIMIT_BYTES
        )
        if environment.spool_dir is not None:  # of the user's own: it may outlive a pod
            from mintaka.recording.historian import historian  # noqa: PLC0415 - start-up time
            from mintaka.recording.leftovers import Leftovers  # noqa: PLC0415 - start-up time

            historian().add(Leftovers(environment.spool_dir, ApiSink(environment.api_url)))
        self._recorder = HistoryRecorder(ApiSink(environment.api_url), self.launch, settings, self.termination.fence)
        self.launch.recorder = self._recorder
        hear(HistoryHandler(self._recorder), None)
        if storage := os.environ.get("MINTAKA_RESULT_STORAGE", ""):
            from mintaka.recording.leftovers_of_pods import LeftoversOfPods  # noqa: PLC0415 - start-up time

            self._others = LeftoversOfPods(storage, ApiSink(environment.api_url))

    def _deliver(self) -> Delivery:
        """Wait until the history is delivered, at most the time that is left."""
        deadline = monotonic() + self.environment.history_grace_seconds
        if self.termination.deadline is not None:
            deadline = min(deadline, self.termination.deadline)
        delivery = self.launch.recorder.close(deadline)
        if self._others is not None and delivery.complete and self.termination.deadline is None:
            self._others.leave()
        storage = os.environ.get("MINTAKA_RESULT_STORAGE", "")
        if not (delivery.spool and storage):
            return delivery
        from mintaka.recording.spool_upload import uploaded  # noqa: PLC0415 - start-up time

        # Of the grace after SIGTERM, `deadline` leaves a margin: half of it may go into this.
        end = monotonic() + _UPLOAD_SECONDS if self.termination.deadline is None else deadline + MARGIN_SECONDS / 2
        return replace(delivery, spool=uploaded(delivery.spool, storage, end))

    def _hurry(self, deadline: float) -> None:
        if self._recorder is not None:
            self._recorder.hurry(deadline)

    def _stop_reason_in_api(self) -> StopReason | None:
        environment = self.environment
        from mintaka.recording.sending import Connection  # noqa: PLC0415 - start-up time

        connection = Connection(environment.api_url, timeout_seconds=2.0)
        try:
            return connection.stop_reason(environment.flow_run_uid, environment.attempt)
        finally:
            connection.close()

    # -- the report ---------------------------------------------------------------------------------------------------

    def _foretell(self) -> None:
        """A report in case the grace period ends before the flow does."""
        state = Crashed(reason="Terminated", message="it did not end within the grace period")
        self._write(Report(self.environment.attempt, state, history_complete=False), final=False)

    def _report(self, state: State, delivery: Delivery) -> ExitCode:
        if self._recorder is not None and self._recorder.fenced:
            state = FENCED
        if state.type == StateType.PAUSED and self._suspension is None:
            # Suspended by its owner: which state that is, the operator says. Of its own accord it did not end so.
            state = Crashed(reason="Terminated", message=state.message)
        if not delivery.complete and delivery.reason is None:  # a special reason has been logged when it was found
            logger.error("history incomplete: %d lost, the rest in %s", delivery.lost, delivery.spool or "nothing")
        report = Report(self.environment.attempt, state, self.retriable, delivery.complete, delivery.spool, history_reason=delivery.reason)
        if self._suspension is not None and state.type == StateType.PAUSED:
            report = replace(report, suspension=self._suspension.key, resume_by=self._suspension.resume_by)
        self._write(report, final=True)
        logger.info("flow run ended %s%s", state.name, f": {state.reason}: {state.message}" if state.reason else "")
        return exit_code(state)

    def _write(self, report: Report, *, final: bool) -> None:
        """Write a report, unless the final one is written."""
        path = self.environment.termination_path
        try:
            with self._writing:
                if not self._written:
                    path.write_text(report.encode(), encoding="utf-8")
                self._written = self._written or final
        except OSError as error:
            logger.error("the report cannot be written to %s: %s; it is %s", path, error, report.encode())  # noqa: TRY400 - the traceback says no more


def exit_code(state: State) -> ExitCode:
    """The exit code that says the same as `state`."""
    if state.type == StateType.CRASHED:
        return {"Terminated": ExitCode.TERMINATED, "Fenced": ExitCode.FENCED}.get(state.reason, ExitCode.CRASHED)
    codes = {StateType.COMPLETED: ExitCode.COMPLETED, StateType.CANCELLED: ExitCode.CANCELLED, StateType.PAUSED: ExitCode.SUSPENDED}
    return codes.get(state.type, ExitCode.FAILED)


def _print_at_once() -> None:
    """Let the container's log have what is printed even if the process dies of it, and where it was then."""
    faulthandler.enable(all_threads=False)  # of many threads the one that matters would be cut off the termination message
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)


def _configure_logging(level: str) -> None:
    formatter = logging.Formatter(CONSOLE_FORMAT, CONSOLE_TIME)
    formatter.converter = gmtime
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.addHandler(handler)
    number = logging.getLevelNamesMapping().get(level, logging.INFO)
    root.setLevel(number)
    if number > logging.INFO:  # runs would log from INFO on
        own_logger("mintaka").setLevel(number)


def main() -> None:
    """Run the flow that the environment describes, then end the process."""
    try:
        environment = Environment.read(os.environ)
    except InvalidEnvironment as error:
        sys.stderr.write(f"mintaka.runner: {error}\n")
        sys.exit(ExitCode.USAGE)
    _print_at_once()
    _configure_logging(environment.log_level)
    attempt = Attempt(environment)
    if os.getpid() != 1:  # a container ends with its first process
        CHILD_PROCESSES.dedicate()
    code = attempt.run()
    if attempt.termination.deadline is not None:
        # Tasks in threads cannot be interrupted, and nobody waits for them: what they did not finish is on record.
        CHILD_PROCESSES.end_all()
        logging.shutdown()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
