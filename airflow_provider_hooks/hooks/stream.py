# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``StreamHook``: delivers a stream of events to the endpoint of an Airflow connection of type ``service_hook``."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING

from airflow_provider_hooks._runtime.airflow import describe_own_event, may_have_lost_claim
from airflow_provider_hooks._runtime.compat import AirflowNotFoundException
from airflow_provider_hooks._runtime.failures import (
    DeliveryFailedError,
    DeliveryNotSentError,
    RetryableError,
    make_failure,
)
from airflow_provider_hooks._runtime.ledger import find_pause, open_event_claims, open_task_claim
from airflow_provider_hooks._runtime.stream_files import check_records, find_earlier_records, make_records, open_source
from airflow_provider_hooks._runtime.telemetry import count_deliveries
from airflow_provider_hooks.delivery.claims import KEY_PREFIX, LOST_CLAIM
from airflow_provider_hooks.events.formats import find_format
from airflow_provider_hooks.events.reader import EventReader
from airflow_provider_hooks.exceptions import EndpointPausedError, ServiceHookError, ValidationError, drop_frames
from airflow_provider_hooks.hooks.endpoint import EndpointHook
from airflow_provider_hooks.http.connect import Connector
from airflow_provider_hooks.http.engine import Engine
from airflow_provider_hooks.stream.claims import BatchSizer, StreamClaim
from airflow_provider_hooks.stream.encode import RequestEncoder, check_all_valid, select_undelivered
from airflow_provider_hooks.stream.event_claims import EventDescription
from airflow_provider_hooks.stream.model import StreamContext, StreamDependencies
from airflow_provider_hooks.stream.stream import deliver_stream, find_finished, find_records
from airflow_provider_hooks.stream.summary import Progress
from airflow_provider_hooks.stream.throttle import CircuitBreaker, RateLimiter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow.sdk import Context

    from airflow_provider_hooks._runtime.stream_files import Events
    from airflow_provider_hooks.delivery.endpoint import Endpoint
    from airflow_provider_hooks.delivery.policy import Once
    from airflow_provider_hooks.json_types import JsonObject
    from airflow_provider_hooks.stream.encode import EncodedRequest
    from airflow_provider_hooks.stream.event_claims import EventClaims
    from airflow_provider_hooks.stream.model import StreamOptions, StreamResult
    from airflow_provider_hooks.stream.records import RecordFolder


SEVERAL_TYPES = "several"
"""The event type in the metrics of a stream whose events have several types."""
_RESEND_ADVICE: Mapping[Once, str] = MappingProxyType(
    {
        "run": "Clear the task to send all events again, or send only these with undelivered_from",
        "event": (
            "Clear the task to send those that were not sent. To send another one again, run: airflow service-hooks "
            "deliveries resend <delivery id>; or send several with undelivered_from and resend_outcomes"
        ),
    }
)


class StreamHook(EndpointHook):
    """
    Delivers streams of events to the endpoint that a connection describes.

    :param service_hook_conn_id: a connection of type ``service_hook``
    """

    @drop_frames
    def deliver_stream(
        self, event_type: str | None, events: Events, *, records_path: str, options: StreamOptions, context: Context
    ) -> JsonObject:
        """
        Deliver every event at most once per run or manual clear, and return the summary.

        :param event_type: the type of all events; ``None`` if the options name the field of each event's type
        :param records_path: a folder; each run or manual clear writes its records to its own folder in it
        :param context: the task's context, whose state store holds the claim
        :raises NonRetryableError: if an event was rejected, is unknown or was not sent, or an input cannot be used,
            which a retry must not or cannot change
        :raises DeliveryNotSentError: if the receiver failed too often in a row, or events were not received; Airflow's
            own ``retries`` then send exactly the rest
        :raises RetryableError: if events cannot be read or records cannot be written; ``retries`` then resume
        :raises AirflowSkipException: if the connection is disabled
        """
        ti = context["ti"]
        run = StreamContext(
            generation=str(ti.max_tries),
            try_number=ti.try_number,
            is_last_try=ti.try_number > ti.max_tries,
            claim_may_be_lost=self._settings.ledger_conn_id is None and may_have_lost_claim(context),
        )
        try:
            self._find_ledger(options.policy)  # refuse a policy that needs one
            store = open_task_claim(
                context,
                KEY_PREFIX,
                StreamClaim,
                settings=self._settings,
                endpoint=self.service_hook_conn_id,
                event_type=event_type,
            )
            found = store.load()
            if found is None and run.claim_may_be_lost:
                self.log.warning(LOST_CLAIM)
            result = find_finished(found, run)
            if result is None:
                begun = find_records(found, run)
                records = make_records(records_path, context, generation=run.generation)
                check_records(begun, records)
                with self._open_stream(
                    event_type,
                    events,
                    records=records,
                    options=options,
                    run=run,
                    context=context,
                ) as dependencies:
                    if not begun and not options.skips_invalid:
                        check_all_valid(dependencies.source, dependencies.encoder)
                    result = deliver_stream(dependencies, found, store=store, run=run)
        except (ServiceHookError, AirflowNotFoundException) as error:
            raise make_failure(error) from None
        except OSError as error:
            raise RetryableError(f"the events cannot be read, or the records cannot be written: {error}") from None
        return self._conclude(result, event_type, once=options.policy.once, context=context)

    @contextmanager
    def _open_stream(
        self,
        event_type: str | None,
        events: Events,
        *,
        records: RecordFolder,
        options: StreamOptions,
        run: StreamContext,
        context: Context,
    ) -> Iterator[StreamDependencies]:
        """Open what a stream is sent with; refuse what cannot be used, before anything is sent."""
        endpoint = self._find_endpoint(event_type)
        pause = find_pause(self._settings, endpoint.conn_id)
        if pause is not None:
            raise EndpointPausedError(f"endpoint {endpoint.conn_id} {pause.describe()}; nothing was sent")
        limits = self._sender.limits(endpoint)
        size = self._settings.max_payload_bytes
        chosen, reader = find_format(options.format, event_type or "", settings=endpoint.format_settings), None
        if event_type is None and chosen.name == "sentry":
            raise ValidationError("events", {"format": "sentry has no events of the types that type_field names"})
        if chosen.name != "sentry":
            reader = EventReader(
                event_type,
                format=chosen,
                id_field=options.id_field,
                type_field=options.type_field,
                defaults=describe_own_event(context),
                max_payload_bytes=size,
            )
        tokens = self._sender.open_tokens(endpoint)
        encoder = RequestEncoder(endpoint, event_type, max_payload_bytes=size, reader=reader, tokens=tokens)
        source, redelivered = open_source(events, options.shard), frozenset[int]()
        if options.undelivered_from is not None:
            earlier = find_earlier_records(options.undelivered_from)
            source, redelivered = select_undelivered(source, encoder, earlier, options.resend_outcomes)
        rate_limiter = RateLimiter(rate_limit=options.rate_limit)
        engine: Engine[EncodedRequest] = Engine(
            Connector(endpoint.target, policy=self._policy, limits=limits),
            concurrency=options.concurrency,
            timeout=limits.timeout,
            throttle=rate_limiter,
            keep_headers=False,
            preparer=None if tokens is None else encoder,
        )
        record_fields = {
            "endpoint": endpoint.conn_id,
            **({} if event_type is None else {"event_type": event_type}),
            "url": endpoint.target.display_url,
            "scheme": endpoint.scheme.name,
            "generation": run.generation,
        }
        gc.freeze()  # else the garbage collector visits all of Airflow's objects again and again: 5 % of the time
        try:
            yield StreamDependencies(
                policy=options.policy,
                source=source,
                encoder=encoder,
                engine=engine,
                rate_limiter=rate_limiter,
                breaker=CircuitBreaker(limit=options.stop_after_failures),
                records=records,
                record_fields=record_fields,
                progress=Progress(self.log, end=source.end),
                sizer=BatchSizer(concurrency=options.concurrency, rate_limit=options.rate_limit),
                redelivered=redelivered,
                event_claims=self._open_event_claims(endpoint, event_type, options=options, run=run, context=context),
            )
        finally:
            gc.unfreeze()
            engine.close()

    def _open_event_claims(
        self,
        endpoint: Endpoint,
        event_type: str | None,
        *,
        options: StreamOptions,
        run: StreamContext,
        context: Context,
    ) -> EventClaims | None:
        """Return the claims of the single events, where the policy delivers an event id once for ever."""
        database = self._find_ledger(options.policy)
        if database is None or options.policy.once == "run":
            return None
        description = EventDescription(
            endpoint=endpoint.conn_id,
            url=endpoint.target.display_url,
            scheme=endpoint.scheme.name,
            event_type=event_type,
        )
        return open_event_claims(
            context,
            KEY_PREFIX,
            settings=self._settings,
            database=database,
            description=description,
            run=self._make_shared_context(endpoint, try_number=run.try_number, policy=options.policy),
            resends=frozenset() if options.undelivered_from is None else options.resend_outcomes,
        )

    def _conclude(self, result: StreamResult, event_type: str | None, *, once: Once, context: Context) -> JsonObject:
        """Return the result if every event was delivered; otherwise push it to XCom and fail the task."""
        summary = result.summary
        returned: JsonObject = {
            **summary.describe(),
            "unsent": result.unsent,
            "records": result.records,
            "stopped": result.is_stopped,
            "without_record": result.without_record,
        }
        if not result.from_previous_try:
            for outcome, count in summary.outcomes.items():
                named = event_type or SEVERAL_TYPES
                count_deliveries(count, endpoint=self.service_hook_conn_id, event_type=named, outcome=outcome)
        self.log.info("%s", summary)
        if result.from_previous_try:
            self.log.warning("Nothing was sent by this try: an earlier one already sent the stream")
        if result.without_record:
            message = "%s of these events have no record: it could not be written to %s, or was removed"
            self.log.warning(message, f"{result.without_record:,}", result.records)
        undelivered = summary.count_undelivered()
        if not undelivered and not result.is_stopped and not result.unsent:
            return returned
        context["ti"].xcom_push(key="return_value", value=returned)
        _raise_stopped(result)
        lines = [
            f"{undelivered:,} of {summary.total:,} events were not delivered, or may not have been",
            f"{summary}",
            f"Records: {result.records}",
            _RESEND_ADVICE[once],
        ]
        raise DeliveryFailedError("\n".join(lines))


def _raise_stopped(result: StreamResult) -> None:
    """
    Return if every event has an outcome; else fail the task, so that a retry resumes.

    :raises DeliveryNotSentError: if events are left to it
    :raises RetryableError: if the events cannot be read, or the records cannot be written
    """
    failure = result.failure
    if failure is not None and not isinstance(failure, OSError):
        if isinstance(failure, ServiceHookError):
            raise make_failure(failure) from None
        raise failure
    details = [f"{result.summary}", f"Records: {result.records}"]
    if isinstance(failure, OSError):
        advice = "A retry resumes and sends nothing twice. After the last one, a clear sends all events again"
        begin = f"The events cannot be read, or the records cannot be written: {failure}"
        raise RetryableError("\n".join([begin, *details, advice]))
    if result.is_stopped:
        begin, advice = f"The stream was stopped: {result.stopped_by}", "A retry resumes and sends nothing twice"
        raise DeliveryNotSentError("\n".join([begin, *details, advice]))
    if result.unsent:
        begin = f"{result.unsent:,} events were not received after several attempts"
        raise DeliveryNotSentError("\n".join([begin, *details, "A retry sends exactly these"]))
