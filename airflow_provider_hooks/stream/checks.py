# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What is checked of the events of a stream before the first of them is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_hooks.exceptions import InvalidEventError, ValidationError
from airflow_provider_hooks.stream.sources import SelectedSource, select_events

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_provider_hooks.stream.encode import RequestEncoder
    from airflow_provider_hooks.stream.records import RecordFolder
    from airflow_provider_hooks.stream.sources import Source

SUBJECT = "events (nothing was sent)"
_SHOWN_INVALID = 10
"""How many invalid events an error names."""


def check_all_valid(source: Source, encoder: RequestEncoder) -> None:
    """
    Read all events, and return if each can be delivered.

    :raises ValidationError: naming the first that cannot, with their offsets
    """
    found: dict[str, str] = {}
    for event, offset, _ in source.read(source.start_offset()):
        try:
            encoder.read_event_id(event)
        except InvalidEventError as error:
            if len(found) == _SHOWN_INVALID:
                found["and more"] = "only the first are named"
                break
            found[f"event {source.describe_offset(offset)}"] = str(error)
    if found:
        raise ValidationError(SUBJECT, found)


def select_undelivered(
    source: Source, encoder: RequestEncoder, earlier: RecordFolder, outcomes: Collection[str]
) -> tuple[SelectedSource, frozenset[int]]:
    """
    Return the events of a source that have one of these outcomes in the records of an earlier run.

    :returns: the events, and the offsets of those that may be redelivered
    :raises RecordError: if the records cannot be read
    :raises ValidationError: if they belong to other events: an event is not at its offset, or has another id
    """
    undelivered = {
        offset: event for offset, event in earlier.read_undelivered(outcomes).items() if source.covers(offset)
    }
    missing = dict(undelivered)
    for event, offset, _ in select_events(source, undelivered):
        try:
            if encoder.read_event_id(event) == undelivered[offset].event_id:
                del missing[offset]
        except InvalidEventError:
            continue
    if missing:
        first = min(missing.values(), key=lambda event: event.offset)
        message = (
            f"the records in {earlier} belong to other events: {len(missing)} of {len(undelivered)} are not in the "
            f"source, such as {first.event_id} {source.describe_offset(first.offset)}"
        )
        raise ValidationError(SUBJECT, {"undelivered_from": message})
    redelivered = frozenset(offset for offset, event in undelivered.items() if event.may_have_arrived)
    return SelectedSource(source=source, offsets=frozenset(undelivered)), redelivered
