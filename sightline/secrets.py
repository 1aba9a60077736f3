"""Secrets, wherever they are kept: as they are given, or by the name of the place that has them."""

from pydantic import SecretStr


def reveal(secret: SecretStr) -> str:
    """The secret itself."""
    return secret.get_secret_value()
