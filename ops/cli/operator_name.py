"""Name of the operator at the command line."""

from sightline.audit.actor import user_name


def operator_name() -> str:
    """Return the name that is stored with an operator's decisions, such as corrections."""
    user = user_name()
    return f"command line: {user}" if user else "command line"
