"""The archive of the broker's classes: of one JVM and its jars, whole or not there."""

import os
from pathlib import Path

from ops.local_stack import class_archive


def test_another_build_of_java_and_other_jars_have_an_archive_of_their_own(tmp_path: Path) -> None:
    java, jars = tmp_path / "java", tmp_path / "kafka-1"
    java.write_text("one")
    first = class_archive.archive_path(str(java), jars)
    assert first.parent == jars.parent
    assert class_archive.archive_path(str(java), jars) == first
    assert class_archive.archive_path(str(java), tmp_path / "kafka-2") != first
    os.utime(java, ns=(0, 0))
    assert class_archive.archive_path(str(java), jars) != first


def test_an_archive_is_read_once_it_has_been_published(tmp_path: Path) -> None:
    draft, archive = tmp_path / "classes.jsa", tmp_path / "cache" / "kafka.jsa"
    draft.write_text("classes")
    assert class_archive.is_writing(class_archive.writing_options(draft))
    class_archive.publish(draft, archive)  # no such folder: as little as into a read-only one
    assert class_archive.reading_options(archive) == []
    archive.parent.mkdir()
    class_archive.publish(draft, archive)
    assert archive.read_text() == "classes"
    assert list(archive.parent.iterdir()) == [archive]
    options = class_archive.reading_options(archive)
    assert f"-XX:SharedArchiveFile={archive}" in options
    assert not class_archive.is_writing(options)
