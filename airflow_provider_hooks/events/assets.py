# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The asset events that started a run as events to deliver, each with an id that is the same on every try."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import pendulum

from airflow_provider_hooks.events.builders import extract_fields
from airflow_provider_hooks.exceptions import ValidationError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

_NAMESPACE = uuid.UUID("8f7a3a55-52c5-5f0a-8a3c-0c9d3b0f4d1e")
_WRAPPED = ("from_webhook", "from_trigger")
"""Said by an extra whose ``payload`` is the event: airflow-provider-inbound-webhooks, and Airflow's asset watchers."""
_OF_AIRFLOW = "from_rest_api"
"""What Airflow adds to the extra of an asset event that its REST API made."""


class Asset(Protocol):
    """The asset of an asset event."""

    name: str
    uri: str


class AssetEvent(Protocol):
    """What ``triggering_asset_events`` says of an asset event; it has no id of its own there."""

    asset: Asset
    extra: Mapping[str, object]
    timestamp: dt.datetime
    source_dag_id: str | None
    source_run_id: str | None
    source_task_id: str | None
    source_map_index: int | None


def events_from_assets(triggering_asset_events: Mapping[object, Iterable[AssetEvent]]) -> list[dict[str, object]]:
    """
    Return an event for each asset event that started a run, in the order of their times, each id once.

    An asset event's extra is the event: fields by name, or a documented payload. Where the extra has a ``payload``, as
    airflow-provider-inbound-webhooks and asset watchers make it, that is the event. The id is the event's own; without
    one it is made from the sender's delivery id, and without that from the asset event. What the event does not say of
    time and culprit is taken from the asset event.

    It is plain JSON data, so a task can return it and a mapped delivery operator can take it as ``event``. Nothing is
    validated here, so that what is wrong with one event fails its own delivery alone.

    :param triggering_asset_events: the task's context has it
    """
    told = [one for events in triggering_asset_events.values() for one in events]
    found: dict[str, dict[str, object]] = {}
    for one in sorted(told, key=lambda one: (one.timestamp, _identify(one))):
        event = _read_event(one)
        found.setdefault(repr(event["id"]), event)
    return list(found.values())


def _read_event(asset_event: AssetEvent) -> dict[str, object]:
    extra = asset_event.extra
    wrapped = any(extra.get(name) for name in _WRAPPED)
    source = extra.get("payload") if wrapped else {name: value for name, value in extra.items() if name != _OF_AIRFLOW}
    fields = _read_source(source)
    if fields.get("id") is None:
        fields["id"] = _make_id(asset_event)
    if fields.get("datetime") is None and fields.get("timestamp") is None:
        fields["datetime"] = asset_event.timestamp.astimezone(pendulum.UTC).isoformat()
    if fields.get("culprit") is None and asset_event.source_dag_id and asset_event.source_task_id:
        fields["culprit"] = f"{asset_event.source_dag_id}.{asset_event.source_task_id}"
    return fields


def _read_source(source: object) -> dict[str, object]:
    if source is None:
        return {}
    try:
        return extract_fields(source)  # type: ignore[arg-type]  # it says what is wrong with anything else
    except ValidationError:
        # Left as it is, for the delivery to say what is wrong with it.
        return dict(source) if isinstance(source, Mapping) else {"event": source}


def _make_id(asset_event: AssetEvent) -> str:
    extra = asset_event.extra
    sender_id = extra.get("delivery_id") if extra.get("from_webhook") else None
    key = f"{extra.get('webhook')}\n{sender_id}" if sender_id else _identify(asset_event)
    return uuid.uuid5(_NAMESPACE, key).hex


def _identify(asset_event: AssetEvent) -> str:
    """Tell an asset event by what Airflow keeps of it."""
    parts = (
        asset_event.asset.name,
        asset_event.asset.uri,
        asset_event.source_dag_id,
        asset_event.source_run_id,
        asset_event.source_task_id,
        asset_event.source_map_index,
        asset_event.timestamp.astimezone(pendulum.UTC).isoformat(),
    )
    return "\n".join(str(part) for part in parts)
