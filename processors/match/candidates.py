"""Contract between the pure decision step and the search for candidates.

The step (`processors.match.decision.step`) never searches. It returns a `CandidateQuery` for a
track whose candidates it lacks, gets a `CandidateAnswer`, and is finished with all answers so far
(`processors.match.site_matcher`). Its first query is always that of the event's own track;
further ones are for open tracks beside it that have to be decided again because of it (rematch).
A track is asked about at most once for an event, so the answers of an event are a function of the
event and the state before it: a remote search writes them as records, and a replay reads those.

An implementation of `CandidateSearch` promises, for every query:

- People: `enrolled` are the enrolled people, `unknown` the unknown persons of the site that are
  searchable (not enrolled, not forgotten), each with templates of the query's kind and model pack.
  Nothing else of the people's state decides who is in an answer.
- Number: the best `MAX_CANDIDATES` of either population; all of them where there are fewer. People
  named in `query.always` follow wherever they have templates, however low their score.
- Own template: the template `query.template_id` of the track `query.track_id` does not count, since
  an unknown person would be recognised by the very track that is asked about. A person with other
  templates is scored by these.
- Order and ties: by falling score; equal scores by key in string order.
- Scores: `sightline.identity.evidence.score_of` of the person's own templates. A score depends on
  the query and that person alone, never on who else is searched.
- `people` is the number of people that the population has with templates of the pack: thresholds
  follow from it.
- Time: the answer is that of the galleries as they are before the event's changes. Nothing that a
  step returns is searched before it is applied.
- Speed: a search returns at once and calls nobody. A search on another machine runs in a service
  of its own, before the matcher; its implementation here looks up that service's records.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sightline.identity.evidence import Evidence

MAX_CANDIDATES = 5
"""Candidates of a population in an answer: the best, the second, and some to look at."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A person that a search returns."""

    key: str
    """Person id of an enrolled person, decimal global id of an unknown person."""
    score: float
    """Similarity to the evidence of the track, -1 to 1."""


@dataclass(frozen=True, slots=True, eq=False)
class CandidateQuery:
    """Question for the people who are most like a track."""

    track_id: str
    template_id: str
    """Id of the template that a stored person may have of this very track and epoch."""
    pack: str
    """Id of the model pack of the evidence."""
    evidence: Evidence
    always: tuple[str, ...] = ()
    """Keys of people whose scores are needed, however low."""


@dataclass(frozen=True, slots=True)
class Population:
    """Candidates among the people of one population."""

    candidates: Sequence[Candidate]
    """Best first."""
    people: int
    """Number of people that were searched."""


@dataclass(frozen=True, slots=True, eq=False)
class CandidateAnswer:
    """Candidates for a track."""

    query: CandidateQuery
    enrolled: Population
    unknown: Population


class CandidateSearch(Protocol):
    """Search for the people whom a track may be; the module says what it promises."""

    def check(self, pack: str, embedding: bytes) -> None:
        """Refuse an embedding that cannot be compared with the galleries.

        Raises:
            InvalidRecord: Not a unit vector, or not of the pack's dimension.
        """

    def search(self, query: CandidateQuery) -> CandidateAnswer:
        """Return the candidates for a track.

        Raises:
            InvalidRecord: Evidence that cannot be compared with the galleries.
        """
