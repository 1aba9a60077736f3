"""Who is enrolled, by a pack that live does not use: templates of the stored photos, made for one
run alone."""

import logging

from processors.match.known import Known
from schemas import sightline_pb2 as pb
from sightline.errors import SightlineError
from sightline.people import records
from sightline.people.photos import examine
from sightline.replay import record as runs
from sightline.replay.record import Run
from sightline.settings import Settings
from sightline.store.db import Connection
from sightline.store.objects import open_store
from sightline.vision.packs import load_pack

log = logging.getLogger(__name__)


def add_templates(settings: Settings, db: Connection, run: Run, known: Known) -> None:
    """Let a run's pack know everybody whose photos it can use; nobody else hears of it.

    The photos that it cannot use are noted with the run.
    """
    pack, store = load_pack(settings), open_store(settings)
    refused = 0
    cursor = db.cursor()
    for person in records.everybody(cursor):
        if known.gallery.person(str(person)) is None:
            continue  # live does not know them yet
        has = set(records.photo_urls(cursor, person, pack.id))
        looks = []
        for key in records.photo_urls(cursor, person):
            if key in has:
                continue
            try:
                looks.append(examine(store.get(key), key, pack, settings))
            except SightlineError as error:
                log.warning("match-run: %s", error)
                refused += 1
        told = records.told(cursor, person)
        told.templates.extend(
            pb.Template(
                template_id=one.label,
                pack=pack.id,
                vector=one.vector.astype("<f4").tobytes(),
                quality=one.quality,
            )
            for one in looks
        )
        known.gallery.put(told)
    if refused:
        runs.remark(db, run.name, f"{refused} photos of enrolled people are none for {pack.id}")
