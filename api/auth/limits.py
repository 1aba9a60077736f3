"""How often one may ask, and how often be wrong. Counted in this process."""

import hashlib
import math
import time

from fastapi import HTTPException
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from api.settings import ApiSettings

_WINDOW_MINUTES = 15
_ADDRESSES = 10
"""A name may be got wrong from so many addresses: else whoever likes could lock somebody out."""

_AT_PROVIDER = 30
"""Sign-ins of one address in a minute that the provider is troubled with."""


class Limits:
    """Raises a problem 429 that says when to come again."""

    def __init__(self, settings: ApiSettings) -> None:
        self._counts = SlidingWindowCounterRateLimiter(MemoryStorage())
        most, wrong = settings.requests_per_minute, settings.failed_sign_ins
        self._requests = RateLimitItemPerMinute(most) if most else None
        self._begun = RateLimitItemPerMinute(_AT_PROVIDER)
        self._wrong_here = RateLimitItemPerMinute(wrong, _WINDOW_MINUTES)
        self._wrong_name = RateLimitItemPerMinute(wrong * _ADDRESSES, _WINDOW_MINUTES)

    def request(self, who: str) -> None:
        """One more request of a key or a person."""
        if self._requests is not None and not self._counts.hit(self._requests, "request", who):
            raise self._too_many(self._requests, "request", who)

    def provider(self, address: str) -> None:
        """One more question to the provider, asked by whoever likes."""
        if not self._counts.hit(self._begun, "provider", address):
            raise self._too_many(self._begun, "provider", address)

    def wrong_key(self, address: str) -> None:
        """One more wrong key or session; a right one is taken all the same."""
        if not self._counts.hit(self._wrong_here, "key", address):
            raise self._too_many(self._wrong_here, "key", address)

    def sign_in(self, address: str) -> None:
        """One more try of an address at a password, to be counted before its body is read. After
        too many none is looked at, not the right one either."""
        self._tried(self._here(address))

    def password(self, name: str) -> None:
        """One more try at the password of a name, wherever from; the same holds."""
        self._tried(self._of(name))

    def right_password(self, address: str, name: str) -> None:
        """It was the right one: those before are forgotten."""
        for one in (self._here(address), self._of(name)):
            self._counts.clear(*one)

    def _here(self, address: str) -> tuple[RateLimitItem, str, str]:
        return self._wrong_here, "address", address

    def _of(self, name: str) -> tuple[RateLimitItem, str, str]:
        digest = hashlib.sha256(name.encode()).hexdigest()  # however long the name is
        return self._wrong_name, "name", digest

    def _tried(self, one: tuple[RateLimitItem, str, str]) -> None:
        if not self._counts.hit(*one):
            raise self._too_many(*one)

    def _too_many(self, limit: RateLimitItem, what: str, whose: str) -> HTTPException:
        wait = self._counts.get_window_stats(limit, what, whose).reset_time - time.time()
        seconds = max(1, math.ceil(wait))
        return HTTPException(
            429, f"too many; try again in {seconds} s", headers={"Retry-After": str(seconds)}
        )
