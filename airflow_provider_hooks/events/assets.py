# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Converts the asset events that started a run to events, each with an id that is the same on every try."""

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
"""Set in an extra whose ``payload`` is the event: airflow-provider-inbound-webhooks, and Airflow's asset watchers."""
_OF_AIRFLOW = "from_rest_api"
"""What Airflow adds to the extra of an asset event from its REST API."""


class Asset(Protocol):
    """The asset of an asset event."""

    name: str
    uri: str


class AssetEvent(Protocol):
    """An asset event as ``triggering_asset_events`` has it, without an id."""

    asset: Asset
    extra: Mapping[str, object]
    timestamp: dt.datetime
    source_dag_id: str | None
    source_run_id: str | None
    source_task_id: str | None
    source_map_index: int | None


def events_from_assets(
    triggering_asset_events: Mapping[object, Iterable[AssetEvent]],
    *,
    event_type: str | None = None,
    id_field: str | None = None,
) -> list[dict[str, object]]:
    """
    Return an event for each asset event that started a run, in the order of their times, each id once.

    An asset event's extra is the event: fields by name, or a documented payload. Where the extra has a ``payload``, as
    airflow-provider-inbound-webhooks and asset watchers make it, that is the event. The id is the event's own; without
    one it is made from the sender's delivery id, and without that from the asset event. If the event has no time or
    culprit, those of the asset event are used.

    With ``event_type`` the extra or its ``payload`` is the data of an event of the user's own type: ``type``, ``id``,
    ``time`` and ``data``, as ``DeliverEventOperator(event=...)`` takes them. The time is that of the asset event. The
    id is made as above, since an ``id`` in the data may be that of an order, of which several events can arrive; only
    ``id_field`` makes a field of the data the id.

    It is plain JSON data, so a task can return it and a mapped delivery operator can take it as ``event``. Nothing is
    validated here, so an invalid event fails only its own delivery.

    Example:

    ```python
    from airflow.sdk import get_current_context, task

    from airflow_provider_hooks import events_from_assets


    @task
    def read_events():
        return events_from_assets(get_current_context()["triggering_asset_events"], event_type="orders.loaded")
    ```

    :param triggering_asset_events: ``context["triggering_asset_events"]``
    :param event_type: the user's own type; ``None`` for ``event.created`` and ``event.alert``
    :param id_field: the field of the data that is the event's id; events without it have one that is made
    """
    asset_events = [one for events in triggering_asset_events.values() for one in events]
    found: dict[str, dict[str, object]] = {}
    for one in sorted(asset_events, key=lambda one: (one.timestamp, _identify(one))):
        event = _to_event(one) if event_type is None else _to_own_event(one, event_type, id_field)
        found.setdefault(repr(event["id"]), event)
    return list(found.values())


def _to_own_event(asset_event: AssetEvent, event_type: str, id_field: str | None) -> dict[str, object]:
    data = _read_source(asset_event.extra)
    event_id = data.get(id_field) if id_field is not None and isinstance(data, Mapping) else None
    return {
        "type": event_type,
        "id": _make_id(asset_event) if event_id is None else event_id,
        "time": asset_event.timestamp.astimezone(pendulum.UTC).isoformat(),
        "data": data,
    }


def _read_source(extra: Mapping[str, object]) -> object:
    """Return what an extra has of the event, without what Airflow and other packages add to it."""
    if any(extra.get(name) for name in _WRAPPED):
        return extra.get("payload")
    return {name: value for name, value in extra.items() if name != _OF_AIRFLOW}


def _to_event(asset_event: AssetEvent) -> dict[str, object]:
    fields = _extract_source(_read_source(asset_event.extra))
    if fields.get("id") is None:
        fields["id"] = _make_id(asset_event)
    if fields.get("datetime") is None and fields.get("timestamp") is None:
        fields["datetime"] = asset_event.timestamp.astimezone(pendulum.UTC).isoformat()
    if fields.get("culprit") is None and asset_event.source_dag_id and asset_event.source_task_id:
        fields["culprit"] = f"{asset_event.source_dag_id}.{asset_event.source_task_id}"
    return fields


def _extract_source(source: object) -> dict[str, object]:
    if source is None:
        return {}
    try:
        return extract_fields(source)  # type: ignore[arg-type]  # its error names any other type
    except ValidationError:
        # Unchanged: its delivery reports what is wrong with it.
        return dict(source) if isinstance(source, Mapping) else {"event": source}


def _make_id(asset_event: AssetEvent) -> str:
    extra = asset_event.extra
    sender_id = extra.get("delivery_id") if extra.get("from_webhook") else None
    key = f"{extra.get('webhook')}\n{sender_id}" if sender_id else _identify(asset_event)
    return uuid.uuid5(_NAMESPACE, key).hex


def _identify(asset_event: AssetEvent) -> str:
    """Return what identifies an asset event."""
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
