"""Who is enrolled, by a pack that live does not use: templates of the stored photos, made for one
run alone."""

import logging

from processors.match.known import Known
from schemas import sightline_pb2 as pb
from sightline.models.packs import load_pack
from sightline.people import employees
from sightline.people.photos import examine
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings
from sightline.storage import runs
from sightline.storage.db import Connection
from sightline.storage.objects import open_store
from sightline.storage.runs import Run

log = logging.getLogger(__name__)


def add_templates(settings: Settings, db: Connection, run: Run, known: Known) -> None:
    """Let a run's pack know everybody whose photos it can use; nobody else hears of it.

    The photos that it cannot use are noted with the run.
    """
    pack, store = load_pack(settings), open_store(settings)
    refused = 0
    cursor = db.cursor()
    for person in employees.everybody(cursor):
        if known.gallery.person(str(person)) is None:
            continue  # live does not know them yet
        has = set(employees.photo_urls(cursor, person, pack.id))
        looks = []
        for key in employees.photo_urls(cursor, person):
            if key in has:
                continue
            try:
                looks.append(examine(store.get(key), key, pack, settings))
            except SightlineError as error:
                log.warning("match-run: %s", error)
                refused += 1
        told = employees.told(cursor, person)
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
