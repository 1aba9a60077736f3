"""People sign in, with a password or by a provider, and out."""

import logging
from datetime import datetime, timedelta
from hmac import compare_digest

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from api import bodies
from api.auth import page, sessions, users
from api.auth.door import COOKIE, address_of, refused
from api.auth.needs import Acting, needs
from api.auth.provider import Provider, Way
from api.auth.sessions import Session
from api.parts import Given, Parts
from api.problems import unsupported
from api.settings import ApiSettings
from api.shapes import Strict
from sightline.audit.roles import PERMISSIONS, Permission, Role

log = logging.getLogger(__name__)

router = APIRouter(tags=["sign-in"])

HOME = "/docs"
"""Where people come to when they have signed in."""

_PROVIDER = "/sign-in/provider"
_BACK = f"{_PROVIDER}/callback"
_WAY = "sightline_sign_in"
_WAY_SECONDS = 600

_ANYBODY = needs(Permission.DESCRIPTION_READ, scoped=True)
"""Every role has it."""


class Credentials(Strict):
    """What somebody signs in with."""

    name: str = Field(max_length=200)
    password: str = Field(max_length=1024)


class SignedIn(BaseModel):
    """The session that has begun; its token is in the cookie."""

    expires_at: datetime


class Who(BaseModel):
    """Who you are to the API, and what you may do."""

    kind: str
    id: str
    name: str
    role: Role
    permissions: list[Permission]
    cameras: list[str] | None = Field(description="null is all")


@router.get("/sign-in", summary="A page to sign in on", include_in_schema=False)
def sign_in_page(parts: Given) -> HTMLResponse:
    """For people."""
    return page.sign_in(_at(parts))


@router.post(
    "/sign-in", summary="Sign in with a password",
    response_model=SignedIn, openapi_extra=bodies.described(json=Credentials),
)  # fmt: skip
async def sign_in(parts: Given, request: Request) -> Response:
    """As JSON, or by the page's form. Sets a cookie that browsers send nobody else."""
    kind = bodies.media_type(request)
    if kind not in (bodies.JSON, bodies.FIELDS):
        raise unsupported(f"{bodies.JSON} or {bodies.FIELDS}")
    is_form = kind == bodies.FIELDS
    try:
        parts.door.limits.sign_in(address_of(request))
        given = dict(await request.form()) if is_form else await bodies.read_json(request)
        wish = bodies.checked(Credentials, given)
        session = await run_in_threadpool(_begin, parts, address_of(request), wish)
    except HTTPException as error:
        if is_form:
            return page.sign_in(_at(parts), error)
        raise
    if is_form:
        answer: Response = RedirectResponse(HOME, 303)
    else:
        told = SignedIn(expires_at=session.expires_at)
        answer = JSONResponse(told.model_dump(mode="json"))
    _keep(answer, request, session)
    return answer


def _begin(parts: Parts, address: str, wish: Credentials) -> Session:
    limits = parts.door.limits
    limits.password(wish.name)
    with parts.db() as db:
        user = users.sign_in(db, wish.name, wish.password)
        if user is None:
            log.warning("api: a wrong name or password from %s", address)
            raise refused("name or password is wrong")
        session = sessions.begin(db, user, _lasts(parts))
    limits.right_password(address, wish.name)
    log.info("api: user %s has signed in from %s", user, address)
    return session


@router.get(_PROVIDER, summary="Sign in by the provider", include_in_schema=False)
async def begin_at_provider(parts: Given, request: Request) -> Response:
    """Sends the browser there."""
    parts.door.limits.provider(address_of(request))
    provider = await run_in_threadpool(
        Provider, ApiSettings.of(parts.settings).oidc, parts.settings.secrets
    )
    url, way = await provider.begin(_back(parts, request))
    answer = RedirectResponse(url, 302)
    # Lax: the browser comes back from another site.
    answer.set_cookie(
        _WAY, way.packed(), max_age=_WAY_SECONDS, path=_PROVIDER, httponly=True, samesite="lax",
        secure=_is_secure(request),
    )  # fmt: skip
    return answer


@router.get(_BACK, summary="Back from the provider", include_in_schema=False)
async def back_from_provider(
    parts: Given, request: Request, code: str = "", state: str = ""
) -> Response:
    """Signs in whom it vouches for."""
    way = Way.unpacked(request.cookies.get(_WAY, ""))
    if way is None or not compare_digest(way.state.encode(), state.encode()) or not code:
        raise refused()
    parts.door.limits.provider(address_of(request))
    settings = ApiSettings.of(parts.settings).oidc
    provider = await run_in_threadpool(Provider, settings, parts.settings.secrets)
    who = await provider.end(way, code, _back(parts, request))
    if who is None:
        raise refused("the provider does not vouch for you, or you have no role here")

    def begin() -> Session:
        with parts.db() as db:
            issuer = settings.issuer or ""
            user = users.vouched(db, issuer, who.subject, who.name, who.role)
            session = sessions.begin(db, user, _lasts(parts))
        log.info("api: user %s has signed in by the provider from %s", user, address_of(request))
        return session

    # A page that goes on by itself: after a redirect that another site began, the browser would
    # not send the session's cookie.
    answer = page.onwards(HOME)
    _keep(answer, request, await run_in_threadpool(begin))
    answer.delete_cookie(_WAY, path=_PROVIDER)
    return answer


@router.get("/api/v1/session", summary="Who you are", dependencies=[_ANYBODY])
def get_session(actor: Acting) -> Who:
    """And what you may do."""
    allowed = sorted(PERMISSIONS[actor.role])
    return Who(
        kind=actor.kind, id=actor.id, name=actor.name, role=actor.role, permissions=allowed,
        cameras=actor.only(),
    )  # fmt: skip


@router.delete("/api/v1/session", summary="Sign out", status_code=204, dependencies=[_ANYBODY])
def sign_out(parts: Given, request: Request, response: Response) -> None:
    """Ends the session of the cookie."""
    with parts.db() as db:
        sessions.end(db, request.cookies.get(COOKIE, ""))
    response.delete_cookie(COOKIE)


def _at(parts: Parts) -> str | None:
    """Where one signs in by a provider, if there is one."""
    return _PROVIDER if ApiSettings.of(parts.settings).oidc.issuer else None


def _keep(answer: Response, request: Request, session: Session) -> None:
    answer.set_cookie(
        COOKIE, session.token, expires=session.expires_at, httponly=True, samesite="strict",
        secure=_is_secure(request),
    )  # fmt: skip


def _is_secure(request: Request) -> bool:
    return request.url.scheme == "https"


def _back(parts: Parts, request: Request) -> str:
    base = ApiSettings.of(parts.settings).public_url or str(request.base_url)
    return base.rstrip("/") + _BACK


def _lasts(parts: Parts) -> timedelta:
    return timedelta(hours=ApiSettings.of(parts.settings).session_hours)
