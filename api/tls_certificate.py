"""The API's certificate, which is renewed without a restart."""

import logging
import ssl
from pathlib import Path

from api.settings import ApiSettings
from sightline.runtime.errors import SightlineError

log = logging.getLogger(__name__)


class Certificate:
    """A certificate chain and its key, in files."""

    def __init__(self, settings: ApiSettings) -> None:
        """Load the files. Raises SightlineError where they are no certificate and key."""
        if settings.tls_cert is None:
            raise SightlineError("api.tls_key is set, and api.tls_cert is not")
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._cert, self._key = settings.tls_cert, settings.tls_key
        self._files = self._state()
        try:
            self._load()
        except OSError as error:  # ssl.SSLError is one
            raise SightlineError(f"api.tls_cert and api.tls_key: {error}") from error

    @classmethod
    def of(cls, settings: ApiSettings) -> "Certificate | None":
        """Return the certificate of the settings; None where the API is served without one."""
        return cls(settings) if settings.tls_cert or settings.tls_key else None

    def context(self, *_: object) -> ssl.SSLContext:
        """Return the context, as a factory for a server."""
        return self._context

    def refresh(self) -> None:
        """Load the files again if they have changed; new connections get what they hold now."""
        files = self._state()
        if files == self._files:
            return
        self._files = files
        try:
            self._load()
        except OSError as error:
            # The former one stays in use; a pair half written is whole the next time.
            log.warning("api: the new certificate cannot be taken: %s", error)
        else:
            log.info("api: another certificate")

    def _load(self) -> None:
        self._context.load_cert_chain(self._cert, self._key)

    def _state(self) -> list[tuple[int, int] | None]:
        return [_stamp(path) for path in (self._cert, self._key) if path is not None]


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns
