"""Who works at the command line."""

from getpass import getuser


def caller() -> str:
    """What is written down with a decision that a person makes here."""
    try:
        return f"command line: {getuser()}"
    except (KeyError, OSError):  # a container's user may have no name
        return "command line"
