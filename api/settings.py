"""Settings of the service `api`."""

from pathlib import Path

from pydantic import Field, SecretStr

from sightline.audit.roles import Role
from sightline.runtime.settings.groups import Group
from sightline.runtime.settings.service import ServiceSettings


class OidcSettings(Group):
    """Sign-in to the API by an OpenID Connect provider, besides passwords of our own."""

    issuer: str | None = Field(
        None,
        description="address of an OpenID Connect provider; without one passwords alone sign in",
    )
    client_id: str = Field("sightline", description="client id at the provider")
    client_secret: SecretStr | None = Field(
        None, description="client secret at the provider, if any"
    )
    scope: str = Field("openid profile", description="scope of the sign-in")
    role_claim: str = Field("groups", description="claim from which the role is derived")
    roles: dict[str, Role] = Field(
        {}, description="role by value of the claim; the first value that a user has counts"
    )


class ApiSettings(ServiceSettings):
    """The HTTP API."""

    host: str = Field("127.0.0.1", description="address that the API listens on")
    port: int = Field(
        8080, ge=0, le=65535, description="port of the API; 0 is any free port, which the log names"
    )
    max_photo_bytes: int = Field(
        16 * 1024 * 1024, ge=1024, description="most bytes of a photo; a larger photo is refused"
    )
    decision_seconds: float = Field(
        5.0, gt=0, description="seconds that a request waits for a decision of the matching stream"
    )
    requests_per_minute: int = Field(
        6000, ge=0, description="most requests of an API key or user in a minute; 0 is no limit"
    )
    failed_sign_ins: int = Field(
        10, ge=1, description="most wrong passwords or keys from an address in 15 minutes"
    )
    session_hours: float = Field(12.0, gt=0, description="hours that a session lasts")
    session_idle_minutes: float = Field(
        60.0, gt=0, description="minutes that a session lasts without a request"
    )
    public_url: str | None = Field(
        None, description="address of the API for browsers, if it is not the one that it listens on"
    )
    trusted_proxies: tuple[str, ...] = Field(
        (), description="addresses of proxies whose X-Forwarded-For and -Proto are trusted"
    )
    tls_cert: Path | None = Field(None, description="PEM file of a certificate chain: serve HTTPS")
    tls_key: Path | None = Field(None, description="PEM file of its key, if it is another file")
    oidc: OidcSettings = Field(default_factory=OidcSettings)
