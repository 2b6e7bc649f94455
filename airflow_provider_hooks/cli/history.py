# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``deliveries list``, ``show`` and ``stats``: what happened to deliveries."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import msgspec

from airflow_provider_hooks.admin.stored import open_ledger_database
from airflow_provider_hooks.cli._run import command, eprint, open_stored_for_command, show
from airflow_provider_hooks.cli.commands import ExitCode
from airflow_provider_hooks.delivery.claims import RESEND, SETTLED
from airflow_provider_hooks.exceptions import ValidationErrors
from airflow_provider_hooks.ledger.advice import advise, summarize
from airflow_provider_hooks.ledger.history import Filters, count_by_endpoint
from airflow_provider_hooks.ledger.schema import check_version

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from airflow_provider_hooks.json_types import JsonObject, JsonValue
    from airflow_provider_hooks.ledger.history import Delivery, DeliveryDetails, StoredAttempt

MAX_LIMIT = 10_000
_NOT_IN_DETAILS = frozenset({"delivery_id", "event_id", "event_type", "endpoint", "url", "scheme"})
"""The fields of an attempt that its delivery has too."""


@command
def list_stored(args: Namespace) -> ExitCode:
    """Print a page of deliveries, newest first."""
    problems = ValidationErrors("the list")
    if not 1 <= args.limit <= MAX_LIMIT:
        problems.add("--limit", f"must be 1 to {MAX_LIMIT}, not {args.limit}")
    problems.raise_if_any()
    with open_stored_for_command() as stored:
        page = stored.list_page(filters=_read_filters(args), limit=args.limit, after=args.after)
    data: JsonObject = {
        "deliveries": [one.as_json() for one in page.deliveries],
        "next_cursor": page.next_cursor,
    }
    show(data, args.output, rows=[_make_row(one) for one in page.deliveries])
    if page.next_cursor is not None and args.output in ("table", "plain"):
        eprint(f"there are more; the next page: --after {page.next_cursor}")
    return ExitCode.DONE


@command
def show_stored(args: Namespace) -> ExitCode:
    """Print what happened to one delivery, and each of its attempts."""
    with open_stored_for_command() as stored:
        details = stored.find(args.id)
    data: JsonObject = {
        "what_happened": summarize(details),
        "what_to_do": " ".join(advise(details)) or None,
        **details.delivery.as_json(),
        "payload_stored_at": details.payload_stored_at,
        "attempts": cast("list[JsonValue]", msgspec.to_builtins(details.attempts)),
    }
    show(data, args.output, rows=list(_list_rows(data, details)))
    return ExitCode.DONE


@command
def show_stats(args: Namespace) -> ExitCode:
    """Print how many deliveries each endpoint had, by outcome."""
    with open_ledger_database() as database:
        check_version(database)
        counts = count_by_endpoint(database, filters=Filters(since=args.since, until=args.until))
    show([cast("JsonObject", msgspec.to_builtins(one)) for one in counts], args.output)
    return ExitCode.DONE


def _make_row(one: Delivery) -> JsonObject:
    """Return the columns of a table: what fits a terminal."""
    return {
        "id": one.id,
        "claimed_at": one.claimed_at[:19],
        "outcome": one.outcome if one.state not in (SETTLED, RESEND) else f"{one.outcome} ({one.state})",
        "reason": one.status_code or one.error_class,
        "endpoint": one.endpoint,
        "event_type": one.event_type if one.kind == "event" else f"{one.event_type or ''} (stream)".strip(),
        "event_id": one.event_id,
        "delivery_id": one.delivery_id,
        "source": one.source,
    }


def _list_rows(data: JsonObject, details: DeliveryDetails) -> Iterator[JsonObject]:
    """Yield the rows of a table: what happened, the delivery, then each attempt."""
    for name, value in data.items():
        if name != "attempts":
            yield {"field": name.replace("_", " "), "value": value}
    for number, attempt in enumerate(details.attempts, start=1):
        for name, value in _list_fields(attempt):
            yield {"field": f"attempt {number}: {name.replace('_', ' ')}", "value": value}


def _list_fields(attempt: StoredAttempt) -> Iterator[tuple[str, JsonValue]]:
    yield "try number", attempt.try_number
    for name, value in attempt.record.items():
        if name in _NOT_IN_DETAILS or value is None:
            continue
        if isinstance(value, dict):
            shown = {inner: content for inner, content in value.items() if content is not None}
            yield name, ", ".join(f"{inner}: {content}" for inner, content in shown.items())
        else:
            yield name, value


def _read_filters(args: Namespace) -> Filters:
    return Filters(
        outcomes=tuple(dict.fromkeys(args.outcomes or ())),
        endpoint=args.endpoint,
        event_type=args.event_type,
        event_id=args.event_id,
        dag_id=args.dag_id,
        run_id=args.run_id,
        since=args.since,
        until=args.until,
    )
