# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What the page of one delivery shows: its record for a reader, the request and payload, and the events of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from airflow_provider_hooks._runtime.airflow import read_settings
from airflow_provider_hooks._runtime.compat import AirflowNotFoundException
from airflow_provider_hooks._runtime.stream_files import find_shown_records
from airflow_provider_hooks.admin.actions import explain_not_marked
from airflow_provider_hooks.admin.task_instances import explain_not_cleared, explain_running
from airflow_provider_hooks.delivery.claims import CLAIMED, RESEND
from airflow_provider_hooks.exceptions import ServiceHookError
from airflow_provider_hooks.hooks.endpoint import EndpointHook
from airflow_provider_hooks.ledger.advice import advise, summarize
from airflow_provider_hooks.ledger.changes import explain_not_resent, has_command_only
from airflow_provider_hooks.stream.summary import parse_summary
from airflow_provider_hooks.ui.models import (
    Action,
    AttemptView,
    DeliveryView,
    Links,
    PayloadView,
    RequestView,
    StreamEvent,
    StreamEventPage,
    StreamView,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_hooks.admin.stored import StoredDeliveries
    from airflow_provider_hooks.events.formats import EncodedEvent
    from airflow_provider_hooks.ledger.history import Delivery, DeliveryDetails
    from airflow_provider_hooks.ui.models import DeliveryRow

_NOT_STORED = "The payload is not stored. [service_hooks] store_payloads stores later ones, in a ledger."
_FAILED = ("rejected", "not_sent", "unknown")


def describe_delivery(
    stored: StoredDeliveries, details: DeliveryDetails, *, row: DeliveryRow, may_read_payload: bool
) -> DeliveryView:
    """
    Return what the page of a delivery shows.

    :param may_read_payload: whether the user may read the data of tasks
    :raises ServiceHookError: if a database fails
    """
    one = details.delivery
    event, note = _load_event(stored, details, may_read=may_read_payload)
    return DeliveryView(
        delivery=row,
        is_open=_is_open(details),
        what_happened=summarize(details),
        what_to_do=advise(details),
        resend=_make_action(_explain_not_resent(details), "resend", one),
        mark_received=_make_action(explain_not_marked(details), "mark-delivered", one),
        attempts=[AttemptView(**msgspec.structs.asdict(attempt)) for attempt in details.attempts],
        request=None if one.kind == "stream" else _describe_request(details, event),
        payload=PayloadView(
            is_stored=details.payload_stored_at is not None,
            stored_at=details.payload_stored_at,
            content_type=None if event is None else event.content_type,
            text=None if event is None else event.body.decode(errors="replace"),
            note=note,
        ),
        stream=_describe_stream(details.claim) if one.kind == "stream" else None,
        links=_make_links(one),
    )


def _is_open(details: DeliveryDetails) -> bool:
    """Return whether the delivery can change by itself: it is being sent, or its task instance is running."""
    one = details.delivery
    is_unfinished = one.state != "done" if one.kind == "stream" else one.state in (CLAIMED, RESEND)
    return is_unfinished or (one.origin == "task" and explain_running(one) is not None)


def _make_action(reason: str | None, command: str, delivery: Delivery) -> Action:
    return Action(is_possible=reason is None, reason=reason, command=make_command(command, delivery))


def make_command(command: str, delivery: Delivery) -> str:
    """Return the command that does something with a delivery."""
    return f"airflow service-hooks deliveries {command} {delivery.id}"


def _explain_not_resent(details: DeliveryDetails) -> str | None:
    if has_command_only(details):
        return None
    return explain_not_resent(details) or explain_not_cleared(details.delivery)


def _load_event(
    stored: StoredDeliveries, details: DeliveryDetails, *, may_read: bool
) -> tuple[EncodedEvent | None, str | None]:
    """Return the stored event, or why it is not shown."""
    if details.delivery.kind == "stream":
        return None, "The events of a stream are where the stream reads them."
    if details.payload_stored_at is None:
        return None, _NOT_STORED
    if not may_read:
        return None, "You may not read the data of this Dag's tasks."
    try:
        return stored.load_event(details), None
    except ServiceHookError as error:
        return None, str(error)


def _describe_request(details: DeliveryDetails, event: EncodedEvent | None) -> RequestView:
    record: dict[str, Any] = details.attempts[-1].record if details.attempts else details.claim.get("info", {})
    headers, note = None, "The headers are shown if the payload is stored."
    if event is not None:
        try:
            headers = (
                EndpointHook(str(details.delivery.endpoint))
                .preview_stored(str(details.delivery.event_type), event)
                .hide_signature()
            )
            note = "As the connection makes them now, for the stored payload."
        except (ServiceHookError, AirflowNotFoundException) as error:
            note = f"The headers cannot be shown: {error}"
    return RequestView(method="POST", url=record.get("url"), headers=headers, note=note)


def _describe_stream(claim: dict[str, Any]) -> StreamView:
    summary = parse_summary(claim.get("summary", {})).describe()
    counts = {name: summary.pop(name) for name in ("delivered", *_FAILED)}
    state = str(claim.get("state"))
    return StreamView.model_validate(
        {
            **summary,
            "outcomes": counts,
            "is_done": state == "done",
            "state": state,
            "batch": claim.get("batch", 0),
            "records": str(claim.get("records", "")),
        }
    )


def _make_links(delivery: Delivery) -> Links:
    """Return the addresses of Airflow's pages, as its router has them."""
    if delivery.dag_id is None:
        return Links(task_instance=None, run=None, dag=None)
    dag = f"dags/{quote(delivery.dag_id, safe='')}"
    if delivery.run_id is None:
        return Links(task_instance=None, run=None, dag=dag)
    run = f"{dag}/runs/{quote(delivery.run_id, safe='')}"
    if delivery.task_id is None:
        return Links(task_instance=None, run=run, dag=dag)
    mapped = f"/mapped/{delivery.map_index}" if delivery.map_index is not None and delivery.map_index >= 0 else ""
    return Links(task_instance=f"{run}/tasks/{quote(delivery.task_id, safe='')}{mapped}", run=run, dag=dag)


def read_stream_events(details: DeliveryDetails, *, outcomes: Sequence[str], after: int, limit: int) -> StreamEventPage:
    """
    Return the events of a stream that were not delivered, by offset, as far as the deployment lets the page read them.

    :param outcomes: of the events; all but ``delivered`` if empty
    :param after: the offset of the last event of the page before, or -1
    """
    folder = str(details.claim.get("records", ""))
    try:
        records = find_shown_records(folder, roots=read_settings().shown_records_paths)
        lines = records.read_records(outcomes or _FAILED, after=after, limit=limit + 1)
    except (ServiceHookError, OSError, ImportError, ValueError) as error:
        return StreamEventPage(events=[], next_cursor=None, note=f"The records are not shown: {error}")
    names = StreamEvent.model_fields
    events = [StreamEvent.model_validate({name: line.get(name) for name in names}) for line in lines[:limit]]
    return StreamEventPage(events=events, next_cursor=str(events[-1].offset) if len(lines) > limit else None, note=None)
