"""What a task or flow says of its results, and what holds where it says nothing.

A task takes what its flow says, a subflow what the flow around it says, a flow what the environment says:

- `MINTAKA_RESULT_STORAGE`: a URL; else the folder `results` beside the history (`mintaka.recording.homes`)
- `MINTAKA_RESULT_SERIALIZER`: `pickle` where it is not set
- `MINTAKA_RESULTS_PERSIST_BY_DEFAULT`: `true` or `false`; where it is not set, deployed runs persist if they have a storage
- `MINTAKA_TASKS_REFRESH_CACHE`: `true` lets no cached result stand in for a run
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from mintaka.exceptions import ConfigurationError
from mintaka.recording.homes import home

if TYPE_CHECKING:
    from mintaka.context import Launch
    from mintaka.persisting.result_storage import ResultStorage
    from mintaka.results import ResultStore
    from mintaka.serializers import Serializer

    type StorageLike = ResultStorage | str | os.PathLike[str]
    type SerializerLike = Serializer | str


@dataclass(frozen=True, slots=True)
class ResultSettings:
    """The words of one definition; None: what is around it decides."""

    persist: bool | None = None
    storage: StorageLike | None = None
    serializer: SerializerLike | None = None
    in_memory: bool = True

    @property
    def asked(self) -> bool:
        """True where the definition wants its results persisted: it says so, or says where or how."""
        return self.persist if self.persist is not None else (self.storage is not None or self.serializer is not None)

    @property
    def refused(self) -> bool:
        """True where it says that they are not to be persisted."""
        return self.persist is False


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What holds in a flow run: whether results are persisted, whether somebody `asked` for it in the code, where and how."""

    persist: bool
    asked: bool
    storage: StorageLike | None
    serializer: SerializerLike | None

    def within(self, settings: ResultSettings) -> Surroundings:
        """What holds for a definition in these surroundings."""
        if settings.persist is None and settings.storage is None and settings.serializer is None:
            return self
        return Surroundings(
            settings.asked or (self.persist and not settings.refused),
            settings.asked or (self.asked and not settings.refused),
            self.storage if settings.storage is None else settings.storage,
            self.serializer if settings.serializer is None else settings.serializer,
        )

    def store(self) -> ResultStore:
        """Where results go.

        Raises:
            ResultError: the storage or serializer makes no sense.
        """
        from mintaka.results import ResultStore  # noqa: PLC0415 - start-up time

        storage = self.storage or os.environ.get("MINTAKA_RESULT_STORAGE") or _own_folder()
        return ResultStore(storage, self.serializer or os.environ.get("MINTAKA_RESULT_SERIALIZER") or "pickle")


def persisted_in(storage: ResultStorage) -> Surroundings:
    """What holds for a run whose results are in `storage` already."""
    return Surroundings(persist=True, asked=False, storage=storage, serializer=None)


def surroundings_of(launch: Launch | None) -> Surroundings:
    """What the environment says, for the outermost flow run or a task on its own (None).

    Raises:
        ConfigurationError: a variable is neither true nor false.
    """
    if launch is not None and launch.results is not None:
        return launch.results
    by_default = flag("MINTAKA_RESULTS_PERSIST_BY_DEFAULT")
    if by_default is None:
        by_default = bool(launch and launch.deployment and os.environ.get("MINTAKA_RESULT_STORAGE"))
    return ON if by_default else OFF


ON = Surroundings(persist=True, asked=False, storage=None, serializer=None)
OFF = Surroundings(persist=False, asked=False, storage=None, serializer=None)


def flag(name: str) -> bool | None:
    """What a variable says; None where it is not set.

    Raises:
        ConfigurationError: it is neither true nor false.
    """
    given = os.environ.get(name)
    if not given:
        return None
    word = given.lower()
    if word in ("true", "1", "yes", "on"):
        return True
    if word in ("false", "0", "no", "off"):
        return False
    message = f"{name} should be true or false, not {given!r}"
    raise ConfigurationError(message)


def _own_folder() -> str:
    """The folder for those who named none."""
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        _warn_of_losing_results()
    return str(home().folder / "results")


@lru_cache(maxsize=1)
def _warn_of_losing_results() -> None:
    logging.getLogger("mintaka").warning(
        "results are persisted in a folder of this pod and go with it: set MINTAKA_RESULT_STORAGE, or result_storage=…, to a URL"
    )
