"""What matching makes of the parts of a split track: each is somebody's, one after the other."""

from collections.abc import Sequence
from uuid import UUID

from processors.match.embedding_codec import encode_embedding
from schemas import sightline_pb2 as pb
from tests.match_support import Site
from tests.unit.test_track_verification import ADA, BOB, HERE, crossing
from tests.unit.verification_support import Body, Film, Scene, embedding_of

NAMES = {ADA: "Ada", BOB: "Bob"}


def enrolled(person: int) -> pb.GalleryPerson:
    template = pb.Template(
        template_id=str(UUID(int=person)), pack="test", quality=0.9,
        vector=encode_embedding(embedding_of(person)),
    )  # fmt: skip
    return pb.GalleryPerson(
        person_id=str(UUID(int=person)), name=NAMES[person], status="active", is_authorized=True,
        revision=1, templates=[template],
    )  # fmt: skip


def sightings(scene: Scene, seconds: float, people: Sequence[int] = (ADA,)) -> list[pb.Sighting]:
    """The last sighting of each track of a film, in order of their begin."""
    film = Film(scene).play(seconds)
    site = Site(*(enrolled(person) for person in people))
    last: dict[str, pb.Sighting] = {}
    for event in film.events():
        for sighting in site.take(event):
            last[sighting.track_id] = sighting
    return sorted(last.values(), key=lambda sighting: sighting.first_seen_us)


def test_whoever_steps_into_a_known_persons_place_has_an_id_of_their_own() -> None:
    def scene(now: float) -> list[Body]:
        if now < 4:
            return [Body(HERE, ADA)]
        return [] if now < 5 else [Body(HERE, BOB)]

    ada, bob = sightings(scene, 9)
    assert (ada.name, ada.status) == ("Ada", pb.Sighting.ENDED)
    assert (bob.name, bob.status) == ("", pb.Sighting.ENDED)
    assert bob.global_id not in (0, ada.global_id)
    assert bob.first_seen_us > ada.decided_at_us


def test_a_part_of_a_track_may_be_the_person_of_an_earlier_part() -> None:
    def scene(now: float) -> list[Body]:
        return [Body(HERE, BOB if 5 <= now < 12 else ADA)]

    first, between, again = sightings(scene, 20)
    assert (first.name, between.name, again.name) == ("Ada", "", "Ada")
    assert len({first.track_id, between.track_id, again.track_id}) == 3
    assert between.global_id not in (0, first.global_id)


def test_of_two_people_who_cross_no_name_moves_and_no_row_comes() -> None:
    both = sightings(lambda now: crossing(now, exchanged=True), 9, (ADA, BOB))
    assert sorted(sighting.name for sighting in both) == ["Ada", "Bob"]
