"""The layout: who reaches what, beside the layers that import-linter holds."""

import pytest
from grimp import ImportGraph

from tests.layout import graph, mutual_packages, packages, services_that_reach_ops


@pytest.fixture(scope="module")
def imports() -> ImportGraph:
    return graph()


def test_the_library_is_what_services_share(imports: ImportGraph) -> None:
    for package in packages(imports):
        users = len(package.services) + package.is_reached_by_ops
        assert package.services, f"{package.name} is reached by no service"
        assert users >= 2, f"{package.name} is reached by {package.services} alone"


def test_no_service_reaches_the_operators_programs(imports: ImportGraph) -> None:
    assert services_that_reach_ops(imports) == []


def test_no_two_packages_import_each_other(imports: ImportGraph) -> None:
    assert mutual_packages(imports) == []
