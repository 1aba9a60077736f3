"""The Helm chart: rendered by helm, every resource held to Kubernetes' own schemas; and its topics
are the registry's."""

import os
import shutil
import subprocess
import sys
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.rights.strimzi import manifests
from schemas.topics import Topic, all_topics
from sightline.runtime.settings import Settings
from sightline.runtime.settings.provenance import setting_fields
from sightline.runtime.settings.sources import variables_of
from sightline.streaming.admin import config_of
from tests.support import ROOT

pytestmark = pytest.mark.slow

CHART = ROOT / "deploy" / "helm" / "sightline"
KUBERNETES = "1.31"
GIVEN = (
    "existingSecret=sightline",
    "kafka.bootstrapServers=kafka:9092",
    "database.url=postgresql://sightline@db/sightline",
    "objects.bucket=pictures",
)
EVERYTHING = (
    *GIVEN,
    "kafka.securityProtocol=SASL_SSL",
    "kafka.username=sightline",
    "kafka.caSecret=kafka-ca",
    "objects.endpointUrl=http://minio:9000",
    "models.existingClaim=models",
    "fleets={default,Yard_2}",
    "vision.gpu=true",
    "api.tlsSecret=api-tls",
    "podMonitor.enabled=true",
    "strimzi.enabled=true",
    "keda.authenticationRef=kafka",
)

Resource = dict[str, Any]


def helm(command: str, *options: str) -> "subprocess.CompletedProcess[str]":
    ours = Path(sys.executable).parent
    program = shutil.which("helm", path=f"{ours}{os.pathsep}{os.environ.get('PATH', os.defpath)}")
    if program is None:
        pytest.skip("no helm here: https://helm.sh/docs/intro/install")
    return subprocess.run([program, command, *options], capture_output=True, text=True, check=False)


@cache
def rendered(*values: str) -> tuple[Resource, ...]:
    result = template(*values)
    assert result.returncode == 0, result.stderr
    return tuple(one for one in yaml.safe_load_all(result.stdout) if one)


def template(*values: str) -> "subprocess.CompletedProcess[str]":
    sets = [word for value in values for word in ("--set", value)]
    return helm("template", "site", str(CHART), "--kube-version", f"{KUBERNETES}.0", *sets)


def named(resources: tuple[Resource, ...], kind: str) -> dict[str, Resource]:
    return {one["metadata"]["name"]: one for one in resources if one["kind"] == kind}


def test_the_topics_are_the_registrys() -> None:
    """`sightline topics manifest > deploy/helm/sightline/files/topics.yaml`."""
    assert (CHART / "files" / "topics.yaml").read_text() == manifests(all_topics(), "sightline", 3)


def test_helm_finds_nothing_wrong() -> None:
    sets = [word for value in EVERYTHING for word in ("--set", value)]
    result = helm("lint", "--strict", "--kube-version", f"{KUBERNETES}.0", str(CHART), *sets)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("values", [GIVEN, EVERYTHING], ids=["least", "everything"])
def test_every_resource_is_as_kubernetes_wants_it(values: tuple[str, ...]) -> None:
    import kubernetes_validate  # takes long to load

    resources = rendered(*values)
    names = [(one["kind"], one["metadata"]["name"]) for one in resources]
    assert len(set(names)) == len(names)
    for one in resources:
        if one["apiVersion"].split("/")[0] in ("v1", "apps", "batch", "policy") or (
            one["apiVersion"] == "networking.k8s.io/v1"
        ):
            kubernetes_validate.validate(one, KUBERNETES, strict=True)
        else:
            assert one["kind"] in ("ScaledObject", "KafkaTopic", "PodMonitor")


def test_every_service_runs_is_asked_how_it_is_and_may_do_little() -> None:
    sets = named(rendered(*EVERYTHING), "StatefulSet")
    services = {point.name for point in entry_points(group="sightline.services")}
    expected = {f"site-{name}" for name in services - {"vision"}}
    assert set(sets) == expected | {"site-vision-default", "site-vision-yard-2"}
    known = {name for path, field in setting_fields(Settings) for name in variables_of(path, field)}
    for name, one in sets.items():
        pod = one["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert container["args"][0] == "run" and container["args"][1] in services, name
        for probe, path in {
            "startupProbe": "/healthz",
            "livenessProbe": "/healthz",
            "readinessProbe": "/readyz",
        }.items():
            assert container[probe]["httpGet"] == {"path": path, "port": "metrics"}, name
        assert {"requests", "limits"} <= set(container["resources"]), name
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert pod["securityContext"]["runAsNonRoot"] is True
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        claims = one["spec"].get("volumeClaimTemplates", [])
        given = {volume["name"] for volume in (*pod["volumes"], *(c["metadata"] for c in claims))}
        assert mounted == given, name
        ours = {var["name"] for var in container["env"] if not var["name"].startswith("AWS_")}
        assert ours <= known, f"{name}: unknown settings {ours - known}"
        secrets = {v["name"]: v.get("value", "") for v in container["env"]}
        assert secrets["SIGHTLINE_ENCRYPTION__KEYS"].startswith("file:")
        assert secrets["SIGHTLINE_DATABASE_PASSWORD"].startswith("file:")
    assert set(named(rendered(*EVERYTHING), "PodDisruptionBudget")) == set(sets)


def test_vision_scales_by_lag_from_one_to_three_past_a_thousand() -> None:
    scaled = named(rendered(*GIVEN), "ScaledObject")["site-vision-default"]["spec"]
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (1, 3)
    (trigger,) = scaled["triggers"]
    assert trigger["type"] == "kafka"
    assert trigger["metadata"] | {} == {
        "bootstrapServers": "kafka:9092",
        "consumerGroup": "sightline-vision-default",
        "topic": "frames.default",
        "lagThreshold": "1000",
        "offsetResetPolicy": "earliest",
    }
    workers = named(rendered(*GIVEN), "StatefulSet")[scaled["scaleTargetRef"]["name"]]
    assert "replicas" not in workers["spec"], "KEDA alone says how many"


def test_the_network_is_closed_but_for_what_is_needed() -> None:
    policies = named(rendered(*EVERYTHING), "NetworkPolicy")
    everybody = policies["site-sightline"]["spec"]
    assert everybody["policyTypes"] == ["Ingress", "Egress"]
    assert [rule["ports"] for rule in everybody["ingress"]] == [[{"port": 9100}]]
    out = {port["port"] for rule in everybody["egress"] for port in rule["ports"]}
    assert out == {53, 443, 5432, 9000, 9092}
    assert policies["site-cameras"]["spec"]["egress"] == [{}], "cameras may be anywhere"


def test_strimzi_has_the_topics_of_every_fleet() -> None:
    found = {
        one["spec"]["topicName"]: one["spec"]
        for one in named(rendered(*EVERYTHING), "KafkaTopic").values()
    }
    topics: list[Topic] = all_topics(("default", "Yard_2"))
    assert set(found) == {topic.name for topic in topics}
    for topic in topics:
        assert found[topic.name]["partitions"] == topic.partitions
        assert found[topic.name]["config"] == config_of(topic, 3)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (GIVEN[1:], "existingSecret is missing"),
        ((*GIVEN[:1], *GIVEN[2:]), "kafka.bootstrapServers is missing"),
        ((*GIVEN[:2], *GIVEN[3:]), "database.url is missing"),
        (GIVEN[:3], "objects.bucket or objects.existingClaim is missing"),
        ((*GIVEN, "keda.maxReplica=2"), "maxReplica"),
    ],
)
def test_what_is_missing_or_unknown_is_said(values: tuple[str, ...], said: str) -> None:
    result = template(*values)
    assert result.returncode != 0
    assert said in result.stderr
