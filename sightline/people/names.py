"""Names of people: one form for however they are typed, so that what was enrolled is found."""

import re
import unicodedata
from typing import Final

from schemas.decode import MAX_NAME_CHARACTERS
from sightline.runtime.errors import SightlineError

_JOINERS: Final = "\u200c\u200d"
"""Zero-width non-joiner and joiner: Persian, Hindi and other scripts spell with them."""

_INVISIBLE: Final = re.compile("[\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
"""Marks of direction, soft hyphens and the like, which come along with copied text."""


def normalise_text(text: str) -> str:
    """Return text as it is stored: composed (NFC), single spaces, no invisible marks.

    All of Unicode's spaces count as a space. Joiners stay within words.
    """
    visible = _INVISIBLE.sub("", unicodedata.normalize("NFC", text))
    spaced = "".join(
        " " if character == "\t" or unicodedata.category(character) == "Zs" else character
        for character in visible
    )
    words = (word.strip(_JOINERS) for word in spaced.split(" "))
    return " ".join(word for word in words if word)


def name_key(name: str) -> str:
    """Return a name for comparison with file names: spaces for underscores, case folded."""
    return normalise_text(name.replace("_", " ")).casefold()


def checked_name(name: str) -> str:
    """Normalise a person's name. Raises SightlineError for an invalid one."""
    normalised = normalise_text(name)
    if not normalised:
        raise SightlineError("the name is empty")
    checked_text("the name", normalised, MAX_NAME_CHARACTERS)
    if normalised.casefold() == "unknown":
        raise SightlineError("nobody can be called Unknown: the logs call unknown people that")
    return normalised


def checked_text(subject: str, text: str, longest: int) -> str:
    """Return text as it is stored. Raises SightlineError for an empty, long or unprintable one."""
    normalised = normalise_text(text)
    if not normalised or len(normalised) > longest:
        raise SightlineError(
            f"{subject} has {len(normalised)} characters; 1 to {longest} are possible"
        )
    if not is_printable(normalised):
        raise SightlineError(f"{subject} has control characters in it")
    return normalised


def is_printable(text: str) -> bool:
    """Return True for text without control characters; joiners are part of words."""
    return all(character.isprintable() or character in _JOINERS for character in text)
