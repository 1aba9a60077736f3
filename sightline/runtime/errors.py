"""Exceptions that callers distinguish."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class without a message."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


class SightlineError(Exception):
    """A failure that a person can act on: the message is one line and says what to do."""


class PoisonRecord(Exception):  # noqa: N818 - a property of the record, not of the program
    """A poison record: it can never be processed and goes to the dead letters.

    `reason` is a code out of a bounded set and becomes a metric label; `detail` is free text.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class InfrastructureError(Exception):
    """A failure of the broker, the database or the disk: the worker stops and never skips."""


class UnreachableError(SightlineError, InfrastructureError):
    """A server that does not answer: a line for a person, and worth a retry for a program."""


class NotFoundError(SightlineError):
    """An id or a name that does not exist."""


class ConflictError(SightlineError):
    """A request that contradicts the present state: a name twice, a person merged before."""


class PhotoError(SightlineError):
    """A photo that cannot be used; `reason` is a code, Rekognition's where it has one."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
