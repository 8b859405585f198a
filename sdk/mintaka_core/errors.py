"""The exceptions of Mintaka.

    MintakaError
    ├── InvalidSchedule      a schedule that cannot be parsed or can never fire
    │   └── ScheduleEnded    a schedule whose last time has passed
    ├── InvalidResource      a resource that the API server accepted but that is not valid
    ├── InvalidNameError     a name that is not valid for its object
    └── TooLarge             something that exceeds a size limit

An expected outcome (a failed run, a refused transition) is a value, never one of these.
"""


class MintakaError(Exception):
    """Root of all exceptions that Mintaka raises on purpose; the message says what, which object, what to do."""


class InvalidSchedule(MintakaError):
    """A schedule that cannot be parsed, names an unknown time zone, or can never fire."""


class ScheduleEnded(InvalidSchedule):
    """A schedule with an end whose last time has passed; nothing is wrong with it."""


class InvalidResource(MintakaError):
    """A resource whose content contradicts itself in a way that admission cannot detect."""


class InvalidNameError(MintakaError, ValueError):
    """A name that a flow, variable, limit, secret or pause cannot have; the message lists the allowed characters."""


class TooLarge(MintakaError):
    """A document that exceeds its size limit; the message names the limit and how to stay below it."""
