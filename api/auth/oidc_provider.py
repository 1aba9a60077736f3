"""Sign-in by an OpenID Connect provider: authorisation code with PKCE."""

import logging
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any

import httpx2
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.starlette_client import OAuth
from joserfc.errors import JoseError

from api.settings import OidcSettings
from sightline.audit.roles import Role
from sightline.runtime.errors import InfrastructureError, SightlineError
from sightline.runtime.secrets import reveal
from sightline.runtime.settings.groups import SecretsSettings

log = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 10.0

# Its debug messages have secrets in them.
logging.getLogger("authlib").setLevel(logging.INFO)


@dataclass(frozen=True, slots=True)
class PendingSignIn:
    """The secrets that a browser keeps while its user is with the provider."""

    state: str
    nonce: str
    code_verifier: str

    def packed(self) -> str:
        """Return the value of a cookie."""
        return ".".join(astuple(self))

    @classmethod
    def unpacked(cls, cookie: str) -> "PendingSignIn | None":
        """Return the secrets in a cookie's value; None where it is none of ours."""
        parts = cookie.split(".")
        return cls(*parts) if len(parts) == 3 and all(parts) else None


@dataclass(frozen=True, slots=True)
class ExternalIdentity:
    """A user as the provider knows them."""

    subject: str
    name: str
    role: Role


class OidcProvider:
    """The provider, for one sign-in.

    Its metadata and our secret are fetched anew, so that either may change.
    """

    def __init__(self, settings: OidcSettings, secrets: SecretsSettings) -> None:
        """Make a client. Raises SightlineError where no provider is set up."""
        if settings.issuer is None:
            raise SightlineError("nobody vouches for people here: sign in with a password")
        self._settings = settings
        self._issuer = settings.issuer.rstrip("/")
        secret = settings.client_secret
        self._client: Any = OAuth().register(
            "provider",
            client_id=settings.client_id,
            client_secret=reveal(secret, secrets) if secret else None,
            server_metadata_url=f"{self._issuer}/.well-known/openid-configuration",
            client_kwargs={
                "scope": settings.scope,
                "code_challenge_method": "S256",
                "timeout": _TIMEOUT_SECONDS,
                **({} if secret else {"token_endpoint_auth_method": "none"}),
            },
        )

    async def begin(self, redirect_uri: str) -> tuple[str, PendingSignIn]:
        """Return the address to send the browser to, and the secrets for it to keep.

        Raises:
            InfrastructureError: The provider does not answer.
        """
        try:
            request = await self._client.create_authorization_url(redirect_uri)
        except (httpx2.HTTPError, AuthlibBaseError, RuntimeError, ValueError) as error:
            raise InfrastructureError(f"the OpenID Connect provider: {error}") from error
        pending = PendingSignIn(request["state"], request["nonce"], request["code_verifier"])
        return request["url"], pending

    async def end(
        self, pending: PendingSignIn, code: str, redirect_uri: str
    ) -> ExternalIdentity | None:
        """Return the user that a code is for.

        None where the provider does not vouch for them, or they have no role.

        Raises:
            InfrastructureError: The provider does not answer.
        """
        try:
            token = await self._client.fetch_access_token(
                redirect_uri=redirect_uri, code=code, code_verifier=pending.code_verifier
            )
            claims = await self._client.parse_id_token(token, nonce=pending.nonce)
        except httpx2.HTTPError as error:
            raise InfrastructureError(f"the OpenID Connect provider: {error}") from error
        except (AuthlibBaseError, JoseError, ValueError, KeyError) as error:
            log.warning("api: the provider does not vouch for somebody: %s", type(error).__name__)
            return None
        if not claims or str(claims["iss"]).rstrip("/") != self._issuer:
            return None
        role = role_of(claims, self._settings)
        return ExternalIdentity(claims["sub"], _name(claims), role) if role else None


def role_of(claims: Mapping[str, Any], settings: OidcSettings) -> Role | None:
    """Return the first role of the settings that a user's claim has; None where it has none."""
    claim = claims.get(settings.role_claim)
    values = claim if isinstance(claim, list) else [claim]
    return next((role for value, role in settings.roles.items() if value in values), None)


def _name(claims: Mapping[str, Any]) -> str:
    names = (claims.get(name) for name in ("preferred_username", "email", "name", "sub"))
    return str(next(name for name in names if name))
