"""Limits of requests and of wrong credentials, counted in this process."""

import hashlib
import math
import time

from fastapi import HTTPException
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from api.settings import ApiSettings

_WINDOW_MINUTES = 15
_ADDRESSES_PER_NAME = 10
"""A name may be got wrong from so many addresses: with fewer anybody could lock a user out."""

_PROVIDER_REQUESTS_PER_MINUTE = 30
"""Sign-ins by the provider that one address may begin."""


class RateLimits:
    """Counts requests; each method raises a problem 429, with Retry-After, above its limit."""

    def __init__(self, settings: ApiSettings) -> None:
        """Make the counters, all of them at 0."""
        self._counts = SlidingWindowCounterRateLimiter(MemoryStorage())
        requests, failures = settings.requests_per_minute, settings.failed_sign_ins
        self._requests = RateLimitItemPerMinute(requests) if requests else None
        self._provider = RateLimitItemPerMinute(_PROVIDER_REQUESTS_PER_MINUTE)
        self._by_address = RateLimitItemPerMinute(failures, _WINDOW_MINUTES)
        self._by_name = RateLimitItemPerMinute(failures * _ADDRESSES_PER_NAME, _WINDOW_MINUTES)

    def count_request(self, actor: str) -> None:
        """Count a request of a key or a user."""
        if self._requests is not None:
            self._count(self._requests, "request", actor)

    def count_provider_request(self, address: str) -> None:
        """Count a request to the provider, which needs no key."""
        self._count(self._provider, "provider", address)

    def count_wrong_key(self, address: str) -> None:
        """Count a wrong key or session; a right one is accepted above the limit too."""
        self._count(self._by_address, "key", address)

    def count_sign_in(self, address: str) -> None:
        """Count an address's attempt at a password, before its body is read.

        Above the limit no password is checked, not the right one either.
        """
        self._count(*self._address_limit(address))

    def count_password_attempt(self, name: str) -> None:
        """Count an attempt at the password of a name, from any address.

        Above the limit no password is checked, not the right one either.
        """
        self._count(*self._name_limit(name))

    def reset_password_attempts(self, address: str, name: str) -> None:
        """Forget the attempts of an address and at a name."""
        for limit in (self._address_limit(address), self._name_limit(name)):
            self._counts.clear(*limit)

    def _address_limit(self, address: str) -> tuple[RateLimitItem, str, str]:
        return self._by_address, "address", address

    def _name_limit(self, name: str) -> tuple[RateLimitItem, str, str]:
        digest = hashlib.sha256(name.encode()).hexdigest()  # a name may be of any length
        return self._by_name, "name", digest

    def _count(self, limit: RateLimitItem, kind: str, key: str) -> None:
        if self._counts.hit(limit, kind, key):
            return
        wait = self._counts.get_window_stats(limit, kind, key).reset_time - time.time()
        seconds = max(1, math.ceil(wait))
        raise HTTPException(
            429, f"too many; try again in {seconds} s", headers={"Retry-After": str(seconds)}
        )
