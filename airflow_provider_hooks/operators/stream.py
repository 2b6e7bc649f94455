# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""An operator that delivers a stream of events, each at most once, at the speed of the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from airflow_provider_hooks.hooks.stream import Events, StreamOptions
    from airflow_provider_hooks.json_types import JsonObject


__all__ = ["DeliverEventStreamOperator"]


class DeliverEventStreamOperator(BaseOperator):
    """
    Deliver a stream of events to one endpoint, each at most once for each time that a person asks for it.

    :param service_hook_conn_id: a connection of type ``service_hook``
    :param events: a file of JSON Lines, plain or gzip, as a path or URL that Airflow's ``ObjectStoragePath`` takes;
        or a list of events, such as an XCom; or a function that returns the same events each time. An event is a
        documented payload, or its fields by name
    :param event_type: ``event.created`` or ``event.alert``
    :param records_path: the folder for the records, as a path or URL; each asking has one of its own in it
    :param concurrency: how many requests are under way at once
    :param rate_limit: events per second at most; without one, as many as the receiver takes
    :param stop_after_failures: after so many failures in a row nothing more is sent; ``None``: it never stops
    :param on_invalid: where an event cannot be delivered as it is, ``fail`` before anything is sent, or ``skip`` it and
        report it in the records
    :param shard: ``(i, n)``: deliver the part ``i``, from 0, of ``n`` of a file; for ``.expand()``
    """

    template_fields: Sequence[str] = (
        "service_hook_conn_id",
        "events",
        "event_type",
        "records_path",
        "concurrency",
        "rate_limit",
        "stop_after_failures",
        "on_invalid",
        "shard",
    )
    ui_color = "#d7e8f7"

    def __init__(
        self,
        *,
        events: Events,
        records_path: str,
        service_hook_conn_id: str = "service_hook_default",
        event_type: str = "event.created",
        concurrency: int | str = 64,
        rate_limit: float | str | None = None,
        stop_after_failures: int | str | None = 100,
        on_invalid: str = "fail",
        shard: tuple[int, int] | Sequence[int] | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]  # BaseOperator's own arguments
        self.service_hook_conn_id = service_hook_conn_id
        self.events = events
        self.event_type = event_type
        self.records_path = records_path
        self.concurrency = concurrency
        self.rate_limit = rate_limit
        self.stop_after_failures = stop_after_failures
        self.on_invalid = on_invalid
        self.shard = shard

    def execute(self, context: Context) -> JsonObject:
        """
        Deliver the events, and return counts by outcome, rates, percentiles, and where the records are.

        :raises NonRetryableError: if an event was rejected, is unknown or was not sent, or something cannot be used
            as it is, all of which a retry must not or cannot change
        :raises DeliveryNotSentError: if the stream was stopped; Airflow's own ``retries`` then go on where it stopped
        """
        from airflow_provider_hooks._runtime.failures import raise_fail_fast
        from airflow_provider_hooks.exceptions import ValidationError
        from airflow_provider_hooks.hooks.stream import StreamHook

        try:
            options = self._read_options()
        except ValidationError as error:
            raise_fail_fast(error)
        return StreamHook(self.service_hook_conn_id).deliver_stream(
            self.event_type, self.events, records_path=self.records_path, options=options, context=context
        )

    def _read_options(self) -> StreamOptions:
        from airflow_provider_hooks.events.types import EVENT_TYPES
        from airflow_provider_hooks.exceptions import ValidationErrors
        from airflow_provider_hooks.hooks.stream import StreamOptions
        from airflow_provider_hooks.operators._validators import read_count, read_name, read_rate, read_shard
        from airflow_provider_hooks.sanitize import safe_repr

        problems = ValidationErrors(f"task {self.task_id}")
        if self.event_type not in EVENT_TYPES:
            problems.add("event_type", f"must be {' or '.join(EVENT_TYPES)}, not {safe_repr(self.event_type)}")
        if self.on_invalid not in {"fail", "skip"}:
            problems.add("on_invalid", f"must be fail or skip, not {safe_repr(self.on_invalid)}")
        read_name(problems, "records_path", self.records_path)
        options = StreamOptions(
            concurrency=read_count(problems, "concurrency", self.concurrency, largest=4_096) or 1,
            rate_limit=read_rate(problems, "rate_limit", self.rate_limit),
            stop_after_failures=read_count(problems, "stop_after_failures", self.stop_after_failures),
            skips_invalid=self.on_invalid == "skip",
            shard=read_shard(problems, self.shard),
        )
        problems.raise_if_any()
        return options
