"""Sites of a worker: restored from the state table, kept current, cleared of erased people."""

import asyncio
from collections.abc import Iterable

from processors.match.faust_runtime.faust_rules import StateTable
from processors.match.index.gallery import GalleryIndex
from processors.match.reference.identity_corrections import AffectedIdentities
from processors.match.reference.reference_data import ReferenceData
from processors.match.site_matcher import SiteMatcher
from processors.match.state.site_state import SiteState, load


class Sites:
    """Sites by id. A task changes their state only while it holds `lock`."""

    def __init__(self, reference: ReferenceData, gallery: GalleryIndex, table: StateTable) -> None:
        self.lock = asyncio.Lock()
        self._reference = reference
        self._gallery = gallery
        self._table = table
        self._sites: dict[str, SiteMatcher] | None = None
        self._is_recovered = False
        self._erasure_due = asyncio.Event()

    def loaded(self) -> Iterable[SiteMatcher]:
        """Return the sites that are in memory."""
        return (self._sites or {}).values()

    def site(self, site_id: str) -> SiteMatcher:
        """Return a site, a new one where there is none."""
        sites = self._all()
        if site_id not in sites:
            sites[site_id] = self._matcher(SiteState(site_id, self._reference))
        return sites[site_id]

    def assigned(self) -> None:
        """Forget all sites after a rebalance: the table has been recovered."""
        self._sites = None
        self._is_recovered = True
        self._erasure_due.set()

    def refresh(self, affected: AffectedIdentities) -> None:
        """Follow a change of the reference data."""
        for site in self.loaded():
            site.state.unknown_persons.refresh(affected)
        if self._is_recovered and any(map(self._reference.corrections.is_erased, affected.people)):
            self._erasure_due.set()

    async def erase(self) -> None:
        """Remove erased people: after each recovery, and after each new erasure; for ever.

        Raises:
            KafkaError: Not stored.
        """
        while True:
            await self._erasure_due.wait()
            self._erasure_due.clear()
            async with self.lock:
                for site_id, site in self._all().items():
                    changes = site.state.erased()
                    entries = list(changes.records(site_id))
                    for partition, part in self._table.by_partition(entries).items():
                        await self._table.store(partition, part)
                    site.state.apply(changes)

    def _all(self) -> dict[str, SiteMatcher]:
        if self._sites is None:
            states = load(self._table.entries(), self._reference)
            self._sites = {site_id: self._matcher(state) for site_id, state in states.items()}
        return self._sites

    def _matcher(self, state: SiteState) -> SiteMatcher:
        return SiteMatcher(state, self._reference, self._gallery)
