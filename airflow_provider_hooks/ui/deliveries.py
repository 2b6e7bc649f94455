# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The routes of deliveries: lists, one delivery, the events of a stream, and what a user does with them."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import msgspec
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from airflow.api_fastapi.logging.decorators import action_logging
from fastapi import APIRouter, Depends, HTTPException, Query

from airflow_provider_hooks.admin.actions import ClearPlan, clear, explain_not_marked, mark_received, plan_clears
from airflow_provider_hooks.admin.stored import open_stored
from airflow_provider_hooks.exceptions import ServiceHookError, ValidationError
from airflow_provider_hooks.ledger.changes import has_command_only
from airflow_provider_hooks.ledger.history import Filters
from airflow_provider_hooks.ui.access import AccessDep
from airflow_provider_hooks.ui.details import describe_delivery, make_command, read_stream_events
from airflow_provider_hooks.ui.models import (
    Cleared,
    DeliveryPage,
    DeliveryRow,
    DeliveryView,
    MarkRequest,
    MarkResult,
    PlannedClear,
    Refusal,
    ResendPlan,
    ResendRequest,
    ResendResult,
    StreamEventPage,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_hooks.admin.stored import StoredDeliveries
    from airflow_provider_hooks.ledger.history import Delivery, DeliveryDetails
    from airflow_provider_hooks.ui.access import Access

MAX_CHOSEN = 200
Chosen = TypeVar("Chosen")
_NOT_FOUND, _CONFLICT = 404, 409

router = APIRouter(tags=["Deliveries"])
_may_clear = Depends(requires_access_dag("PUT", DagAccessEntity.TASK_INSTANCE))
"""What Airflow itself requires of a user who clears a task; the Dag is in the path."""


@router.get("/deliveries")
def list_deliveries(
    access: AccessDep,
    *,
    outcome: Annotated[list[str] | None, Query()] = None,
    endpoint: str | None = None,
    event_type: str | None = None,
    dag_id: str | None = None,
    run_id: str | None = None,
    task_id: str | None = None,
    map_index: int | None = None,
    q: Annotated[str | None, Query(description="an event id, a delivery id or its beginning, or a number")] = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[str | None, Query(description="the cursor of the page before")] = None,
) -> DeliveryPage:
    """Return a page of the deliveries that the user may see, newest first."""
    filters = Filters(
        outcomes=tuple(dict.fromkeys(outcome or ())),
        endpoint=endpoint or None,
        event_type=event_type or None,
        dag_id=dag_id or None,
        run_id=run_id or None,
        task_id=task_id or None,
        map_index=map_index,
        search=(q or "").strip() or None,
        visible_dags=access.visible_dags,
        since=_to_utc(since),
        until=_to_utc(until),
    )
    with open_stored() as stored:
        page = stored.list_page(filters=filters, limit=limit, after=after or None)
        access.prepare(one.dag_id for one in page.deliveries)
        return DeliveryPage(
            deliveries=[_make_row(one, access) for one in page.deliveries],
            next_cursor=page.next_cursor,
            store=stored.place,
            notes=[f"{one[0].upper()}{one[1:]}." for one in stored.limits],
            may_see_endpoints=access.may_read_connections(),
        )


@router.get("/deliveries/{delivery_id}")
def show_delivery(access: AccessDep, delivery_id: int) -> DeliveryView:
    """Return everything that is known of one delivery, by the number of its row."""
    with open_stored() as stored:
        details = _find(stored, delivery_id, access)
        row = _make_row(details.delivery, access)
        return describe_delivery(
            stored, details, row=row, may_read_payload=access.may_read_payload(details.delivery.dag_id)
        )


@router.get("/deliveries/{delivery_id}/events")
def list_stream_events(
    access: AccessDep,
    delivery_id: int,
    outcome: Annotated[list[str] | None, Query()] = None,
    after: Annotated[int, Query(ge=-1, description="the offset of the last event before the page")] = -1,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> StreamEventPage:
    """Return events of a stream that were not delivered, from its records."""
    with open_stored() as stored:
        details = _find(stored, delivery_id, access)
    if details.delivery.kind != "stream" or not access.may_read_payload(details.delivery.dag_id):
        raise HTTPException(_NOT_FOUND, f"Delivery {delivery_id} is not a stream that you may read.")
    return read_stream_events(details, outcomes=tuple(outcome or ()), after=after, limit=limit)


@router.get("/resend-plan")
def plan_resend(
    access: AccessDep, ids: Annotated[list[int], Query(alias="id", min_length=1, max_length=MAX_CHOSEN)]
) -> ResendPlan:
    """Return what a resend of deliveries would do; nothing is changed."""
    with open_stored() as stored:
        chosen = {one: _find(stored, one, access) for one in ids}
        plan = plan_clears(stored, list(chosen.values()))
    return ResendPlan(
        clears=[
            PlannedClear(
                **_name_task(one.chosen[0].delivery),
                dag_id=str(one.chosen[0].delivery.dag_id),
                source=one.chosen[0].delivery.source,
                deliveries=[details.delivery.id for details in one.chosen],
                along=[_make_row(delivery, access) for delivery in one.along],
            )
            for one in plan.clears
        ],
        refused=[
            Refusal(
                id=number,
                reason=reason,
                command=make_command("resend", chosen[number].delivery) if has_command_only(chosen[number]) else None,
            )
            for number, reason in plan.refused.items()
        ],
    )


@router.post("/dags/{dag_id}/resend", dependencies=[_may_clear, Depends(action_logging("service_hooks_resend"))])
def resend(access: AccessDep, dag_id: str, body: ResendRequest) -> ResendResult:
    """Send deliveries of a Dag again, by a clear of the task instances that they come from."""
    with open_stored() as stored:
        plan = plan_clears(stored, _find_of_dag(stored, body.ids, dag_id, access))
        _refuse(_list_refusals(plan, includes_whole_task=body.whole_task))
        _do_each(plan.clears, lambda one: clear(stored, one.chosen), name=lambda one: _list_numbers(one.chosen))
    return ResendResult(
        cleared=[
            Cleared(**_name_task(one.chosen[0].delivery), deliveries=[details.delivery.id for details in one.chosen])
            for one in plan.clears
        ]
    )


@router.post(
    "/dags/{dag_id}/mark-received", dependencies=[_may_clear, Depends(action_logging("service_hooks_mark_received"))]
)
def mark(access: AccessDep, dag_id: str, body: MarkRequest) -> MarkResult:
    """Mark deliveries of a Dag as received, so that the next try or clear of their tasks sends nothing."""
    with open_stored() as stored:
        chosen = _find_of_dag(stored, body.ids, dag_id, access)
        reasons = {details.delivery.id: explain_not_marked(details) for details in chosen}
        _refuse({number: reason for number, reason in reasons.items() if reason is not None})
        _do_each(chosen, lambda one: mark_received(stored, one), name=lambda one: _list_numbers([one]))
    return MarkResult(marked=[details.delivery.id for details in chosen])


def _do_each(chosen: Sequence[Chosen], act: Callable[[Chosen], object], *, name: Callable[[Chosen], str]) -> None:
    """Do something for each one; if it fails for one, answer 409 and say for which it has been done."""
    done: list[str] = []
    for one in chosen:
        try:
            act(one)
        except ServiceHookError as error:
            before = f"Done before: {', '.join(done)}." if done else "Nothing was changed."
            raise HTTPException(_CONFLICT, f"{error}. {before}") from None
        done.append(name(one))


def _list_numbers(chosen: Sequence[DeliveryDetails]) -> str:
    return ", ".join(str(one.delivery.id) for one in chosen)


def _find(stored: StoredDeliveries, number: int, access: Access) -> DeliveryDetails:
    """Return a delivery that the user may see; another one is reported like one that does not exist."""
    try:
        details = stored.find(str(number))
    except ValidationError:
        raise HTTPException(_NOT_FOUND, f"There is no delivery {number} that you may see.") from None
    if details.delivery.id != number or not access.may_see(details.delivery):
        raise HTTPException(_NOT_FOUND, f"There is no delivery {number} that you may see.")
    return details


def _find_of_dag(
    stored: StoredDeliveries, numbers: Sequence[int], dag_id: str, access: Access
) -> list[DeliveryDetails]:
    chosen = [_find(stored, number, access) for number in dict.fromkeys(numbers)]
    others = {one.delivery.id: f"does not belong to Dag {dag_id}" for one in chosen if one.delivery.dag_id != dag_id}
    _refuse(others)
    return chosen


def _list_refusals(plan: ClearPlan, *, includes_whole_task: bool) -> dict[int, str]:
    along = {
        one.chosen[0].delivery.id: "the clear of its task also sends "
        f"{', '.join(str(delivery.id) for delivery in one.along)} again; choose these too, or allow it"
        for one in plan.clears
        if one.along and not includes_whole_task
    }
    return {**plan.refused, **along}


def _refuse(reasons: dict[int, str]) -> None:
    """
    Answer 409 if there are reasons; nothing has been changed.

    :param reasons: by the number of the delivery
    """
    if reasons:
        listed = "; ".join(f"{number}: {reason}" for number, reason in reasons.items())
        raise HTTPException(_CONFLICT, f"Nothing was changed. {listed}")


def _make_row(delivery: Delivery, access: Access) -> DeliveryRow:
    fields = cast("dict[str, Any]", msgspec.to_builtins(delivery))
    return DeliveryRow.model_construct(**fields, source=delivery.source, may_edit=access.may_edit(delivery.dag_id))


def _name_task(delivery: Delivery) -> dict[str, Any]:
    """Return what names the task instance of a delivery within its Dag."""
    index = -1 if delivery.map_index is None else delivery.map_index
    return {"run_id": str(delivery.run_id), "task_id": str(delivery.task_id), "map_index": index}


def _to_utc(time: datetime | None) -> datetime | None:
    """Return a time with a zone; one without is UTC."""
    return time.replace(tzinfo=timezone.utc) if time is not None and time.tzinfo is None else time
