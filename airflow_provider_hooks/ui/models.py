# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The requests and responses of the API behind the pages, as its OpenAPI document describes them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Store = Literal["ledger", "task_state_store"]


class DeliveryRow(BaseModel):
    """One delivery or stream in a list. Times are ISO 8601, UTC."""

    id: int
    kind: Literal["event", "stream"]
    origin: str = Field(description="task, callback or command")
    state: str = Field(description="of its claim: an outcome, claimed, settled, resend, or of a stream")
    outcome: str = Field(description="delivered, rejected, not_sent, unknown, or claimed as long as there is none")
    claimed_at: str
    updated_at: str
    delivery_id: str | None
    event_id: str | None
    event_type: str | None
    endpoint: str | None = Field(description="the connection id")
    status_code: int | None
    error_class: str | None
    duration_ms: float | None
    dag_id: str | None
    run_id: str | None
    task_id: str | None
    map_index: int | None
    try_number: int
    slot: str
    once: Literal["run", "event"]
    source: str = Field(description="where it comes from, in one line")
    may_edit: bool = Field(description="whether the user may send it again or mark it as received")


class DeliveryPage(BaseModel):
    """Some deliveries, newest first."""

    deliveries: list[DeliveryRow]
    next_cursor: str | None = Field(description="the next page begins there: the parameter after")
    store: Store
    notes: list[str] = Field(description="what is not found in this store, and what would change that")
    may_see_endpoints: bool


class Action(BaseModel):
    """Whether something can be done with a delivery, and the command that does the same."""

    is_possible: bool
    reason: str | None
    command: str


class AttemptView(BaseModel):
    """One attempt with its record, which has the fields that docs/reference/records.md lists."""

    try_number: int
    claimed_at: str
    record: dict[str, Any]


class RequestView(BaseModel):
    """What was requested. Secrets, credentials and signatures are masked."""

    method: str
    url: str | None
    headers: dict[str, str] | None
    note: str | None


class PayloadView(BaseModel):
    """The body that was sent, if the ledger stores payloads."""

    is_stored: bool
    stored_at: str | None
    content_type: str | None
    text: str | None
    note: str | None = Field(description="why it is not shown")


class StreamView(BaseModel):
    """The counts of a stream, and its speed."""

    model_config = ConfigDict(extra="forbid")

    outcomes: dict[str, int]
    total: int
    invalid: int
    sent_before: int
    seconds: float
    events_per_second: float | None
    pauses: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    is_done: bool
    state: str
    batch: int
    records: str


class Links(BaseModel):
    """Pages of Airflow, relative to its address."""

    task_instance: str | None
    run: str | None
    dag: str | None


class DeliveryView(BaseModel):
    """Everything that is known of one delivery."""

    delivery: DeliveryRow
    is_open: bool = Field(description="Whether it can change by itself: it is being sent, or its task instance runs.")
    what_happened: str
    what_to_do: list[str]
    resend: Action
    mark_received: Action
    attempts: list[AttemptView]
    request: RequestView | None = Field(description="None for a stream, which makes many requests.")
    payload: PayloadView
    stream: StreamView | None
    links: Links


class StreamEvent(BaseModel):
    """One event of a stream that was not delivered."""

    offset: int
    outcome: str
    event_id: str | None
    delivery_id: str | None
    status_code: int | None
    error_class: str | None
    message: str | None
    response_body: str | None


class StreamEventPage(BaseModel):
    """Some events of a stream, in the order of its source."""

    events: list[StreamEvent]
    next_cursor: str | None
    note: str | None = Field(description="why the records cannot be shown")


class PlannedClear(BaseModel):
    """A task instance that a resend clears."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    source: str
    deliveries: list[int]
    along: list[DeliveryRow] = Field(description="the others that the same task sends again")


class Refusal(BaseModel):
    """A delivery that cannot be sent again by a clear."""

    id: int
    reason: str
    command: str | None = Field(default=None, description="what sends it again instead")


class ResendPlan(BaseModel):
    """What a resend would do. Nothing is changed."""

    clears: list[PlannedClear]
    refused: list[Refusal]


class ResendRequest(BaseModel):
    """Deliveries of one Dag to send again."""

    ids: list[int] = Field(min_length=1, max_length=200)
    whole_task: bool = Field(default=False, description="whether other deliveries of the same tasks may be sent too")


class Cleared(BaseModel):
    """A task instance that was cleared."""

    run_id: str
    task_id: str
    map_index: int
    deliveries: list[int]


class ResendResult(BaseModel):
    """The task instances that were cleared."""

    cleared: list[Cleared]


class MarkRequest(BaseModel):
    """Deliveries of one Dag to mark as received."""

    ids: list[int] = Field(min_length=1, max_length=200)


class MarkResult(BaseModel):
    """The deliveries that are marked as received now."""

    marked: list[int]


class Bucket(BaseModel):
    """The deliveries of a part of the period."""

    begins_at: str
    delivered: int
    failed: int


class EndpointView(BaseModel):
    """The health of one endpoint."""

    endpoint: str
    deliveries: int
    delivered: int
    success_rate: float | None = Field(description="0 to 1")
    last_delivered_at: str | None
    failures_in_a_row: int
    paused_at: str | None
    pause_reason: str | None
    buckets: list[Bucket]
    may_edit: bool


class RegistryView(BaseModel):
    """A connection to a platform's API."""

    conn_id: str
    platform: str | None


class EndpointPage(BaseModel):
    """All endpoints and registries."""

    store: Store
    notes: list[str]
    endpoints: list[EndpointView]
    registries: list[RegistryView]


class PauseRequest(BaseModel):
    """Why an endpoint is paused."""

    reason: str = Field(min_length=1, max_length=500)


class PauseResult(BaseModel):
    """Whether the endpoint changed."""

    changed: bool


class HookView(BaseModel):
    """One hook of a platform."""

    hook_id: str
    name: str | None
    url: str = Field(description="without its query")
    events: list[str] | None
    is_active: bool | None
    is_declared: bool = Field(description="whether a Variable of this deployment holds it")
    variable: str | None


class HookList(BaseModel):
    """The hooks of a platform."""

    hooks: list[HookView]
    note: str | None
