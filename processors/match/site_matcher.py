"""A site with its candidate search: answers are collected before the step that uses them."""

from processors.match.candidates import CandidateAnswer, CandidateQuery, CandidateSearch
from processors.match.decision.identification import DecisionRules
from processors.match.decision.step import Step, begin, inner_of
from processors.match.index.candidate_search import IndexSearch
from processors.match.index.gallery import GalleryIndex
from processors.match.index.unknown_person_index import UnknownPersonIndex
from processors.match.reference.reference_data import ReferenceData
from processors.match.state.site_state import SiteState
from schemas import sightline_pb2 as pb


class SiteMatcher:
    """State of a site, and the search among the people that it may see."""

    def __init__(self, state: SiteState, reference: ReferenceData, gallery: GalleryIndex) -> None:
        self.state = state
        self.unknown_index = UnknownPersonIndex(state.unknown_persons, reference, gallery)
        self._reference = reference
        self._search = IndexSearch(gallery, self.unknown_index)

    def decide(
        self,
        event: pb.FaceEvent,
        rules: DecisionRules,
        *,
        redelivered_from: int,
        latest_us: int | None = None,
    ) -> Step:
        """Decide an event; nothing is changed before the step's changes are applied.

        Args:
            event: An observation, or the end of a track.
            rules: Settings of the decision.
            redelivered_from: Source offset from which on events may be delivered again.
            latest_us: Time that no capture time can be beyond; of a camera whose clock is beyond
                nobody is forgotten.

        Raises:
            InvalidRecord: An embedding that cannot be compared.
        """
        return decide_event(
            event, self.state, self._reference, rules, self._search,
            redelivered_from=redelivered_from, latest_us=latest_us,
        )  # fmt: skip


def decide_event(
    event: pb.FaceEvent,
    state: SiteState,
    reference: ReferenceData,
    rules: DecisionRules,
    search: CandidateSearch,
    *,
    redelivered_from: int,
    latest_us: int | None = None,
) -> Step:
    """Search the candidates that the step asks for, and finish it with them.

    Nothing comes of the events of an erased track.

    Raises:
        InvalidRecord: An embedding that cannot be compared.
    """
    if reference.corrections.is_erased_track(inner_of(event).track_id):
        return Step()
    if event.HasField("observation"):
        search.check(event.observation.pack, event.observation.embedding)
    begun = begin(
        event, state, reference, rules, redelivered_from=redelivered_from, latest_us=latest_us
    )
    if isinstance(begun, Step):
        return begun
    answers: dict[str, CandidateAnswer] = {}
    while isinstance(outcome := begun.finish(answers), CandidateQuery):
        answers[outcome.track_id] = search.search(outcome)
    return outcome
