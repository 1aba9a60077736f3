"""Gallery of a run whose pack live does not use: templates of the stored photos, for it alone."""

import logging

from processors.match.embedding_codec import encode_embedding
from processors.match.index.gallery import GalleryIndex
from schemas import sightline_pb2 as pb
from sightline.models.packs import load_pack
from sightline.people import employees
from sightline.people.photos import template_of_jpeg
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings
from sightline.storage import runs
from sightline.storage.db import Connection
from sightline.storage.objects import open_store
from sightline.storage.runs import Run

log = logging.getLogger(__name__)


def add_templates(settings: Settings, db: Connection, run: Run, gallery: GalleryIndex) -> None:
    """Add templates of the run's pack for every enrolled person whose photos it can use.

    They are published nowhere. Photos that it cannot use are noted with the run.
    """
    pack, store = load_pack(settings), open_store(settings)
    rejected = 0
    cursor = db.cursor()
    for person in employees.employee_ids(cursor):
        if gallery.enrolled.person(str(person)) is None:
            continue  # the topic does not have them yet
        embedded = set(employees.photo_urls(cursor, person, pack.id))
        photos = []
        for url in employees.photo_urls(cursor, person):
            if url in embedded:
                continue
            try:
                photos.append(template_of_jpeg(store.get(url), url, pack, settings))
            except SightlineError as error:
                log.warning("match-run: %s", error)
                rejected += 1
        record = employees.gallery_message(cursor, person)
        record.templates.extend(
            pb.Template(
                template_id=photo.label,
                pack=pack.id,
                vector=encode_embedding(photo.embedding),
                quality=photo.quality,
            )
            for photo in photos
        )
        gallery.put(record)
    if rejected:
        runs.set_detail(
            db, run.name, f"{rejected} photos of enrolled people are none for {pack.id}"
        )
