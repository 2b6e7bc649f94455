# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The events and the records of a stream in Airflow's object storage."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from airflow.sdk import ObjectStoragePath

from airflow_provider_hooks.exceptions import RecordError, ValidationError
from airflow_provider_hooks.sanitize import escape
from airflow_provider_hooks.stream.records import RecordFolder
from airflow_provider_hooks.stream.sources import FileSource, IterableSource

if TYPE_CHECKING:
    from typing import BinaryIO

    from airflow.sdk import Context

    from airflow_provider_hooks.stream.records import Folder
    from airflow_provider_hooks.stream.sources import Shard, Source

_MAX_FOLDER_CHARACTERS, _DIGEST_CHARACTERS = 240, 16
"""Linux allows 255 bytes for a name. ``quote`` escapes ``!``, so no other name has one."""

Events = str | ObjectStoragePath | Iterable[Mapping[str, object]] | Callable[[], Iterable[Mapping[str, object]]]
"""Where events come from: a file of JSON Lines, an iterable, or a function that returns one."""


def open_source(events: Events, shard: Shard) -> Source:
    """
    Return the source of the events.

    :raises ValidationError: if there is no such file, or these are no events
    """
    if isinstance(events, str | ObjectStoragePath):
        path = ObjectStoragePath(events)
        if not path.is_file():
            raise ValidationError("events", {"events": f"there is no file {path}"})
        return FileSource(
            open_file=lambda: cast("BinaryIO", path.open("rb")),  # type: ignore[no-untyped-call]  # as in Airflow
            size=path.stat().st_size,
            version=str(path.checksum()),
            shard=shard,
        )
    if callable(events):
        return IterableSource(make=events, shard=shard)
    if not isinstance(events, Iterable) or isinstance(events, Mapping | bytes):
        message = "must be a file, a list, or a function that returns the same events each time"
        raise ValidationError("events", {"events": message})
    stored = list(events) if iter(events) is events else events  # an iterator can be read only once
    return IterableSource(make=lambda: stored, shard=shard)


def make_records(records_path: str, context: Context, *, generation: str) -> RecordFolder:
    """Return the folder for the records of a task instance and generation, within the folder that the user gave."""
    ti = context["ti"]
    path = ObjectStoragePath(records_path)
    for name in (ti.dag_id, ti.run_id, ti.task_id, str(ti.map_index), f"generation-{generation}"):
        path /= _name_folder(name)
    return RecordFolder(cast("Folder", path))


def check_records(begun: str | None, records: RecordFolder) -> None:
    """
    Return if the folder of the records is the one of the claim that was found, if any.

    A user of Airflow can edit a claim, so it must not choose where a worker reads, writes and deletes.

    :param begun: the folder that the claim names
    :raises RecordError: if it is another one; nothing was sent
    """
    if begun is not None and begun != str(records):
        message = f"an earlier try wrote its records to {escape(begun)}, and this one would to {escape(str(records))}"
        raise RecordError(f"{message}; records_path must be the same in every try, so nothing was sent")


def _name_folder(name: str) -> str:
    """Return the name of a folder for an id: one that cannot lead elsewhere, and that every file system takes."""
    quoted = quote(name, safe=" :+@=,") if name.strip(".") else name.replace(".", "%2E")
    if len(quoted) <= _MAX_FOLDER_CHARACTERS:
        return quoted
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:_DIGEST_CHARACTERS]
    return f"{quoted[: _MAX_FOLDER_CHARACTERS - 1 - _DIGEST_CHARACTERS]}!{digest}"


def find_shown_records(path: str, *, roots: Sequence[str]) -> RecordFolder:
    """
    Return the folder that a claim names, if the deployment lets pages show what is in it.

    A user of Airflow can edit a claim, so without a list of folders it must not choose what the API server reads.

    :param roots: the folders of the deployment
    :raises ValidationError: if it is in none of them
    """
    # Texts are compared: a path object of any scheme would look for the file system first.
    is_inside = any(path == root or path.startswith(f"{root.rstrip('/')}/") for root in roots)
    if not is_inside or ".." in path.split("/"):
        problem = f"must have a folder that {escape(path)} is in, so that the API server may read the records there"
        raise ValidationError("section service_hooks of airflow.cfg", {"shown_records_paths": problem})
    return RecordFolder(cast("Folder", ObjectStoragePath(path)))


def find_earlier_records(path: str) -> RecordFolder:
    """
    Return the folder of the records of an earlier run.

    :raises ValidationError: if there is no such folder
    """
    if not ObjectStoragePath(path).is_dir():
        raise ValidationError("undelivered_from", {"undelivered_from": f"there is no folder {path}"})
    return RecordFolder(cast("Folder", ObjectStoragePath(path)))
