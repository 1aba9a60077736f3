"""The contract: generated code, golden payloads, the topic registry, the locks."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from schemas import sightline_pb2 as pb
from schemas.decode import SLUG, InvalidMessageError, decode
from schemas.topics import FACES, MATCH_STATE, MAX_RECORD_BYTES, all_topics, frames
from tests.golden import ALL, as_dict
from tests.support import ROOT

KINDS: dict[str, type[Message]] = {
    name: getattr(pb, name) for name in pb.DESCRIPTOR.message_types_by_name
}
GOLDEN = sorted(f"{path.parent.name}/{path.stem}" for path in ALL.glob("*/*.bin"))
INSIDE_OTHERS = {
    "Position", "Box", "TrackBox", "FaceQuality", "FaceObservation", "TrackEnded", "Template",
    "Calibration", "WalkingTime", "TrackCorrection", "PersonCorrection", "Header", "Tracklet",
    "FollowedTrack", "VisibleTrack", "Mask",
}  # fmt: skip


def _kind(golden: str) -> type[Message]:
    """Of `version/Message.variant`."""
    return KINDS[golden.split("/")[1].split(".", maxsplit=1)[0]]


def _payload(golden: str) -> bytes:
    return (ALL / f"{golden}.bin").read_bytes()


def test_the_generated_code_is_fresh(tmp_path: Path) -> None:
    subprocess.run(
        [
            sys.executable, "-m", "grpc_tools.protoc", "-Ischemas", f"--python_out={tmp_path}",
            f"--pyi_out={tmp_path}", "schemas/sightline.proto",
        ],
        cwd=ROOT, check=True,
    )  # fmt: skip
    for path in tmp_path.iterdir():
        assert path.read_text() == (ROOT / "schemas" / path.name).read_text(), "run `make proto`"


def test_every_record_has_a_golden_payload_with_every_field() -> None:
    assert {_kind(name).DESCRIPTOR.name for name in GOLDEN} == KINDS.keys() - INSIDE_OTHERS
    filled: dict[str, set[str]] = {name: set() for name in KINDS}

    def note(message: Message) -> None:
        for field, value in message.ListFields():
            filled[message.DESCRIPTOR.name].add(field.name)
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                for inner in value if field.is_repeated else [value]:
                    note(inner)

    for name in GOLDEN:
        note(_kind(name).FromString(_payload(name)))
    for name, kind in KINDS.items():
        assert filled[name] == set(kind.DESCRIPTOR.fields_by_name), name


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_payloads_mean_what_they_meant(name: str) -> None:
    payload = _payload(name)
    message = decode(_kind(name), payload)
    assert as_dict(message) == json.loads((ALL / f"{name}.json").read_text())
    assert message.SerializeToString(deterministic=True) == payload


@given(kind=st.sampled_from(sorted(KINDS)), value=st.one_of(st.none(), st.binary(max_size=200)))
def test_bytes_are_a_message_or_refused(kind: str, value: bytes | None) -> None:
    try:
        decode(KINDS[kind], value)
    except InvalidMessageError as error:
        assert re.fullmatch(r"[a-z_]{1,20}", error.reason)


@given(name=st.sampled_from(GOLDEN), data=st.data())
def test_damaged_payloads_are_a_message_or_refused(name: str, data: st.DataObject) -> None:
    payload = bytearray(_payload(name))
    for _ in range(data.draw(st.integers(1, 5))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(payload)))
    try:
        decode(_kind(name), bytes(payload[:cut]))
    except InvalidMessageError as error:
        assert re.fullmatch(r"[a-z_]{1,20}", error.reason)


def test_the_registry_is_sane() -> None:
    topics = all_topics(("default", "yard"))
    names = [topic.name for topic in topics]
    assert len(set(names)) == len(names)
    for topic in topics:
        assert re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,200}", topic.name)
        assert topic.key
        assert topic.partitions >= 1
        assert 0 < topic.max_record_bytes <= MAX_RECORD_BYTES
        assert (topic.config()["cleanup.policy"] == "compact") == topic.compacted
        assert ("retention.ms" in topic.config()) != topic.compacted
    # A dead letter holds a whole frame.
    assert frames().max_record_bytes < MAX_RECORD_BYTES
    # A table lives where its stream's partition lives.
    assert MATCH_STATE.partitions == FACES.partitions


def test_the_longest_fleet_still_names_a_topic() -> None:
    fleet = "f" * 64
    assert SLUG.fullmatch(fleet)
    assert len(frames(fleet).name) <= 249  # Kafka's limit


@pytest.mark.parametrize("lock", ["cpu.txt", "dev.txt", "gpu.txt"])
def test_locks_pin_everything_and_name_no_registry(lock: str) -> None:
    text = (ROOT / "requirements" / lock).read_text()
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links", text)
    pins = re.findall(r"^([A-Za-z0-9._-]+)(?:\[.*?\])?==", text, re.MULTILINE)
    blocks = re.split(r"\n(?=\S)", text.strip())
    assert len(pins) > 50
    assert all("--hash=sha256:" in block for block in blocks if not block.startswith("#"))
    runtimes = {name for name in pins if name.startswith("onnxruntime")}
    assert runtimes == {"onnxruntime-gpu" if lock == "gpu.txt" else "onnxruntime"}
