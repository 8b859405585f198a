"""The exceptions of Mintaka.

    MintakaError
    ├── InvalidSchedule      a schedule that cannot be parsed or can never fire
    ├── InvalidResource      a resource the API server let through but that makes no sense
    ├── InvalidNameError     a name that something cannot have
    └── TooLarge             something that passes a size limit

An expected outcome (a failed run, a refused transition) is a value, never one of these.
"""


class MintakaError(Exception):
    """Root of all exceptions that Mintaka raises on purpose; the message says what, which object, what to do."""


class InvalidSchedule(MintakaError):
    """A schedule that cannot be parsed, names an unknown time zone, or can never fire."""


class InvalidResource(MintakaError):
    """A resource whose content contradicts itself in a way admission could not see."""


class InvalidNameError(MintakaError, ValueError):
    """A name that a flow, variable, limit, secret or pause cannot have; the message says which characters may be in it."""


class TooLarge(MintakaError):
    """A document that passes its size limit; the message names the limit and the way around it."""
