"""Photos as clients send them."""

import base64
import binascii
from string import whitespace

from fastapi import Request
from starlette.datastructures import UploadFile

from api.problem_details import too_large
from sightline.people.photo_rejections import Reason
from sightline.people.picture_files import Photo
from sightline.runtime.errors import PhotoError

_MAX_FILES = 20
_MAX_FIELDS = 40


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


async def from_upload(upload: UploadFile, limit: int) -> Photo:
    """Read a photo that was uploaded. Raises a problem 413."""
    label = (upload.filename or "photo")[:100]
    data = await upload.read(limit + 1)
    if len(data) > limit:
        raise too_large(label, limit)
    return Photo(label, data)
