"""A small OpenID Connect provider over HTTP: authlib's own server side, its users signed in."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import UserInfo
from authlib.oidc.core.grants import OpenIDCode
from flask import Flask, Response, jsonify
from joserfc.jwk import KeySet, RSAKey
from werkzeug.serving import make_server

CLIENT_ID = "sightline-test"
CLIENT_SECRET = "a secret of the client"


@dataclass
class Provider:
    """What a test looks at and changes."""

    issuer: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    """Of the person whose browser comes."""
    redirect_uris: list[str] = field(default_factory=list)
    """Those of the client that is registered."""
    keys: KeySet = field(default_factory=lambda: KeySet([RSAKey.generate_key(2048, {"kid": "1"})]))
    signs_with: RSAKey | None = None
    """Another key than those that it publishes."""
    nonce: str | None = None
    """Another nonce than the one that was asked with."""
    verifiers: list[str] = field(default_factory=list)


@dataclass
class Client(ClientMixin):  # type: ignore[misc]
    provider: Provider

    def get_client_id(self) -> str:
        return CLIENT_ID

    def get_default_redirect_uri(self) -> str:
        return self.provider.redirect_uris[0]

    def get_allowed_scope(self, scope: str) -> str:
        return " ".join(one for one in scope.split() if one in ("openid", "profile"))

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri in self.provider.redirect_uris

    def check_client_secret(self, secret: str) -> bool:
        return secret == CLIENT_SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


@dataclass
class Code(AuthorizationCodeMixin):  # type: ignore[misc]
    code: str
    redirect_uri: str
    scope: str
    nonce: str
    code_challenge: str
    code_challenge_method: str

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str:
        return self.nonce

    def get_auth_time(self) -> int:
        return int(time.time())

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


@contextmanager
def running() -> Iterator[Provider]:
    """A provider that listens on a port of its own."""
    provider = Provider()
    server = make_server("127.0.0.1", 0, _app(provider))
    provider.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join(60)
        server.server_close()


def _app(provider: Provider) -> Flask:
    app = Flask("provider")
    codes: dict[str, Code] = {}

    class Grant(AuthorizationCodeGrant):  # type: ignore[misc]
        def save_authorization_code(self, code: str, request: Any) -> None:
            asked = request.payload.data
            codes[code] = Code(
                code, request.payload.redirect_uri, request.payload.scope,
                provider.nonce or asked["nonce"], asked["code_challenge"],
                asked["code_challenge_method"],
            )  # fmt: skip

        def query_authorization_code(self, code: str, _client: Client) -> Code | None:
            provider.verifiers.append(self.request.form["code_verifier"])
            return codes.get(code)

        def delete_authorization_code(self, code: Code) -> None:
            del codes[code.code]

        def authenticate_user(self, _code: Code) -> dict[str, Any]:
            return provider.claims

    class OpenID(OpenIDCode):  # type: ignore[misc]
        def resolve_client_private_key(self, _client: Client) -> Any:
            return provider.signs_with or provider.keys

        def get_client_claims(self, client: Client) -> dict[str, Any]:
            return {"iss": provider.issuer, "aud": [client.get_client_id()]}

        def get_encode_header(self, _client: Client) -> dict[str, str]:
            return {"alg": "RS256", "kid": "1"}

        def exists_nonce(self, _nonce: str, _request: Any) -> bool:
            return False

        def generate_user_info(self, user: dict[str, Any], _scope: str) -> UserInfo:
            return UserInfo(user)

    server = AuthorizationServer(
        app,
        query_client=lambda name: Client(provider) if name == CLIENT_ID else None,
        save_token=lambda _token, _request: None,
    )
    server.register_grant(Grant, [OpenID(require_nonce=True), CodeChallenge(required=True)])

    @app.get("/.well-known/openid-configuration")
    def configuration() -> Response:
        return jsonify(
            issuer=provider.issuer,
            authorization_endpoint=f"{provider.issuer}/authorize",
            token_endpoint=f"{provider.issuer}/token",
            jwks_uri=f"{provider.issuer}/keys",
            response_types_supported=["code"],
            id_token_signing_alg_values_supported=["RS256"],
            code_challenge_methods_supported=["S256"],
        )

    @app.get("/keys")
    def keys() -> Response:
        return jsonify(provider.keys.as_dict(private=False))

    @app.get("/authorize")
    def authorize() -> Any:
        grant = server.get_consent_grant(end_user=provider.claims)
        return server.create_authorization_response(grant_user=provider.claims, grant=grant)

    @app.post("/token")
    def token() -> Any:
        return server.create_token_response()

    return app
