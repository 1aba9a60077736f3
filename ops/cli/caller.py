"""Who works at the command line."""

from sightline.audit.actor import user_name


def caller() -> str:
    """What is written down with a decision that a person makes here."""
    user = user_name()
    return f"command line: {user}" if user else "command line"
