"""Requests are counted by route, so that no client can make labels up."""

from fastapi import APIRouter, FastAPI, HTTPException
from fastapi.testclient import TestClient
from prometheus_client import REGISTRY

from api.request_metrics import RequestMetrics


def test_requests_are_counted_by_route_and_status() -> None:
    router = APIRouter(prefix="/measured")

    @router.get("/{name}/things")
    def things(name: str) -> str:
        if name == "none":
            raise HTTPException(404)
        if name == "broken":
            raise RuntimeError(name)
        return name

    app = FastAPI()
    app.include_router(router)
    app.add_middleware(RequestMetrics)
    client = TestClient(app, raise_server_exceptions=False)
    for name in ("ada", "bob", "none", "broken"):
        client.get(f"/measured/{name}/things")
    client.request("BREW", "/measured/anything/at/all")

    def counted(method: str, route: str, status: int) -> float | None:
        labels = {"method": method, "route": route, "status": str(status)}
        return REGISTRY.get_sample_value("sightline_api_requests_total", labels)

    route = "/measured/{name}/things"
    assert (counted("GET", route, 200), counted("GET", route, 404)) == (2, 1)
    assert counted("GET", route, 500) == 1
    assert counted("other", "other", 404) == 1
    seconds = REGISTRY.get_sample_value("sightline_api_request_seconds_count", {"route": route})
    assert seconds == 4
