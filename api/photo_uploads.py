"""Photos as clients send them."""

import base64
import binascii
from string import whitespace
from typing import TypeVar

from fastapi import Request
from pydantic import AliasChoices, BaseModel, Field
from starlette.datastructures import UploadFile

from api import request_bodies
from api.problem_details import too_large, unsupported
from sightline.people.photo_rejections import Reason
from sightline.people.picture_files import Photo
from sightline.runtime.errors import PhotoError, SightlineError

_MAX_FILES = 20
_MAX_FIELDS = 40


PHOTO_NAMES = AliasChoices("photo", "photo_base64", "image", "image_base64")
BASE64 = "base64, also as a data URL"


class PhotoBody(BaseModel):
    """A body that may have a photo in base64; a form has it as a file."""

    photo: str | None = Field(None, validation_alias=PHOTO_NAMES, description=BASE64)


PhotoBodyT = TypeVar("PhotoBodyT", bound=PhotoBody)


def from_base64(text: str, label: str, limit: int) -> Photo:
    """Decode a photo in base64, also as a `data:` URL.

    Raises:
        PhotoError: The text is no base64.
        HTTPException: 413 for more than `limit` bytes.
    """
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        plain = text.encode("ascii").translate(None, whitespace.encode())
        data = base64.b64decode(plain, validate=True)
    except (binascii.Error, ValueError):
        raise PhotoError(Reason.INVALID_IMAGE_FORMAT, f"{label}: this is no base64") from None
    if len(data) > limit:
        raise too_large(label, limit)
    return Photo(label, data)


async def read_form(request: Request, limit: int) -> tuple[dict[str, str], list[Photo]]:
    """Return the fields of a form and its photos. Raises a problem 413."""
    async with request.form(max_files=_MAX_FILES, max_fields=_MAX_FIELDS) as form:
        values = [value for _, value in form.multi_items()]
        photos = [
            await from_upload(value, limit) for value in values if isinstance(value, UploadFile)
        ]
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
    return fields, photos


async def read_photo_body(
    request: Request, kind: type[PhotoBodyT], limit: int
) -> tuple[PhotoBodyT, Photo | None]:
    """Return a JSON body or a form as a model, with its photo, if any, of at most `limit` bytes.

    Raises:
        SightlineError: The form has not exactly one photo.
        PhotoError: The photo is no base64.
        HTTPException: 400, 413, 415 or 422 for the body.
    """
    media_type = request_bodies.media_type(request)
    if media_type == request_bodies.JSON:
        body = request_bodies.validated(kind, await request_bodies.read_json(request, None))
        return body, None if body.photo is None else from_base64(body.photo, "photo", limit)
    if media_type != request_bodies.FORM:
        raise unsupported(f"{request_bodies.FORM} or {request_bodies.JSON}")
    fields, photos = await read_form(request, limit)
    if len(photos) != 1:
        raise SightlineError(f"the form has {len(photos)} files; give one photo")
    return request_bodies.validated(kind, fields | {"photo": "the file"}), photos[0]


async def from_upload(upload: UploadFile, limit: int) -> Photo:
    """Read a photo that was uploaded. Raises a problem 413."""
    label = (upload.filename or "photo")[:100]
    data = await upload.read(limit + 1)
    if len(data) > limit:
        raise too_large(label, limit)
    return Photo(label, data)
