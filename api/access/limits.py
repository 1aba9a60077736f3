"""How often one may ask, and how often be wrong. Counted in this process."""

import hashlib
import math
import time

from fastapi import HTTPException
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from sightline.settings.groups import ApiSettings

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

    def password(self, address: str, name: str) -> None:
        """One more try at a password. After too many none is looked at, not the right one
        either."""
        for limit, what, whose in self._passwords(address, name):
            if not self._counts.hit(limit, what, whose):
                raise self._too_many(limit, what, whose)

    def right_password(self, address: str, name: str) -> None:
        """It was the right one: those before are forgotten."""
        for limit, what, whose in self._passwords(address, name):
            self._counts.clear(limit, what, whose)

    def _passwords(self, address: str, name: str) -> list[tuple[RateLimitItem, str, str]]:
        digest = hashlib.sha256(name.encode()).hexdigest()  # however long the name is
        return [(self._wrong_here, "address", address), (self._wrong_name, "name", digest)]

    def _too_many(self, limit: RateLimitItem, what: str, whose: str) -> HTTPException:
        wait = self._counts.get_window_stats(limit, what, whose).reset_time - time.time()
        seconds = max(1, math.ceil(wait))
        return HTTPException(
            429, f"too many; try again in {seconds} s", headers={"Retry-After": str(seconds)}
        )
