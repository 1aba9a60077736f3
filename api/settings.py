"""Settings of the service `api`."""

from pathlib import Path

from pydantic import Field, SecretStr

from sightline.audit.roles import Role
from sightline.runtime.settings.groups import Group
from sightline.runtime.settings.service import ServiceSettings


class OidcSettings(Group):
    """Who vouches for people that sign in to the API, besides passwords of our own."""

    issuer: str | None = Field(
        None, description="the address of an OpenID Connect provider; without one there is none"
    )
    client_id: str = Field("sightline", description="what the provider calls us")
    client_secret: SecretStr | None = Field(None, description="what we prove it with, if anything")
    scope: str = Field("openid profile", description="what is asked for")
    role_claim: str = Field("groups", description="the claim that roles follow from")
    roles: dict[str, Role] = Field(
        {}, description="which value of it is which role; the first one that somebody has counts"
    )


class ApiSettings(ServiceSettings):
    """How the API is served."""

    host: str = Field("127.0.0.1", description="where the API listens")
    port: int = Field(8080, ge=0, le=65535, description="0 is any free port, said in the log")
    max_photo_bytes: int = Field(
        16 * 1024 * 1024, ge=1024, description="of one photo; a larger one is refused"
    )
    decision_seconds: float = Field(
        5.0, gt=0, description="how long a request waits for the matching stream"
    )
    requests_per_minute: int = Field(6000, ge=0, description="of one key or person; 0 is no limit")
    failed_sign_ins: int = Field(
        10, ge=1, description="wrong passwords, or keys, of one address in 15 minutes"
    )
    session_hours: float = Field(12.0, gt=0, description="how long a sign-in lasts")
    session_idle_minutes: float = Field(
        60.0, gt=0, description="and how long it lasts without a request"
    )
    public_url: str | None = Field(
        None, description="where browsers find the API, if not where it listens"
    )
    trusted_proxies: tuple[str, ...] = Field(
        (), description="addresses of proxies whose X-Forwarded-For and -Proto are believed"
    )
    tls_cert: Path | None = Field(None, description="a certificate chain in PEM: serve HTTPS")
    tls_key: Path | None = Field(None, description="its key in PEM, if not in the same file")
    oidc: OidcSettings = Field(default_factory=OidcSettings)
