"""Sign-in of users, with a password or by a provider, and sign-out."""

import logging
from datetime import datetime, timedelta
from hmac import compare_digest

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from api import request_bodies
from api.app_context import AppContext, Context
from api.auth import sessions, sign_in_pages, users
from api.auth.authenticator import COOKIE, address_of, refused
from api.auth.oidc_provider import OidcProvider, PendingSignIn
from api.auth.permissions import CurrentActor, requires
from api.auth.sessions import Session
from api.problem_details import unsupported
from api.response_models import StrictBody
from sightline.audit.roles import PERMISSIONS, Permission, Role

log = logging.getLogger(__name__)

router = APIRouter(tags=["sign-in"])

HOME = "/docs"
"""The page after a sign-in."""

_PROVIDER = "/sign-in/provider"
_CALLBACK = f"{_PROVIDER}/callback"
_PENDING_COOKIE = "sightline_sign_in"
_PENDING_SECONDS = 600

_ANY_ROLE = requires(Permission.DESCRIPTION_READ, scoped=True)
"""A permission of every role."""


class Credentials(StrictBody):
    """The name and password of a user."""

    name: str = Field(max_length=200)
    password: str = Field(max_length=1024)


class SignedIn(BaseModel):
    """The session that has begun; its token is in the cookie."""

    expires_at: datetime


class CurrentUser(BaseModel):
    """The actor of the request, and their permissions."""

    kind: str
    id: str
    name: str
    role: Role
    permissions: list[Permission]
    cameras: list[str] | None = Field(description="null is all")


@router.get("/sign-in", summary="A page to sign in on", include_in_schema=False)
def sign_in_page(context: Context) -> HTMLResponse:
    """Return the form."""
    return sign_in_pages.sign_in_page(_provider_path(context))


@router.post(
    "/sign-in", summary="Sign in with a password",
    response_model=SignedIn, openapi_extra=request_bodies.described(json=Credentials),
)  # fmt: skip
async def sign_in(context: Context, request: Request) -> Response:
    """Sign in by JSON or by the page's form; sets a cookie that browsers send to us alone."""
    kind = request_bodies.media_type(request)
    if kind not in (request_bodies.JSON, request_bodies.FIELDS):
        raise unsupported(f"{request_bodies.JSON} or {request_bodies.FIELDS}")
    is_form = kind == request_bodies.FIELDS
    try:
        context.authenticator.limits.count_sign_in(address_of(request))
        body = dict(await request.form()) if is_form else await request_bodies.read_json(request)
        credentials = request_bodies.validated(Credentials, body)
        session = await run_in_threadpool(_begin, context, address_of(request), credentials)
    except HTTPException as error:
        if is_form:
            return sign_in_pages.sign_in_page(_provider_path(context), error)
        raise
    if is_form:
        response: Response = RedirectResponse(HOME, 303)
    else:
        signed_in = SignedIn(expires_at=session.expires_at)
        response = JSONResponse(signed_in.model_dump(mode="json"))
    _set_session(response, request, session)
    return response


def _begin(context: AppContext, address: str, credentials: Credentials) -> Session:
    limits = context.authenticator.limits
    limits.count_password_attempt(credentials.name)
    with context.db() as db:
        user = users.sign_in(db, credentials.name, credentials.password)
        if user is None:
            log.warning("api: a wrong name or password from %s", address)
            raise refused("name or password is wrong")
        session = sessions.create_session(db, user, _session_time(context))
    limits.reset_password_attempts(address, credentials.name)
    log.info("api: user %s has signed in from %s", user, address)
    return session


@router.get(_PROVIDER, summary="Sign in by the provider", include_in_schema=False)
async def begin_at_provider(context: Context, request: Request) -> Response:
    """Send the browser to the provider."""
    context.authenticator.limits.count_provider_request(address_of(request))
    provider = await run_in_threadpool(OidcProvider, context.api.oidc, context.settings.secrets)
    url, pending = await provider.begin(_callback(context, request))
    response = RedirectResponse(url, 302)
    # Lax: the browser comes back from another site.
    response.set_cookie(
        _PENDING_COOKIE, pending.packed(), max_age=_PENDING_SECONDS, path=_PROVIDER, httponly=True,
        samesite="lax", secure=_is_secure(request),
    )  # fmt: skip
    return response


@router.get(_CALLBACK, summary="Back from the provider", include_in_schema=False)
async def back_from_provider(
    context: Context, request: Request, code: str = "", state: str = ""
) -> Response:
    """Sign in the user that the provider knows."""
    pending = PendingSignIn.unpacked(request.cookies.get(_PENDING_COOKIE, ""))
    if pending is None or not compare_digest(pending.state.encode(), state.encode()) or not code:
        raise refused()
    context.authenticator.limits.count_provider_request(address_of(request))
    settings = context.api.oidc
    provider = await run_in_threadpool(OidcProvider, settings, context.settings.secrets)
    identity = await provider.end(pending, code, _callback(context, request))
    if identity is None:
        raise refused("the provider does not vouch for you, or you have no role here")

    def begin() -> Session:
        with context.db() as db:
            issuer = settings.issuer or ""
            user = users.upsert_provider_user(
                db, issuer, identity.subject, identity.name, identity.role
            )
            session = sessions.create_session(db, user, _session_time(context))
        log.info("api: user %s has signed in by the provider from %s", user, address_of(request))
        return session

    # A page that goes on by itself: after a redirect that another site began, the browser would
    # not send the session's cookie.
    response = sign_in_pages.redirect_page(HOME)
    _set_session(response, request, await run_in_threadpool(begin))
    response.delete_cookie(_PENDING_COOKIE, path=_PROVIDER)
    return response


@router.get("/api/v1/session", summary="Who you are", dependencies=[_ANY_ROLE])
def get_session(actor: CurrentActor) -> CurrentUser:
    """Return the actor of the request with their permissions."""
    allowed = sorted(PERMISSIONS[actor.role])
    return CurrentUser(
        kind=actor.kind, id=actor.id, name=actor.name, role=actor.role, permissions=allowed,
        cameras=actor.visible_cameras(),
    )  # fmt: skip


@router.delete("/api/v1/session", summary="Sign out", status_code=204, dependencies=[_ANY_ROLE])
def sign_out(context: Context, request: Request, response: Response) -> None:
    """End the session of the cookie."""
    with context.db() as db:
        sessions.delete_session(db, request.cookies.get(COOKIE, ""))
    response.delete_cookie(COOKIE)


def _provider_path(context: AppContext) -> str | None:
    """Return the path of the sign-in by a provider, if there is one."""
    return _PROVIDER if context.api.oidc.issuer else None


def _set_session(response: Response, request: Request, session: Session) -> None:
    response.set_cookie(
        COOKIE, session.token, expires=session.expires_at, httponly=True, samesite="strict",
        secure=_is_secure(request),
    )  # fmt: skip


def _is_secure(request: Request) -> bool:
    return request.url.scheme == "https"


def _callback(context: AppContext, request: Request) -> str:
    base = context.api.public_url or str(request.base_url)
    return base.rstrip("/") + _CALLBACK


def _session_time(context: AppContext) -> timedelta:
    return timedelta(hours=context.api.session_hours)
