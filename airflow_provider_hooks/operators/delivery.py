# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Operators that deliver one event or a stream of events, signed, each at most once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from airflow_provider_hooks.operators._base import DeliveringOperator, EndpointOperator, SingleEventOperator
from airflow_provider_hooks.operators.links import DeliveryRecordLink

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from airflow.sdk import Context
    from typing_extensions import Unpack

    from airflow_provider_hooks._runtime.stream_files import Events
    from airflow_provider_hooks.events.builders import EventDraft
    from airflow_provider_hooks.events.event import OwnEventDraft
    from airflow_provider_hooks.events.types import EventType, Rules, Tags
    from airflow_provider_hooks.json_types import JsonObject, JsonValue
    from airflow_provider_hooks.operators._arguments import DeliveryArguments, EndpointArguments
    from airflow_provider_hooks.stream.model import StreamOptions


__all__ = [
    "DeliverEventAlertOperator",
    "DeliverEventCreatedOperator",
    "DeliverEventOperator",
    "DeliverEventStreamOperator",
]


class _DeliverEventOperator(SingleEventOperator, DeliveringOperator):
    """
    The base of the operators that deliver one event.

    :param event: the fields of the event: an event of ``sentry-sdk`` (such as ``event_from_exception`` returns), a
        documented payload, or fields by name; the other arguments win over it
    :param event_id: the event's id; by default an id made from the task instance, the same on every try
    """

    template_fields: Sequence[str] = (*DeliveringOperator.template_fields, "event", "event_id")
    template_fields_renderers = {"event": "json"}  # noqa: RUF012  (as BaseOperator declares it)

    def __init__(
        self,
        *,
        task_id: str,
        event: Mapping[str, object] | None = None,
        event_id: str | None = None,
        **kwargs: Unpack[DeliveryArguments],
    ) -> None:
        super().__init__(task_id=task_id, **kwargs)
        self.event = event
        self.event_id = event_id

    event_type: EventType

    def make_draft(self, context: Context) -> EventDraft:
        """Return the event of the task, which is built and checked when it is delivered."""
        from airflow_provider_hooks._runtime.airflow import describe_task_instance
        from airflow_provider_hooks.events.builders import EventDraft

        return EventDraft(
            event_type=self.event_type,
            event=self.event,
            arguments=self.list_arguments(),
            defaults=describe_task_instance(context),
        )

    def list_arguments(self) -> dict[str, object]:
        """Return the arguments that are fields of the event, by their names."""
        return {**super().list_arguments(), "event_id": self.event_id}

    def list_events(self) -> Sequence[Mapping[str, object]]:
        """Return the one event of the task; it is empty if the arguments are the whole event."""
        return [self.event or {}]


class DeliverEventCreatedOperator(_DeliverEventOperator):
    """
    Deliver an ``event.created``, signed, at most once per run or manual clear.

    It reports what happened once, such as an exception. The task returns the delivery record, or a list of records if
    the event goes to several endpoints.

    The other arguments are those of every delivery (``docs/reference/operators.md``) and of every operator.

    Example:

    ```python
    from airflow_provider_hooks import DeliverEventCreatedOperator

    created = DeliverEventCreatedOperator(
        task_id="report_error",
        message="Order 7 has no price",
        level="warning",
        tags={"environment": "production"},
    )
    ```

    :param event_logger: the name of the logger that logged it; may be empty
    :param occurred_at: when it happened, with a zone; by default the end of the run's data interval
    :param tags: the tags of the event, such as ``{"environment": "production"}``
    """

    event_type = "event.created"
    template_fields: Sequence[str] = (*_DeliverEventOperator.template_fields, "event_logger", "occurred_at", "tags")

    def __init__(
        self,
        *,
        task_id: str,
        event: Mapping[str, object] | None = None,
        event_id: str | None = None,
        event_logger: str | None = None,
        occurred_at: dt.datetime | str | None = None,
        tags: Tags | None = None,
        **kwargs: Unpack[DeliveryArguments],
    ) -> None:
        super().__init__(task_id=task_id, event=event, event_id=event_id, **kwargs)
        self.event_logger = event_logger
        self.occurred_at = occurred_at
        self.tags = tags

    def list_arguments(self) -> dict[str, object]:
        """Return the arguments that are fields of the event, by their names."""
        own = {"event_logger": self.event_logger, "occurred_at": self.occurred_at, "tags": self.tags}
        return {**super().list_arguments(), **own}


class DeliverEventAlertOperator(_DeliverEventOperator):
    """
    Deliver an ``event.alert``, signed, at most once per run or manual clear.

    It reports that a rule matched. The task returns the delivery record, or a list of records if the event goes to
    several endpoints.

    The other arguments are those of every delivery (``docs/reference/operators.md``) and of every operator.

    Example:

    ```python
    from airflow_provider_hooks import DeliverEventAlertOperator

    alert = DeliverEventAlertOperator(
        task_id="alert",
        service_hook_conn_id="orders_warehouse",
        message="Orders loaded by {{ run_id }}",
        level="info",
        triggering_rules=["After every load"],
    )
    ```

    :param triggering_rules: a list of the names of the rules that made the alert, at least one; a string is refused
    """

    event_type = "event.alert"
    template_fields: Sequence[str] = (*_DeliverEventOperator.template_fields, "triggering_rules")

    def __init__(
        self,
        *,
        task_id: str,
        event: Mapping[str, object] | None = None,
        event_id: str | None = None,
        triggering_rules: Rules | None = None,
        **kwargs: Unpack[DeliveryArguments],
    ) -> None:
        super().__init__(task_id=task_id, event=event, event_id=event_id, **kwargs)
        self.triggering_rules = triggering_rules

    def list_arguments(self) -> dict[str, object]:
        """Return the arguments that are fields of the event, by their names."""
        return {**super().list_arguments(), "triggering_rules": self.triggering_rules}


class DeliverEventOperator(SingleEventOperator):
    """
    Deliver an event of the user's own type, such as ``orders.loaded``, signed, at most once per run or manual clear.

    The task returns the delivery record, or a list of records if the event goes to several endpoints.

    The other arguments are those of every delivery (``docs/reference/operators.md``) and of every operator.

    Example:

    ```python
    from airflow_provider_hooks import DeliverEventOperator

    loaded = DeliverEventOperator(
        task_id="notify",
        service_hook_conn_id="orders_warehouse",
        event_type="orders.loaded",
        event_id="orders-{{ ds }}",
        data={"date": "{{ ds }}", "rows": 1204},
    )
    ```

    :param event_type: 1 to 128 letters, digits, ``.``, ``-`` and ``_``; required unless ``event`` has it
    :param data: what happened: anything that JSON can represent
    :param event: an event as ``events_from_assets`` returns it: ``type``, ``id``, ``time`` and ``data``; the other
        arguments win over it
    :param event_id: the event's id; by default an id made from the task instance, the same on every try
    :param occurred_at: when it happened, with a zone; by default the end of the run's data interval
    :param schema: a JSON Schema that the data must match, or nothing is sent
    """

    template_fields: Sequence[str] = (
        *EndpointOperator.template_fields,
        "event_type",
        "data",
        "event",
        "event_id",
        "occurred_at",
    )
    template_fields_renderers = {"data": "json", "event": "json"}  # noqa: RUF012  (as BaseOperator declares it)
    operator_extra_links = (DeliveryRecordLink(),)

    def __init__(
        self,
        *,
        task_id: str,
        event_type: str | None = None,
        data: JsonValue = None,
        event: Mapping[str, JsonValue] | None = None,
        event_id: str | None = None,
        occurred_at: dt.datetime | str | None = None,
        schema: Mapping[str, JsonValue] | None = None,
        **kwargs: Unpack[EndpointArguments],
    ) -> None:
        super().__init__(task_id=task_id, **kwargs)
        self.event_type = event_type
        self.data = data
        self.event = event
        self.event_id = event_id
        self.occurred_at = occurred_at
        self.schema = schema

    def make_draft(self, context: Context) -> OwnEventDraft:
        """Return the event of the task, which is built and checked when it is delivered."""
        from airflow_provider_hooks._runtime.airflow import describe_own_event
        from airflow_provider_hooks.events.event import draft_own_event

        return draft_own_event(
            self.event,
            event_type=self.event_type,
            data=self.data,
            event_id=self.event_id,
            occurred_at=self.occurred_at,
            schema=self.schema,
            defaults=describe_own_event(context),
        )


class _EventsFunction:
    """A function that returns events. Airflow itself calls a function in a template field; this object it does not."""

    def __init__(self, function: Callable[[], Iterable[Mapping[str, object]]]) -> None:
        self.function = function

    def __repr__(self) -> str:
        """Return the name of the function, which is shown as the rendered field."""
        return f"<function {getattr(self.function, '__qualname__', type(self.function).__name__)}>"


class DeliverEventStreamOperator(EndpointOperator):
    """
    Deliver a stream of events to one endpoint, each at most once per run or manual clear.

    Use it for hundreds of events or more: it reuses connections, and claims many events at once. The task returns
    counts by outcome, rates, percentiles of durations in milliseconds, and the folder of the records.

    The other arguments are those of every delivery (``docs/reference/operators.md``) and of every operator. A stream
    goes to one endpoint; ``.expand(service_hook_conn_id=[…])`` makes one task for each.

    Example:

    ```python
    from airflow_provider_hooks import DeliverEventStreamOperator

    replay = DeliverEventStreamOperator(
        task_id="replay",
        service_hook_conn_id="orders_warehouse",
        event_type="orders.loaded",
        events="/data/orders/{{ ds }}.jsonl.gz",
        records_path="/data/records",
        rate_limit=500,
    )
    ```

    :param events: a file of JSON Lines, plain or gzip, as a path or URL for Airflow's ``ObjectStoragePath``; or a list
        of events, such as an XCom or a generator; or a function that returns the same events each time. An event is a
        documented payload, or its fields by name; of the user's own type any JSON object
    :param event_type: ``event.created``, ``event.alert``, or the user's own type, such as ``orders.loaded``
    :param id_field: the field of an event of the user's own type that is its id
    :param type_field: the field of each event that is its type, in place of ``event_type``, for types of the user's own
    :param records_path: the folder for the records, as a path or URL; each run or manual clear has its own folder
        in it
    :param concurrency: how many requests are under way at once; as many can be lost when the receiver restarts
    :param rate_limit: events per second at most; without one, as many as the receiver takes
    :param stop_after_failures: after this number of failures in a row nothing more is sent; ``None``: never stop
    :param on_invalid: if an event is invalid, ``fail`` before anything is sent, or ``skip`` it and report it in the
        records
    :param shard: ``(i, n)``: deliver shard ``i``, from 0, of ``n`` of the events; for ``.expand()``
    :param undelivered_from: the folder of the records of an earlier run over the same events, as that run returned it;
        only what it did not deliver is sent
    :param resend_outcomes: with ``undelivered_from``, which outcomes are sent: ``not_sent``, ``rejected``, ``unknown``
    """

    template_fields: Sequence[str] = (
        *EndpointOperator.template_fields,
        "events",
        "event_type",
        "id_field",
        "type_field",
        "records_path",
        "concurrency",
        "rate_limit",
        "stop_after_failures",
        "on_invalid",
        "shard",
        "undelivered_from",
        "resend_outcomes",
    )

    def __init__(
        self,
        *,
        task_id: str,
        events: Events,
        records_path: str,
        event_type: str = "event.created",
        id_field: str = "id",
        type_field: str | None = None,
        concurrency: int | str = 32,
        rate_limit: float | str | None = None,
        stop_after_failures: int | str | None = 100,
        on_invalid: Literal["fail", "skip"] = "fail",
        shard: tuple[int, int] | Sequence[int] | None = None,
        undelivered_from: str | None = None,
        resend_outcomes: Sequence[Literal["not_sent", "rejected", "unknown"]] = ("not_sent",),
        **kwargs: Unpack[EndpointArguments],
    ) -> None:
        super().__init__(task_id=task_id, **kwargs)
        self.events = _EventsFunction(events) if callable(events) else events
        self.event_type = event_type
        self.id_field = id_field
        self.type_field = type_field
        self.records_path = records_path
        self.concurrency = concurrency
        self.rate_limit = rate_limit
        self.stop_after_failures = stop_after_failures
        self.on_invalid = on_invalid
        self.shard = shard
        self.undelivered_from = undelivered_from
        self.resend_outcomes = resend_outcomes

    def execute(self, context: Context) -> JsonObject:
        """
        Deliver the events, and return counts by outcome, rates, percentiles, and the folder of the records.

        :raises NonRetryableError: if an event was rejected, is unknown or was not sent, or an input cannot be used,
            which a retry must not or cannot change
        :raises DeliveryNotSentError: if the stream was stopped, or events were not received; Airflow's own ``retries``
            then send exactly the rest
        """
        from airflow_provider_hooks._runtime.failures import NonRetryableError
        from airflow_provider_hooks.exceptions import ValidationError
        from airflow_provider_hooks.hooks.stream import StreamHook

        try:
            options = self._read_options()
        except ValidationError as error:
            raise NonRetryableError(str(error)) from None
        events = self.events.function if isinstance(self.events, _EventsFunction) else self.events
        conn_id = cast("str", self.service_hook_conn_id)  # checked
        return StreamHook(conn_id).deliver_stream(
            None if options.type_field else self.event_type,
            events,
            records_path=self.records_path,
            options=options,
            context=context,
        )

    def _read_options(self) -> StreamOptions:
        from airflow_provider_hooks.events.types import check_event_type
        from airflow_provider_hooks.exceptions import ValidationErrors
        from airflow_provider_hooks.operators._arguments import (
            read_count,
            read_name,
            read_outcomes,
            read_rate,
            read_shard,
        )
        from airflow_provider_hooks.sanitize import safe_repr
        from airflow_provider_hooks.stream.model import StreamOptions

        problems = ValidationErrors(f"task {self.task_id}")
        try:
            check_event_type(self.event_type)
        except ValueError as error:
            problems.add("event_type", str(error))
        read_name(problems, "service_hook_conn_id", self.service_hook_conn_id)
        read_name(problems, "id_field", self.id_field)
        if self.type_field:
            read_name(problems, "type_field", self.type_field)
            if self.event_type != "event.created":
                problems.add("type_field", "cannot be combined with event_type; give one")
        if self.on_invalid not in {"fail", "skip"}:
            problems.add("on_invalid", f"must be fail or skip, not {safe_repr(self.on_invalid)}")
        read_name(problems, "records_path", self.records_path)
        if self.undelivered_from is not None:
            read_name(problems, "undelivered_from", self.undelivered_from)
        options = StreamOptions(
            policy=self.read_policy(),
            concurrency=read_count(problems, "concurrency", self.concurrency, largest=4_096) or 1,
            rate_limit=read_rate(problems, "rate_limit", self.rate_limit),
            stop_after_failures=read_count(problems, "stop_after_failures", self.stop_after_failures),
            skips_invalid=self.on_invalid == "skip",
            format=self.format or None,
            id_field=self.id_field,
            type_field=self.type_field or None,
            shard=read_shard(problems, self.shard),
            undelivered_from=self.undelivered_from,
            resend_outcomes=read_outcomes(problems, "resend_outcomes", self.resend_outcomes),
        )
        problems.raise_if_any()
        return options
