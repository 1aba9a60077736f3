"""The failures that callers tell apart."""


def first_line(error: BaseException) -> str:
    """What an error says, without the hints that libraries add in further lines; else its kind."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


class SightlineError(Exception):
    """Something a person can act on: the message is one line and says what to do."""


class InvalidRecord(Exception):  # noqa: N818 - a property of the record, not of the program
    """A record that can never be processed: it goes to the dead letters.

    `reason` is a short code out of a bounded set and becomes a metric label; `detail` is free.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class InfrastructureError(Exception):
    """The broker, the database or the disk failed: the worker stops and never skips."""


class UnreachableError(SightlineError, InfrastructureError):
    """The database does not answer: a line for a person, and worth another try for a program."""


class NotFoundError(SightlineError):
    """There is nothing with the id or the name that was given."""


class ConflictError(SightlineError):
    """What was asked for contradicts what is there: a name twice, a person already merged."""


class PhotoError(SightlineError):
    """A photo that cannot be used; `reason` is a code, Rekognition's word where it has one."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
