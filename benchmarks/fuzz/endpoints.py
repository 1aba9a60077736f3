"""Mutated requests to every endpoint of the API: by its own description, and past it."""

import base64
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeAlias

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.core.result import Err

from benchmarks.fuzz.services import Service
from sightline.runtime.settings import Settings
from tests.api_support import crop_of, photo_of
from tests.support import api_key, bearer

KINDS = ("2xx", "3xx", "4xx", "503", "500", "broken")
"""Kinds of answers; `broken` is a missing answer."""

_FAILURES = ("503", "500", "broken")

_TIMEOUT_SECONDS = 30.0
_EXAMPLES = 3
_BY_DESCRIPTION = 0.75
"""Fraction of requests made from the description; the rest are mutated good ones."""

Operation: TypeAlias = APIOperation[Any, Any, Any, Any]

_ODD_HEADERS: tuple[dict[str, str], ...] = (
    {}, {"Origin": "http://[::1"}, {"Origin": "http://elsewhere"}, {"Origin": "null"},
    {"Content-Type": "application/json"}, {"Content-Type": "multipart/form-data"},
    {"Content-Type": "multipart/form-data; boundary=x"}, {"Content-Type": "\x80/\xff;=;"},
    {"Content-Type": "application/json; charset=utf-16"}, {"Accept": "text/csv;q=9, ;;"},
    {"Content-Encoding": "gzip"}, {"Range": "bytes=-1-"}, {"If-None-Match": "*"},
    {"Expect": "200-maybe"}, {"X-Long": "x" * 20_000}, {"Transfer-Encoding": "identity"},
)  # fmt: skip
_SEGMENTS = ("", "0", "-1", "1" * 400, "%00", "%ff%fe", "..%2f..%2fetc%2fpasswd", "nobody", "%",
             "9223372036854775808", "00000000-0000-0000-0000-000000000000", "a/../b")  # fmt: skip
_QUERIES = ("", "?", "?limit=0", "?limit=99999999999999999999", "?cursor=%00", "?cursor=e30",
            "?since=not-a-time&until=9999-99-99", "?since=-1", "?until=1e400", "?format=csv",
            "?format=xml", "?person=%00", "?camera=" + "x" * 5000, "?limit=NaN&limit=1",
            "?start=0001-01-01T00:00:00Z&end=9999-12-31T23:59:59Z")  # fmt: skip


@dataclass
class Answers:
    """Answers of an endpoint."""

    endpoint: str
    counts: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    alive: bool = True
    seconds: float = 0.0

    @property
    def sent(self) -> int:
        """Number of requests sent."""
        return self.counts.total()

    def is_right(self) -> bool:
        """Return True if every request was answered, and none by a server error."""
        return self.alive and not any(self.counts[kind] for kind in _FAILURES)

    def note(self, kind: str, example: str) -> None:
        """Count an answer; the first failures are kept to be printed."""
        self.counts[kind] += 1
        if kind in _FAILURES and len(self.examples) < _EXAMPLES:
            self.examples.append(example[:1000])


class Endpoints:
    """The API as a process of its own, with a matcher behind it."""

    def __init__(self, home_settings: Settings, number: int) -> None:
        self._random = random.Random(number)
        self._seed = number
        home = home_settings.home
        self._api = Service(
            "api", home, SIGHTLINE_API__PORT="0", SIGHTLINE_API__REQUESTS_PER_MINUTE="0"
        )
        self._match = Service("match", home)
        self._headers = bearer(api_key(home_settings))
        self._session = requests.Session()
        self._bodies = _bodies()

    def __enter__(self) -> Self:
        self._url = self._api.url()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._session.close()
        self._api.kill()
        self._match.kill()

    def all(self, count: int, is_selected: Callable[[str], bool]) -> Iterator[Answers]:
        """Test every endpoint whose method and path are selected; yield its answers."""
        schema = schemathesis.openapi.from_url(f"{self._url}/openapi.json", headers=self._headers)
        for result in schema.get_all_operations():
            if isinstance(result, Err):
                raise result.err()
            operation = result.ok()
            if is_selected(operation.label):
                yield self._test(operation, count)

    def _test(self, operation: Operation, count: int) -> Answers:
        answers = Answers(operation.label)
        began = time.monotonic()
        self._described(operation, round(count * _BY_DESCRIPTION), answers)
        while answers.sent < count and self._api.is_alive():
            self._mutated(operation, answers)
        answers.alive = self._api.is_alive() and self._is_well()
        answers.seconds = time.monotonic() - began
        return answers

    def _described(self, operation: Operation, count: int, answers: Answers) -> None:
        """Send requests that the description allows, and ones that it forbids (schemathesis)."""
        for mode in GenerationMode:

            @seed(self._seed)
            @settings(
                max_examples=max(1, count // 2), database=None, deadline=None,
                phases=[Phase.generate], suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            @given(st.data(), operation.as_strategy(generation_mode=mode))
            def send(_data: st.DataObject, case: Case[Any]) -> None:
                try:
                    arguments = case.as_transport_kwargs(self._url)
                    answer = self._sent(**arguments)
                except (requests.RequestException, ValueError, UnicodeError) as error:
                    self._note(answers, None, repr(error))
                    return
                self._note(answers, answer, case.as_curl_command())

            try:
                send()
            except Unsatisfiable:
                continue  # no invalid request exists

    def _mutated(self, operation: Operation, answers: Answers) -> None:
        """Send a good request with something odd in its path, query, headers or body."""
        choose = self._random.choice
        path = re.sub(r"\{[^}]*\}", lambda _: choose(_SEGMENTS), operation.path)
        body = self._body() if operation.method not in ("get", "delete") else None
        headers = choose(_ODD_HEADERS)
        if body is not None and "Content-Type" not in headers:
            headers = {**headers, "Content-Type": "application/json"}
        try:
            answer = self._sent(
                method=operation.method, url=self._url + path + choose(_QUERIES), data=body,
                headers={key: value.encode("latin-1") for key, value in headers.items()},
            )  # fmt: skip
        except (requests.RequestException, ValueError) as error:
            self._note(answers, None, f"{operation.method} {path} {headers}: {error!r}")
            return
        self._note(answers, answer, f"{operation.method} {path} {headers} {(body or b'')[:300]!r}")

    def _sent(self, **request_arguments: Any) -> requests.Response:
        """Send a request, and repeat it if the connection was closed.

        The server may close it after an answer that it gave before it had read all of a body.
        """
        request_arguments["headers"] = {**(request_arguments.get("headers") or {}), **self._headers}
        try:
            return self._session.request(**request_arguments, timeout=_TIMEOUT_SECONDS)
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
            return requests.request(**request_arguments, timeout=_TIMEOUT_SECONDS)

    def _body(self) -> bytes:
        choose = self._random.choice
        body = choose(self._bodies)
        if self._random.random() < 0.5:
            document = json.loads(body)
            document[choose(list(document))] = choose(
                (None, True, -1, 1e400, "", "\x00", "x" * 5000, [], {}, [[]] * 100, "data:,")
            )
            return json.dumps(document).encode()
        data = bytearray(body)
        for _ in range(self._random.randrange(4)):
            data[self._random.randrange(len(data))] = self._random.randrange(256)
        return bytes(data[: self._random.randrange(len(data))] if choose((0, 0, 1)) else data)

    def _note(self, answers: Answers, answer: requests.Response | None, example: str) -> None:
        if answer is None:
            # What the client itself does not send is no request.
            if self._api.is_alive() and ("Invalid" in example or "Unicode" in example):
                return
            answers.note("broken", example)
        elif answer.status_code in (500, 503):
            answers.note(str(answer.status_code), f"{example}: {answer.text[:200]}")
        else:
            answers.note(f"{answer.status_code // 100}xx", example)

    def _is_well(self) -> bool:
        return (
            self._session.get(f"{self._url}/healthz", timeout=_TIMEOUT_SECONDS).status_code == 200
        )


def _bodies() -> list[bytes]:
    """Return valid bodies with real faces."""
    photo, crop = (base64.b64encode(one).decode() for one in (photo_of(0), crop_of(1)))
    documents: list[dict[str, Any]] = [
        {"name": "Fuzz", "photo": photo, "is_authorized": True},
        {"track_ids": [{"track_id": 1, "face_crop": crop}], "camera_id": "fuzz"},
        {"frame": photo, "track_ids": []},
        {"photo": photo, "threshold": 0.5, "limit": 5},
        {"vector": [0.1] * 128, "limit": 5},
        {"name": "Somebody"}, {"into": 1}, {"tracks": ["00000000-0000-0000-0000-000000000000"]},
        {"status": "left", "department": None},
    ]  # fmt: skip
    return [json.dumps(one).encode() for one in documents]
