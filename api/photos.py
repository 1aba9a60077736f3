"""Photos as clients send them."""

import base64
import binascii
from string import whitespace

from fastapi import Request
from starlette.datastructures import UploadFile

from api.problems import too_large
from sightline.people.photo_rejections import Reason
from sightline.people.picture_files import Photo
from sightline.runtime.errors import PhotoError

_MAX_FILES = 20
_MAX_FIELDS = 40


def from_base64(text: str, label: str, limit: int) -> Photo:
    """A photo in base64, also as a `data:` URL. Raises PhotoError, and 413 as a problem."""
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
    """The fields of a form, and the photos in it. Raises 413 as a problem."""
    async with request.form(max_files=_MAX_FILES, max_fields=_MAX_FIELDS) as form:
        values = [value for _, value in form.multi_items()]
        photos = [await from_upload(one, limit) for one in values if isinstance(one, UploadFile)]
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
    return fields, photos


async def from_upload(upload: UploadFile, limit: int) -> Photo:
    """A photo that was uploaded. Raises 413 as a problem."""
    label = (upload.filename or "photo")[:100]
    data = await upload.read(limit + 1)
    if len(data) > limit:
        raise too_large(label, limit)
    return Photo(label, data)
