from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EvidenceKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVIDENCE_KIND_FACE: _ClassVar[EvidenceKind]
    EVIDENCE_KIND_BODY: _ClassVar[EvidenceKind]
EVIDENCE_KIND_FACE: EvidenceKind
EVIDENCE_KIND_BODY: EvidenceKind

class Position(_message.Message):
    __slots__ = ("topic", "partition", "offset")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    topic: str
    partition: int
    offset: int
    def __init__(self, topic: _Optional[str] = ..., partition: _Optional[int] = ..., offset: _Optional[int] = ...) -> None: ...

class Box(_message.Message):
    __slots__ = ("x1", "y1", "x2", "y2")
    X1_FIELD_NUMBER: _ClassVar[int]
    Y1_FIELD_NUMBER: _ClassVar[int]
    X2_FIELD_NUMBER: _ClassVar[int]
    Y2_FIELD_NUMBER: _ClassVar[int]
    x1: float
    y1: float
    x2: float
    y2: float
    def __init__(self, x1: _Optional[float] = ..., y1: _Optional[float] = ..., x2: _Optional[float] = ..., y2: _Optional[float] = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ("camera_id", "site_id", "sequence", "captured_at_us", "jpeg", "width", "height", "motion_event_id", "first_in_event", "last_in_event", "live", "masks", "still")
    CAMERA_ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CAPTURED_AT_US_FIELD_NUMBER: _ClassVar[int]
    JPEG_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    MOTION_EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    FIRST_IN_EVENT_FIELD_NUMBER: _ClassVar[int]
    LAST_IN_EVENT_FIELD_NUMBER: _ClassVar[int]
    LIVE_FIELD_NUMBER: _ClassVar[int]
    MASKS_FIELD_NUMBER: _ClassVar[int]
    STILL_FIELD_NUMBER: _ClassVar[int]
    camera_id: str
    site_id: str
    sequence: int
    captured_at_us: int
    jpeg: bytes
    width: int
    height: int
    motion_event_id: str
    first_in_event: bool
    last_in_event: bool
    live: bool
    masks: _containers.RepeatedCompositeFieldContainer[Mask]
    still: bool
    def __init__(self, camera_id: _Optional[str] = ..., site_id: _Optional[str] = ..., sequence: _Optional[int] = ..., captured_at_us: _Optional[int] = ..., jpeg: _Optional[bytes] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., motion_event_id: _Optional[str] = ..., first_in_event: _Optional[bool] = ..., last_in_event: _Optional[bool] = ..., live: _Optional[bool] = ..., masks: _Optional[_Iterable[_Union[Mask, _Mapping]]] = ..., still: _Optional[bool] = ...) -> None: ...

class Mask(_message.Message):
    __slots__ = ("kinds", "points")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Mask.Kind]
        PEOPLE: _ClassVar[Mask.Kind]
        FACES: _ClassVar[Mask.Kind]
    KIND_UNSPECIFIED: Mask.Kind
    PEOPLE: Mask.Kind
    FACES: Mask.Kind
    KINDS_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    kinds: _containers.RepeatedScalarFieldContainer[Mask.Kind]
    points: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, kinds: _Optional[_Iterable[_Union[Mask.Kind, str]]] = ..., points: _Optional[_Iterable[float]] = ...) -> None: ...

class MotionEvent(_message.Message):
    __slots__ = ("event_id", "camera_id", "site_id", "kind", "at_us", "first_sequence", "last_sequence", "frames", "started_at_us")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[MotionEvent.Kind]
        STARTED: _ClassVar[MotionEvent.Kind]
        ENDED: _ClassVar[MotionEvent.Kind]
    KIND_UNSPECIFIED: MotionEvent.Kind
    STARTED: MotionEvent.Kind
    ENDED: MotionEvent.Kind
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    CAMERA_ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_US_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    camera_id: str
    site_id: str
    kind: MotionEvent.Kind
    at_us: int
    first_sequence: int
    last_sequence: int
    frames: int
    started_at_us: int
    def __init__(self, event_id: _Optional[str] = ..., camera_id: _Optional[str] = ..., site_id: _Optional[str] = ..., kind: _Optional[_Union[MotionEvent.Kind, str]] = ..., at_us: _Optional[int] = ..., first_sequence: _Optional[int] = ..., last_sequence: _Optional[int] = ..., frames: _Optional[int] = ..., started_at_us: _Optional[int] = ...) -> None: ...

class TrackBox(_message.Message):
    __slots__ = ("track_id", "track_number", "box", "score")
    TRACK_ID_FIELD_NUMBER: _ClassVar[int]
    TRACK_NUMBER_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    track_id: str
    track_number: int
    box: Box
    score: float
    def __init__(self, track_id: _Optional[str] = ..., track_number: _Optional[int] = ..., box: _Optional[_Union[Box, _Mapping]] = ..., score: _Optional[float] = ...) -> None: ...

class FrameTracks(_message.Message):
    __slots__ = ("camera_id", "site_id", "sequence", "captured_at_us", "frame", "width", "height", "motion_event_id", "last_in_event", "tracks", "skipped", "again")
    CAMERA_ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CAPTURED_AT_US_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    MOTION_EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    LAST_IN_EVENT_FIELD_NUMBER: _ClassVar[int]
    TRACKS_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    AGAIN_FIELD_NUMBER: _ClassVar[int]
    camera_id: str
    site_id: str
    sequence: int
    captured_at_us: int
    frame: Position
    width: int
    height: int
    motion_event_id: str
    last_in_event: bool
    tracks: _containers.RepeatedCompositeFieldContainer[TrackBox]
    skipped: bool
    again: bool
    def __init__(self, camera_id: _Optional[str] = ..., site_id: _Optional[str] = ..., sequence: _Optional[int] = ..., captured_at_us: _Optional[int] = ..., frame: _Optional[_Union[Position, _Mapping]] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., motion_event_id: _Optional[str] = ..., last_in_event: _Optional[bool] = ..., tracks: _Optional[_Iterable[_Union[TrackBox, _Mapping]]] = ..., skipped: _Optional[bool] = ..., again: _Optional[bool] = ...) -> None: ...

class FaceQuality(_message.Message):
    __slots__ = ("size_px", "sharpness", "frontality", "detector_score", "overall")
    SIZE_PX_FIELD_NUMBER: _ClassVar[int]
    SHARPNESS_FIELD_NUMBER: _ClassVar[int]
    FRONTALITY_FIELD_NUMBER: _ClassVar[int]
    DETECTOR_SCORE_FIELD_NUMBER: _ClassVar[int]
    OVERALL_FIELD_NUMBER: _ClassVar[int]
    size_px: float
    sharpness: float
    frontality: float
    detector_score: float
    overall: float
    def __init__(self, size_px: _Optional[float] = ..., sharpness: _Optional[float] = ..., frontality: _Optional[float] = ..., detector_score: _Optional[float] = ..., overall: _Optional[float] = ...) -> None: ...

class FaceObservation(_message.Message):
    __slots__ = ("observation_id", "track_id", "track_number", "epoch", "camera_id", "site_id", "motion_event_id", "sequence", "captured_at_us", "track_started_at_us", "frame", "width", "height", "track_box", "face_box", "quality", "pack", "embedding")
    OBSERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    TRACK_ID_FIELD_NUMBER: _ClassVar[int]
    TRACK_NUMBER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    CAMERA_ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    MOTION_EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CAPTURED_AT_US_FIELD_NUMBER: _ClassVar[int]
    TRACK_STARTED_AT_US_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    TRACK_BOX_FIELD_NUMBER: _ClassVar[int]
    FACE_BOX_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    PACK_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    observation_id: str
    track_id: str
    track_number: int
    epoch: int
    camera_id: str
    site_id: str
    motion_event_id: str
    sequence: int
    captured_at_us: int
    track_started_at_us: int
    frame: Position
    width: int
    height: int
    track_box: Box
    face_box: Box
    quality: FaceQuality
    pack: str
    embedding: bytes
    def __init__(self, observation_id: _Optional[str] = ..., track_id: _Optional[str] = ..., track_number: _Optional[int] = ..., epoch: _Optional[int] = ..., camera_id: _Optional[str] = ..., site_id: _Optional[str] = ..., motion_event_id: _Optional[str] = ..., sequence: _Optional[int] = ..., captured_at_us: _Optional[int] = ..., track_started_at_us: _Optional[int] = ..., frame: _Optional[_Union[Position, _Mapping]] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., track_box: _Optional[_Union[Box, _Mapping]] = ..., face_box: _Optional[_Union[Box, _Mapping]] = ..., quality: _Optional[_Union[FaceQuality, _Mapping]] = ..., pack: _Optional[str] = ..., embedding: _Optional[bytes] = ...) -> None: ...

class TrackEnded(_message.Message):
    __slots__ = ("track_id", "track_number", "camera_id", "site_id", "motion_event_id", "started_at_us", "ended_at_us", "frames", "observations")
    TRACK_ID_FIELD_NUMBER: _ClassVar[int]
    TRACK_NUMBER_FIELD_NUMBER: _ClassVar[int]
    CAMERA_ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    MOTION_EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_US_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_US_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    OBSERVATIONS_FIELD_NUMBER: _ClassVar[int]
    track_id: str
    track_number: int
    camera_id: str
    site_id: str
    motion_event_id: str
    started_at_us: int
    ended_at_us: int
    frames: int
    observations: int
    def __init__(self, track_id: _Optional[str] = ..., track_number: _Optional[int] = ..., camera_id: _Optional[str] = ..., site_id: _Optional[str] = ..., motion_event_id: _Optional[str] = ..., started_at_us: _Optional[int] = ..., ended_at_us: _Optional[int] = ..., frames: _Optional[int] = ..., observations: _Optional[int] = ...) -> None: ...

class FaceEvent(_message.Message):
    __slots__ = ("observation", "track_ended")
    OBSERVATION_FIELD_NUMBER: _ClassVar[int]
    TRACK_ENDED_FIELD_NUMBER: _ClassVar[int]
    observation: FaceObservation
    track_ended: TrackEnded
    def __init__(self, observation: _Optional[_Union[FaceObservation, _Mapping]] = ..., track_ended: _Optional[_Union[TrackEnded, _Mapping]] = ...) -> None: ...

class Snapshot(_message.Message):
    __slots__ = ("track_id", "epoch", "camera_id", "site_id", "captured_at_us", "frame", "jpeg", "quality")
    TRACK_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    CAMERA_ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    CAPTURED_AT_US_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    JPEG_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    track_id: str
    epoch: int
    camera_id: str
    site_id: str
    captured_at_us: int
    frame: Position
    jpeg: bytes
    quality: float
    def __init__(self, track_id: _Optional[str] = ..., epoch: _Optional[int] = ..., camera_id: _Optional[str] = ..., site_id: _Optional[str] = ..., captured_at_us: _Optional[int] = ..., frame: _Optional[_Union[Position, _Mapping]] = ..., jpeg: _Optional[bytes] = ..., quality: _Optional[float] = ...) -> None: ...

class Template(_message.Message):
    __slots__ = ("template_id", "pack", "vector", "quality", "track_id", "kind")
    TEMPLATE_ID_FIELD_NUMBER: _ClassVar[int]
    PACK_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    TRACK_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    template_id: str
    pack: str
    vector: bytes
    quality: float
    track_id: str
    kind: EvidenceKind
    def __init__(self, template_id: _Optional[str] = ..., pack: _Optional[str] = ..., vector: _Optional[bytes] = ..., quality: _Optional[float] = ..., track_id: _Optional[str] = ..., kind: _Optional[_Union[EvidenceKind, str]] = ...) -> None: ...

class GalleryPerson(_message.Message):
    __slots__ = ("person_id", "name", "status", "is_authorized", "templates", "revision")
    PERSON_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    IS_AUTHORIZED_FIELD_NUMBER: _ClassVar[int]
    TEMPLATES_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    person_id: str
    name: str
    status: str
    is_authorized: bool
    templates: _containers.RepeatedCompositeFieldContainer[Template]
    revision: int
    def __init__(self, person_id: _Optional[str] = ..., name: _Optional[str] = ..., status: _Optional[str] = ..., is_authorized: _Optional[bool] = ..., templates: _Optional[_Iterable[_Union[Template, _Mapping]]] = ..., revision: _Optional[int] = ...) -> None: ...

class Fact(_message.Message):
    __slots__ = ("calibration", "walking_time", "track", "person")
    CALIBRATION_FIELD_NUMBER: _ClassVar[int]
    WALKING_TIME_FIELD_NUMBER: _ClassVar[int]
    TRACK_FIELD_NUMBER: _ClassVar[int]
    PERSON_FIELD_NUMBER: _ClassVar[int]
    calibration: Calibration
    walking_time: WalkingTime
    track: TrackCorrection
    person: PersonCorrection
    def __init__(self, calibration: _Optional[_Union[Calibration, _Mapping]] = ..., walking_time: _Optional[_Union[WalkingTime, _Mapping]] = ..., track: _Optional[_Union[TrackCorrection, _Mapping]] = ..., person: _Optional[_Union[PersonCorrection, _Mapping]] = ...) -> None: ...

class Calibration(_message.Message):
    __slots__ = ("pack", "json")
    PACK_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    pack: str
    json: str
    def __init__(self, pack: _Optional[str] = ..., json: _Optional[str] = ...) -> None: ...

class WalkingTime(_message.Message):
    __slots__ = ("camera_a", "camera_b", "seconds")
    CAMERA_A_FIELD_NUMBER: _ClassVar[int]
    CAMERA_B_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    camera_a: str
    camera_b: str
    seconds: float
    def __init__(self, camera_a: _Optional[str] = ..., camera_b: _Optional[str] = ..., seconds: _Optional[float] = ...) -> None: ...

class TrackCorrection(_message.Message):
    __slots__ = ("track_id", "site_id", "global_id", "templates", "first_seen_us", "last_seen_us")
    TRACK_ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    GLOBAL_ID_FIELD_NUMBER: _ClassVar[int]
    TEMPLATES_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEEN_US_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_US_FIELD_NUMBER: _ClassVar[int]
    track_id: str
    site_id: str
    global_id: int
    templates: _containers.RepeatedCompositeFieldContainer[Template]
    first_seen_us: int
    last_seen_us: int
    def __init__(self, track_id: _Optional[str] = ..., site_id: _Optional[str] = ..., global_id: _Optional[int] = ..., templates: _Optional[_Iterable[_Union[Template, _Mapping]]] = ..., first_seen_us: _Optional[int] = ..., last_seen_us: _Optional[int] = ...) -> None: ...

class PersonCorrection(_message.Message):
    __slots__ = ("global_id", "merged_into", "not_same", "named", "forgotten", "erased", "erased_tracks")
    GLOBAL_ID_FIELD_NUMBER: _ClassVar[int]
    MERGED_INTO_FIELD_NUMBER: _ClassVar[int]
    NOT_SAME_FIELD_NUMBER: _ClassVar[int]
    NAMED_FIELD_NUMBER: _ClassVar[int]
    FORGOTTEN_FIELD_NUMBER: _ClassVar[int]
    ERASED_FIELD_NUMBER: _ClassVar[int]
    ERASED_TRACKS_FIELD_NUMBER: _ClassVar[int]
    global_id: int
    merged_into: int
    not_same: _containers.RepeatedScalarFieldContainer[int]
    named: bool
    forgotten: bool
    erased: bool
    erased_tracks: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, global_id: _Optional[int] = ..., merged_into: _Optional[int] = ..., not_same: _Optional[_Iterable[int]] = ..., named: _Optional[bool] = ..., forgotten: _Optional[bool] = ..., erased: _Optional[bool] = ..., erased_tracks: _Optional[_Iterable[str]] = ...) -> None: ...

class Sighting(_message.Message):
    __slots__ = ("sighting_id", "status", "track_id", "track_number", "epoch", "camera_id", "site_id", "motion_event_id", "global_id", "person_id", "name", "is_authorized", "score", "threshold", "confidence", "shots", "runner_up", "runner_up_score", "pack", "gallery_revision", "reason", "first_seen_us", "decided_at_us", "frame", "width", "height", "track_box", "face_box", "face_quality", "template", "candidate", "candidate_score", "wanted_rate", "gallery_people", "calibration", "observation_id", "again", "evidence_kind")
    class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATUS_UNSPECIFIED: _ClassVar[Sighting.Status]
        PROVISIONAL: _ClassVar[Sighting.Status]
        CONFIRMED: _ClassVar[Sighting.Status]
        CHANGED: _ClassVar[Sighting.Status]
        ENDED: _ClassVar[Sighting.Status]
    STATUS_UNSPECIFIED: Sighting.Status
    PROVISIONAL: Sighting.Status
    CONFIRMED: Sighting.Status
    CHANGED: Sighting.Status
    ENDED: Sighting.Status
    SIGHTING_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    TRACK_ID_FIELD_NUMBER: _ClassVar[int]
    TRACK_NUMBER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    CAMERA_ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    MOTION_EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    GLOBAL_ID_FIELD_NUMBER: _ClassVar[int]
    PERSON_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    IS_AUTHORIZED_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    SHOTS_FIELD_NUMBER: _ClassVar[int]
    RUNNER_UP_FIELD_NUMBER: _ClassVar[int]
    RUNNER_UP_SCORE_FIELD_NUMBER: _ClassVar[int]
    PACK_FIELD_NUMBER: _ClassVar[int]
    GALLERY_REVISION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEEN_US_FIELD_NUMBER: _ClassVar[int]
    DECIDED_AT_US_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    TRACK_BOX_FIELD_NUMBER: _ClassVar[int]
    FACE_BOX_FIELD_NUMBER: _ClassVar[int]
    FACE_QUALITY_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_SCORE_FIELD_NUMBER: _ClassVar[int]
    WANTED_RATE_FIELD_NUMBER: _ClassVar[int]
    GALLERY_PEOPLE_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_FIELD_NUMBER: _ClassVar[int]
    OBSERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    AGAIN_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_KIND_FIELD_NUMBER: _ClassVar[int]
    sighting_id: str
    status: Sighting.Status
    track_id: str
    track_number: int
    epoch: int
    camera_id: str
    site_id: str
    motion_event_id: str
    global_id: int
    person_id: str
    name: str
    is_authorized: bool
    score: float
    threshold: float
    confidence: float
    shots: int
    runner_up: str
    runner_up_score: float
    pack: str
    gallery_revision: int
    reason: str
    first_seen_us: int
    decided_at_us: int
    frame: Position
    width: int
    height: int
    track_box: Box
    face_box: Box
    face_quality: float
    template: bytes
    candidate: str
    candidate_score: float
    wanted_rate: float
    gallery_people: int
    calibration: str
    observation_id: str
    again: bool
    evidence_kind: EvidenceKind
    def __init__(self, sighting_id: _Optional[str] = ..., status: _Optional[_Union[Sighting.Status, str]] = ..., track_id: _Optional[str] = ..., track_number: _Optional[int] = ..., epoch: _Optional[int] = ..., camera_id: _Optional[str] = ..., site_id: _Optional[str] = ..., motion_event_id: _Optional[str] = ..., global_id: _Optional[int] = ..., person_id: _Optional[str] = ..., name: _Optional[str] = ..., is_authorized: _Optional[bool] = ..., score: _Optional[float] = ..., threshold: _Optional[float] = ..., confidence: _Optional[float] = ..., shots: _Optional[int] = ..., runner_up: _Optional[str] = ..., runner_up_score: _Optional[float] = ..., pack: _Optional[str] = ..., gallery_revision: _Optional[int] = ..., reason: _Optional[str] = ..., first_seen_us: _Optional[int] = ..., decided_at_us: _Optional[int] = ..., frame: _Optional[_Union[Position, _Mapping]] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., track_box: _Optional[_Union[Box, _Mapping]] = ..., face_box: _Optional[_Union[Box, _Mapping]] = ..., face_quality: _Optional[float] = ..., template: _Optional[bytes] = ..., candidate: _Optional[str] = ..., candidate_score: _Optional[float] = ..., wanted_rate: _Optional[float] = ..., gallery_people: _Optional[int] = ..., calibration: _Optional[str] = ..., observation_id: _Optional[str] = ..., again: _Optional[bool] = ..., evidence_kind: _Optional[_Union[EvidenceKind, str]] = ...) -> None: ...

class DeadLetter(_message.Message):
    __slots__ = ("source", "key", "value", "service", "reason", "detail", "failed_at_us", "stack", "headers", "timestamp_ms", "run")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    FAILED_AT_US_FIELD_NUMBER: _ClassVar[int]
    STACK_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    source: Position
    key: bytes
    value: bytes
    service: str
    reason: str
    detail: str
    failed_at_us: int
    stack: str
    headers: _containers.RepeatedCompositeFieldContainer[Header]
    timestamp_ms: int
    run: str
    def __init__(self, source: _Optional[_Union[Position, _Mapping]] = ..., key: _Optional[bytes] = ..., value: _Optional[bytes] = ..., service: _Optional[str] = ..., reason: _Optional[str] = ..., detail: _Optional[str] = ..., failed_at_us: _Optional[int] = ..., stack: _Optional[str] = ..., headers: _Optional[_Iterable[_Union[Header, _Mapping]]] = ..., timestamp_ms: _Optional[int] = ..., run: _Optional[str] = ...) -> None: ...

class Header(_message.Message):
    __slots__ = ("key", "value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: bytes
    def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...

class VisionState(_message.Message):
    __slots__ = ("version", "camera_id", "next_offset", "event_id", "last_us", "detected_us", "outline", "origin_us", "tracker_seconds", "next_number", "tracklets", "tracks", "visible", "site_id")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CAMERA_ID_FIELD_NUMBER: _ClassVar[int]
    NEXT_OFFSET_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    LAST_US_FIELD_NUMBER: _ClassVar[int]
    DETECTED_US_FIELD_NUMBER: _ClassVar[int]
    OUTLINE_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_US_FIELD_NUMBER: _ClassVar[int]
    TRACKER_SECONDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_NUMBER_FIELD_NUMBER: _ClassVar[int]
    TRACKLETS_FIELD_NUMBER: _ClassVar[int]
    TRACKS_FIELD_NUMBER: _ClassVar[int]
    VISIBLE_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    version: int
    camera_id: str
    next_offset: int
    event_id: str
    last_us: int
    detected_us: int
    outline: bytes
    origin_us: int
    tracker_seconds: float
    next_number: int
    tracklets: _containers.RepeatedCompositeFieldContainer[Tracklet]
    tracks: _containers.RepeatedCompositeFieldContainer[FollowedTrack]
    visible: _containers.RepeatedCompositeFieldContainer[VisibleTrack]
    site_id: str
    def __init__(self, version: _Optional[int] = ..., camera_id: _Optional[str] = ..., next_offset: _Optional[int] = ..., event_id: _Optional[str] = ..., last_us: _Optional[int] = ..., detected_us: _Optional[int] = ..., outline: _Optional[bytes] = ..., origin_us: _Optional[int] = ..., tracker_seconds: _Optional[float] = ..., next_number: _Optional[int] = ..., tracklets: _Optional[_Iterable[_Union[Tracklet, _Mapping]]] = ..., tracks: _Optional[_Iterable[_Union[FollowedTrack, _Mapping]]] = ..., visible: _Optional[_Iterable[_Union[VisibleTrack, _Mapping]]] = ..., site_id: _Optional[str] = ...) -> None: ...

class Tracklet(_message.Message):
    __slots__ = ("number", "age", "unseen", "unseen_seconds", "seen_in_a_row", "state", "covariance")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    AGE_FIELD_NUMBER: _ClassVar[int]
    UNSEEN_FIELD_NUMBER: _ClassVar[int]
    UNSEEN_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SEEN_IN_A_ROW_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    COVARIANCE_FIELD_NUMBER: _ClassVar[int]
    number: int
    age: int
    unseen: int
    unseen_seconds: float
    seen_in_a_row: int
    state: bytes
    covariance: bytes
    def __init__(self, number: _Optional[int] = ..., age: _Optional[int] = ..., unseen: _Optional[int] = ..., unseen_seconds: _Optional[float] = ..., seen_in_a_row: _Optional[int] = ..., state: _Optional[bytes] = ..., covariance: _Optional[bytes] = ...) -> None: ...

class FollowedTrack(_message.Message):
    __slots__ = ("number", "track_id", "started_us", "seen_us", "frames", "epoch", "shots", "turned", "total", "misses", "next_look_us", "settled_until_us", "snapshot_quality")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TRACK_ID_FIELD_NUMBER: _ClassVar[int]
    STARTED_US_FIELD_NUMBER: _ClassVar[int]
    SEEN_US_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SHOTS_FIELD_NUMBER: _ClassVar[int]
    TURNED_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    MISSES_FIELD_NUMBER: _ClassVar[int]
    NEXT_LOOK_US_FIELD_NUMBER: _ClassVar[int]
    SETTLED_UNTIL_US_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_QUALITY_FIELD_NUMBER: _ClassVar[int]
    number: int
    track_id: str
    started_us: int
    seen_us: int
    frames: int
    epoch: int
    shots: int
    turned: int
    total: int
    misses: int
    next_look_us: int
    settled_until_us: int
    snapshot_quality: float
    def __init__(self, number: _Optional[int] = ..., track_id: _Optional[str] = ..., started_us: _Optional[int] = ..., seen_us: _Optional[int] = ..., frames: _Optional[int] = ..., epoch: _Optional[int] = ..., shots: _Optional[int] = ..., turned: _Optional[int] = ..., total: _Optional[int] = ..., misses: _Optional[int] = ..., next_look_us: _Optional[int] = ..., settled_until_us: _Optional[int] = ..., snapshot_quality: _Optional[float] = ...) -> None: ...

class VisibleTrack(_message.Message):
    __slots__ = ("number", "box", "score")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    number: int
    box: Box
    score: float
    def __init__(self, number: _Optional[int] = ..., box: _Optional[_Union[Box, _Mapping]] = ..., score: _Optional[float] = ...) -> None: ...

class Crop(_message.Message):
    __slots__ = ("crop_id", "camera_id", "site_id", "track_number", "captured_at_us", "jpeg", "track_ended", "decided_track_id", "reply")
    CROP_ID_FIELD_NUMBER: _ClassVar[int]
    CAMERA_ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    TRACK_NUMBER_FIELD_NUMBER: _ClassVar[int]
    CAPTURED_AT_US_FIELD_NUMBER: _ClassVar[int]
    JPEG_FIELD_NUMBER: _ClassVar[int]
    TRACK_ENDED_FIELD_NUMBER: _ClassVar[int]
    DECIDED_TRACK_ID_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    crop_id: str
    camera_id: str
    site_id: str
    track_number: int
    captured_at_us: int
    jpeg: bytes
    track_ended: bool
    decided_track_id: str
    reply: bool
    def __init__(self, crop_id: _Optional[str] = ..., camera_id: _Optional[str] = ..., site_id: _Optional[str] = ..., track_number: _Optional[int] = ..., captured_at_us: _Optional[int] = ..., jpeg: _Optional[bytes] = ..., track_ended: _Optional[bool] = ..., decided_track_id: _Optional[str] = ..., reply: _Optional[bool] = ...) -> None: ...

class CropOutcome(_message.Message):
    __slots__ = ("crop_id", "camera_id", "site_id", "captured_at_us", "crop", "track_id", "track_number", "observation_id", "refusal", "face_px", "next_look_us")
    CROP_ID_FIELD_NUMBER: _ClassVar[int]
    CAMERA_ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    CAPTURED_AT_US_FIELD_NUMBER: _ClassVar[int]
    CROP_FIELD_NUMBER: _ClassVar[int]
    TRACK_ID_FIELD_NUMBER: _ClassVar[int]
    TRACK_NUMBER_FIELD_NUMBER: _ClassVar[int]
    OBSERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    FACE_PX_FIELD_NUMBER: _ClassVar[int]
    NEXT_LOOK_US_FIELD_NUMBER: _ClassVar[int]
    crop_id: str
    camera_id: str
    site_id: str
    captured_at_us: int
    crop: Position
    track_id: str
    track_number: int
    observation_id: str
    refusal: str
    face_px: float
    next_look_us: int
    def __init__(self, crop_id: _Optional[str] = ..., camera_id: _Optional[str] = ..., site_id: _Optional[str] = ..., captured_at_us: _Optional[int] = ..., crop: _Optional[_Union[Position, _Mapping]] = ..., track_id: _Optional[str] = ..., track_number: _Optional[int] = ..., observation_id: _Optional[str] = ..., refusal: _Optional[str] = ..., face_px: _Optional[float] = ..., next_look_us: _Optional[int] = ...) -> None: ...

class CropTrackState(_message.Message):
    __slots__ = ("version", "camera_id", "site_id", "motion_event_id", "next_offset", "track")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CAMERA_ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    MOTION_EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    NEXT_OFFSET_FIELD_NUMBER: _ClassVar[int]
    TRACK_FIELD_NUMBER: _ClassVar[int]
    version: int
    camera_id: str
    site_id: str
    motion_event_id: str
    next_offset: int
    track: FollowedTrack
    def __init__(self, version: _Optional[int] = ..., camera_id: _Optional[str] = ..., site_id: _Optional[str] = ..., motion_event_id: _Optional[str] = ..., next_offset: _Optional[int] = ..., track: _Optional[_Union[FollowedTrack, _Mapping]] = ...) -> None: ...

class TrackState(_message.Message):
    __slots__ = ("track_id", "site_id", "shots", "decided", "holds", "holds_by", "waits_for", "ended_at_us", "face")
    TRACK_ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    SHOTS_FIELD_NUMBER: _ClassVar[int]
    DECIDED_FIELD_NUMBER: _ClassVar[int]
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    HOLDS_BY_FIELD_NUMBER: _ClassVar[int]
    WAITS_FOR_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_US_FIELD_NUMBER: _ClassVar[int]
    FACE_FIELD_NUMBER: _ClassVar[int]
    track_id: str
    site_id: str
    shots: _containers.RepeatedCompositeFieldContainer[FaceObservation]
    decided: Sighting
    holds: int
    holds_by: float
    waits_for: _containers.RepeatedScalarFieldContainer[int]
    ended_at_us: int
    face: bytes
    def __init__(self, track_id: _Optional[str] = ..., site_id: _Optional[str] = ..., shots: _Optional[_Iterable[_Union[FaceObservation, _Mapping]]] = ..., decided: _Optional[_Union[Sighting, _Mapping]] = ..., holds: _Optional[int] = ..., holds_by: _Optional[float] = ..., waits_for: _Optional[_Iterable[int]] = ..., ended_at_us: _Optional[int] = ..., face: _Optional[bytes] = ...) -> None: ...

class UnknownPerson(_message.Message):
    __slots__ = ("global_id", "site_id", "founder_track_id", "templates", "first_seen_us", "last_seen_us", "last_camera_id")
    GLOBAL_ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    FOUNDER_TRACK_ID_FIELD_NUMBER: _ClassVar[int]
    TEMPLATES_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEEN_US_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_US_FIELD_NUMBER: _ClassVar[int]
    LAST_CAMERA_ID_FIELD_NUMBER: _ClassVar[int]
    global_id: int
    site_id: str
    founder_track_id: str
    templates: _containers.RepeatedCompositeFieldContainer[Template]
    first_seen_us: int
    last_seen_us: int
    last_camera_id: str
    def __init__(self, global_id: _Optional[int] = ..., site_id: _Optional[str] = ..., founder_track_id: _Optional[str] = ..., templates: _Optional[_Iterable[_Union[Template, _Mapping]]] = ..., first_seen_us: _Optional[int] = ..., last_seen_us: _Optional[int] = ..., last_camera_id: _Optional[str] = ...) -> None: ...
