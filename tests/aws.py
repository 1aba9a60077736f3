"""AWS for tests: moto as a server, spoken to over HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
import pytest

if TYPE_CHECKING:
    from moto.server import ThreadedMotoServer
    from types_boto3_secretsmanager import SecretsManagerClient
    from types_boto3_ssm import SSMClient


@dataclass(frozen=True)
class Aws:
    """What a process has to be told to find it, and its clients."""

    environment: dict[str, str]
    server: "ThreadedMotoServer"

    @property
    def secrets(self) -> "SecretsManagerClient":
        return boto3.client("secretsmanager")

    @property
    def parameters(self) -> "SSMClient":
        return boto3.client("ssm")


@contextmanager
def aws() -> Iterator[Aws]:
    """An AWS of the test's own; this process finds it too."""
    from moto.server import ThreadedMotoServer  # takes long to load

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            found = Aws(environment, server)
            # It loads what it answers with at the first request: ours wait for seconds only.
            found.secrets.list_secrets()
            found.parameters.describe_parameters()
            yield found
        finally:
            server.stop()
