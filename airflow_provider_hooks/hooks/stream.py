# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""A stream of events to the endpoint of a connection, as an Airflow task sends it."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from airflow.sdk import ObjectStoragePath
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_provider_hooks._runtime.airflow import open_state_store
from airflow_provider_hooks._runtime.failures import (
    DeliveryFailedError,
    DeliveryNotSentError,
    RetryableError,
    raise_fail_fast,
)
from airflow_provider_hooks._runtime.telemetry import count_deliveries
from airflow_provider_hooks.exceptions import ServiceHookError, ValidationError
from airflow_provider_hooks.hooks.endpoint import EndpointHook
from airflow_provider_hooks.http.connect import Connector
from airflow_provider_hooks.http.engine import Engine
from airflow_provider_hooks.stream.encode import RequestEncoder
from airflow_provider_hooks.stream.records import RecordEncoder, RecordFolder
from airflow_provider_hooks.stream.sources import FileSource, IterableSource, Shard, Source
from airflow_provider_hooks.stream.stream import (
    StreamContext,
    StreamDependencies,
    StreamResult,
    deliver_stream,
    find_invalid,
)
from airflow_provider_hooks.stream.throttle import CircuitBreaker, RateLimiter

if TYPE_CHECKING:
    from typing import BinaryIO

    from airflow.sdk import Context

    from airflow_provider_hooks.json_types import JsonObject
    from airflow_provider_hooks.stream.records import Folder
    from airflow_provider_hooks.stream.summary import Summary

Events = str | ObjectStoragePath | Iterable[Mapping[str, object]] | Callable[[], Iterable[Mapping[str, object]]]
"""Where events come from: a file of JSON Lines, an iterable, or a function that returns one."""

PROGRESS_SECONDS = 5.0
"""How often progress is logged, at most."""
_SHOWN_INVALID = 10


@dataclass(frozen=True, kw_only=True)
class StreamOptions:
    """How a stream is to be sent, read and checked."""

    concurrency: int
    rate_limit: float | None
    stop_after_failures: int | None
    skips_invalid: bool
    shard: Shard


class StreamHook(EndpointHook):
    """
    Delivers streams of events to the endpoint that a connection describes.

    :param service_hook_conn_id: a connection of type ``service_hook``
    """

    def deliver_stream(
        self, event_type: str, events: Events, *, records_path: str, options: StreamOptions, context: Context
    ) -> JsonObject:
        """
        Deliver every event at most once for each time that a person asks for it, and return what came of them.

        :param records_path: a folder; the records are in one of its own in it
        :param context: the task's context, whose state store keeps the claims
        :raises NonRetryableError: if an event was rejected, is unknown or was not sent, or something cannot be used
            as it is, all of which a retry must not or cannot change
        :raises DeliveryNotSentError: if the receiver failed too often in a row; Airflow's own ``retries`` then go on
            where it stopped
        :raises RetryableError: if events cannot be read or records not be written; ``retries`` then go on, too
        """
        ti = context["ti"]
        generation = str(ti.max_tries)
        try:
            store = open_state_store(context)
            asking = StreamContext(
                generation=generation, try_number=ti.try_number, is_last_try=ti.try_number > ti.max_tries
            )
            with ExitStack() as stack:

                def make_tools(begun_records: str | None) -> StreamDependencies:
                    # A template may name another folder in each try; the records of one asking stay together.
                    folder = (
                        cast("Folder", ObjectStoragePath(begun_records))
                        if begun_records
                        else _find_folder(records_path, context, generation)
                    )
                    source = _open_source(events, options.shard)
                    tools = self._make_tools(event_type, source, folder, options=options, generation=generation)
                    stack.callback(tools.engine.close)
                    if not begun_records and not options.skips_invalid:
                        _check_all(tools)
                    stack.enter_context(_gc_frozen())
                    return tools

                end = deliver_stream(make_tools, store=store, asking=asking)
        except (ServiceHookError, AirflowNotFoundException) as error:
            raise_fail_fast(error)
        except OSError as error:
            raise RetryableError(f"the events cannot be read, or the records not be written: {error}") from None
        return self._conclude(end, event_type, context)

    def _make_tools(
        self, event_type: str, source: Source, folder: Folder, *, options: StreamOptions, generation: str
    ) -> StreamDependencies:
        endpoint, settings, policy = self.get_endpoint_for(event_type), self._settings, self._policy
        limits = self._limits(endpoint)
        pace = RateLimiter(rate_limit=options.rate_limit)
        connector = Connector(endpoint.target, policy=policy, limits=limits)
        preparer = RequestEncoder(
            endpoint,
            event_type,
            max_payload_bytes=settings.max_payload_bytes,
        )

        def make_lines(is_redelivery: bool) -> RecordEncoder:
            return RecordEncoder(
                {
                    "endpoint": endpoint.conn_id,
                    "event_type": event_type,
                    "url": endpoint.target.display_url,
                    "scheme": endpoint.scheme.name,
                    "generation": generation,
                    "redelivery": is_redelivery,
                }
            )

        return StreamDependencies(
            source=source,
            preparer=preparer,
            engine=Engine(
                connector, concurrency=options.concurrency, timeout=limits.timeout, throttle=pace, keep_headers=False
            ),
            pace=pace,
            breaker=CircuitBreaker(limit=options.stop_after_failures),
            records=RecordFolder(folder),
            make_lines=make_lines,
            report=_Progress(lambda told: self.log.info("%s", told), source).tell,
        )

    def _conclude(self, end: StreamResult, event_type: str, context: Context) -> JsonObject:
        """Return what a stream came to if every event was delivered; else keep it, and fail as it deserves."""
        told: JsonObject = {**end.summary.describe(), "records": end.records, "stopped": end.is_stopped}
        if not end.from_previous_try:
            for outcome, count in end.summary.outcomes.items():
                count_deliveries(count, endpoint=self.service_hook_conn_id, event_type=event_type, outcome=outcome)
        self.log.info("%s", _summarize(end.summary))
        if end.from_previous_try:
            self.log.warning("Nothing was sent by this try: an earlier one sent the stream for the same asking")
        undelivered = end.summary.count_undelivered()
        if not undelivered and not end.is_stopped:
            return told
        context["ti"].xcom_push(key="return_value", value=told)
        if end.is_stopped:
            raise DeliveryNotSentError(
                f"stopped after too many failures in a row; {_summarize(end.summary)}. A retry goes on where it "
                f"stopped; records: {end.records}"
            )
        raise DeliveryFailedError(
            f"{undelivered} of {end.summary.total} events were not delivered, or may not have been: "
            f"{_summarize(end.summary)}. Records: {end.records}. Clear the task to send all events again"
        )


@contextmanager
def _gc_frozen() -> Iterator[None]:
    """Keep the garbage collector from looking through all of Airflow again and again: 5 % of a stream's time."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _find_folder(records_path: str, context: Context, generation: str) -> Folder:
    ti = context["ti"]
    path = ObjectStoragePath(records_path)
    for name in (ti.dag_id, ti.run_id, ti.task_id, str(ti.map_index), f"generation-{generation}"):
        path /= quote(name, safe=" :+@=,")
    return cast("Folder", path)


def _open_source(events: Events, shard: Shard) -> Source:
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
    if not isinstance(events, Iterable) or isinstance(events, Mapping | bytes) or iter(events) is events:
        told = "must be a file, a list, or a function that returns the same events each time; not what can be read once"
        raise ValidationError("events", {"events": told})
    return IterableSource(make=lambda: events, shard=shard)


def _check_all(tools: StreamDependencies) -> None:
    """
    Return if every event can be delivered.

    :raises ValidationError: naming the first that cannot, with their place
    """
    found = dict(find_invalid(tools, at_most=_SHOWN_INVALID + 1))
    if found:
        shown: Sequence[tuple[int, str]] = list(found.items())[:_SHOWN_INVALID]
        more = {"and more": "only the first are named"} if len(found) > _SHOWN_INVALID else {}
        unit = "at byte" if isinstance(tools.source, FileSource) else "number"
        named = {f"event {unit} {position}": problem for position, problem in shown}
        raise ValidationError("events (nothing was sent)", {**named, **more})


class _Progress:
    """Logs how far a stream is, at most once in a while."""

    def __init__(self, say: Callable[[str], None], source: Source) -> None:
        self._say, self._source = say, source
        self._started = self._last = time.monotonic()
        self._first: tuple[int, int] | None = None

    def tell(self, summary: Summary, position: int) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = (summary.total, position)
        if now - self._last < PROGRESS_SECONDS:
            return
        self._last = now
        done, read = summary.total - self._first[0], position - self._first[1]
        left = ""
        if self._source.end and read > 0:
            seconds = (self._source.end - position) / read * (now - self._started)
            left = f", about {max(0, seconds):.0f} s left"
        self._say(f"{_summarize(summary)}, {done / (now - self._started):,.0f} events/s{left}")


def _summarize(summary: Summary) -> str:
    counts = ", ".join(f"{name} {count:,}" for name, count in summary.outcomes.items() if count) or "none"
    invalid = f" ({summary.invalid:,} of them invalid)" if summary.invalid else ""
    pauses = f", {summary.pauses} pauses that the receiver asked for" if summary.pauses else ""
    return f"{summary.total:,} events: {counts}{invalid}{pauses}"
