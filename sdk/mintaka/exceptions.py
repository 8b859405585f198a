"""The exceptions of the SDK; those that Prefect has too bear its names.

    MintakaError
    ├── RunFailure             a run that did not complete, where no exception of its own tells more
    │   ├── FailedRun
    │   ├── CrashedRun
    │   │   ├── WorkerDied     the process that ran a task's body died
    │   │   └── ClusterLost    the cluster or executor that ran it is not there any more
    │   ├── CancelledRun
    │   └── UpstreamFailed     a task that never ran because one it depends on did not complete
    ├── UnfinishedRun          a result asked of a run that is not over
    │   └── PausedRun          … because it waits to be resumed
    ├── FlowPauseTimeout       (also a TimeoutError) a pause that nobody ended in time
    ├── NotPausedError         a run asked to resume that waits for nothing
    ├── NotAwaited             (also a RuntimeError) a call in async code that its run did not await
    ├── MissingContextError    (also a RuntimeError) something that only works inside a flow or task run
    ├── BlockedEventLoop       (also a RuntimeError) a blocking wait, in an event loop, for what runs in that loop
    ├── ReservedArgumentError  (also a ValueError) a parameter named like a word of ours
    ├── InvalidNameError       (also a ValueError) a name that something cannot have
    ├── RunRequestError        a run of a deployment that could not be requested
    │   ├── RunRequestAway     … because the API does not answer now
    │   └── DeploymentNotFound (also a LookupError) there is no such deployment
    ├── SharingError           variables or limits could not be read or written
    │   ├── SharingAway        … because the API or database does not answer now
    │   └── ConcurrencySlotAcquisitionError  slots of a limit that cannot be had, or are lost
    │       └── AcquireConcurrencySlotTimeoutError  (also a TimeoutError) … not in time
    ├── SecretNotFound         (also a ValueError) a secret that is nowhere
    ├── ParameterError         arguments that do not fit a flow's signature
    │   ├── ParameterBindError
    │   └── ParameterTypeError
    ├── MappingError           arguments that cannot be mapped over
    │   ├── MappingLengthMismatch
    │   └── MappingMissingIterable
    ├── ResultError            a result that is kept somewhere, or should be
    │   ├── MissingResult      there is none
    │   ├── CorruptResult      it is not what was written: truncated, or changed
    │   ├── SerializationError it cannot be made bytes, or the bytes cannot be read
    │   └── StorageError       the place cannot be reached, read or written
    ├── ConfigurationError     settings that contradict each other
    ├── DeploymentError        a deployment that could not be registered or applied
    ├── TimedOut               (also a TimeoutError) a body that ran longer than its `timeout_seconds`
    └── LoadError              a flow that could not be loaded
        ├── EntrypointNotFound
        └── SourceUnreadable

    Interruption               (a BaseException)
    ├── Terminated             the process was asked to end (SIGTERM)
    ├── Fenced                 a newer attempt of the same flow run has taken over
    ├── Halted                 this run was cancelled, or what it is part of has ended
    └── Expired                a deadline passed; whoever set it turns it into TimedOut

An interruption is a BaseException so that `except Exception` in a flow does not swallow it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_core.errors import InvalidNameError as InvalidNameError  # noqa: PLC0414 - exported
from mintaka_core.errors import MintakaError

if TYPE_CHECKING:
    from datetime import datetime


def message_of(error: object) -> str:
    """What an exception, or anything else, says of itself; a word in its place where it cannot, because its `__str__` raises."""
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001 - exceptions are the user's, and this is of all moments the one not to raise another
        return f"<its __str__ raised {type(broken).__name__}>"


class RunFailure(MintakaError):
    """A run ended other than COMPLETED."""


class FailedRun(RunFailure):
    """A run ended FAILED without an exception, by returning a failed state."""


class CrashedRun(RunFailure):
    """A run ended CRASHED: something that is not an `Exception` ended it."""


class WorkerDied(CrashedRun):
    """The process that ran a task's body died: killed, out of memory, or by `os._exit`."""


class ClusterLost(CrashedRun):
    """The cluster or executor that a task's body was handed to is not there any more, or never was."""


class CancelledRun(RunFailure):
    """A run ended CANCELLED."""


class UpstreamFailed(RunFailure):
    """A task did not run because a run it depends on did not complete; `__cause__` is that run's own exception."""


class UnfinishedRun(MintakaError):
    """A result was asked of a run that is not over."""


class PausedRun(UnfinishedRun):
    """A result was asked of a run that waits to be resumed."""


class FlowPauseTimeout(MintakaError, TimeoutError):
    """A flow paused, and nobody resumed it in time."""


class NotPausedError(MintakaError):
    """A flow run was asked to resume that does not wait for it, as far as this process knows."""


class MissingContextError(MintakaError, RuntimeError):
    """Used outside of a flow or task run, where it has no meaning."""


class NotAwaited(MintakaError, RuntimeError):
    """The code of a run called what has to be awaited in async code, and did not await it, or ended before it did."""


class BlockedEventLoop(MintakaError, RuntimeError):
    """A blocking wait, in an event loop, for a task run that goes on in the same loop: it would never end."""


class ReservedArgumentError(MintakaError, ValueError):
    """A function has a parameter whose name calls of flows and tasks use themselves."""


class RunRequestError(MintakaError):
    """A run of a deployment could not be requested, or its end could not be awaited; the message says why."""


class RunRequestAway(RunRequestError):
    """The API does not answer, or is overloaded."""


class DeploymentNotFound(RunRequestError, LookupError):
    """There is no flow deployment of that name."""


class SharingError(MintakaError):
    """Variables or concurrency limits could not be read or written; the message says where and what to do."""


class SharingAway(SharingError):
    """The API or database that has them does not answer now; it may later."""


class ConcurrencySlotAcquisitionError(SharingError):
    """Slots of a limit that do not exist, that never will be enough, or that were lost while they were held."""


class AcquireConcurrencySlotTimeoutError(ConcurrencySlotAcquisitionError, TimeoutError):
    """Slots of a limit did not come free within `timeout_seconds`."""


class SecretNotFound(MintakaError, ValueError):
    """There is no such secret, or it cannot be read; the message says where it was looked for, never what was found."""


class ParameterError(MintakaError):
    """Arguments that do not fit the flow's signature."""


class ParameterBindError(ParameterError):
    """An argument is missing, given twice, or unknown."""


class ParameterTypeError(ParameterError):
    """An argument does not fit its annotation; the message has one clause per parameter."""


class MappingError(MintakaError):
    """The arguments of `.map()` cannot be mapped over."""


class MappingLengthMismatch(MappingError):
    """Two arguments of `.map()` have different lengths."""


class MappingMissingIterable(MappingError):
    """No argument of `.map()` is iterable."""


class ResultError(MintakaError):
    """A result cannot be kept, or one that is kept cannot be had."""


class MissingResult(ResultError):
    """There is no result under that key, or the run kept none."""


class CorruptResult(ResultError):
    """What is stored is not what was written: it is cut short, or its checksum does not fit."""


class SerializationError(ResultError):
    """A value cannot be made bytes by its serializer, or cannot be read back."""


class StorageError(ResultError):
    """The storage of results cannot be reached, read or written."""


class ConfigurationError(MintakaError):
    """Settings that contradict each other, or a word that is none of those known."""


class InvalidSettingError(ConfigurationError, ValueError):
    """A setting of a task or flow is of the wrong kind, or makes no sense."""


class DeploymentError(MintakaError):
    """A deployment could not be registered or applied; the message says where and why."""


class TimedOut(MintakaError, TimeoutError):
    """A task or flow ran longer than its `timeout_seconds`, which are `seconds`."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"it ran longer than timeout_seconds={self.seconds:g}"


class LoadError(MintakaError):
    """A flow could not be loaded from its entrypoint."""


class EntrypointNotFound(LoadError):
    """The module, file or function an entrypoint names does not exist, or is no flow."""


class SourceUnreadable(LoadError):
    """The place where the code should be cannot be read, though it may be later."""


class Interruption(BaseException):
    """The process has to stop running the flow, now."""


class Terminated(Interruption):
    """The process was asked to end (SIGTERM): the run is being cancelled, or its pod is evicted."""


class Fenced(Interruption):
    """A newer attempt of this flow run has taken over; this one has nothing more to say."""


class Halted(Interruption):
    """This run was cancelled while it ran, or the flow run it is part of has ended without it."""


class Suspension(Interruption, SystemExit):
    """The flow run is to wait without a process until somebody resumes it, at the latest at `resume_by` (None: for ever).

    `key` says which of its suspensions it is. A script that lets it pass ends with exit code 5, without a traceback.
    """

    def __init__(self, key: str, resume_by: datetime | None = None) -> None:
        super().__init__(5)
        self.key = key
        self.resume_by = resume_by

    def __str__(self) -> str:
        return "waits to be resumed" + (f", until {self.resume_by:%Y-%m-%dT%H:%M:%SZ} at the latest" if self.resume_by else "")


class Expired(Interruption):
    """A `timeout_seconds` passed; ends what runs inside, and becomes `TimedOut` where the timeout was set."""


#: The names that Prefect has for them.
PrefectException = MintakaError
TerminationSignal = Terminated
Abort = Halted
Pause = Suspension
