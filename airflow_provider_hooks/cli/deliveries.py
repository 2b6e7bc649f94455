# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``deliver`` and ``ping``: send one event to an endpoint, or check that the endpoint can be reached."""

from __future__ import annotations

import codecs
import sys
import uuid
from datetime import datetime, timezone
from typing import TYPE_CHECKING, cast

import orjson

from airflow_provider_hooks._runtime.airflow import read_base_url
from airflow_provider_hooks.cli._run import command, eprint, read_input, show, stdout_guard
from airflow_provider_hooks.cli.commands import OUTCOME_CODES, ExitCode
from airflow_provider_hooks.delivery.policy import make_policy
from airflow_provider_hooks.events import build_event_alert, build_event_created, extract_fields
from airflow_provider_hooks.events.event import OwnEventDraft
from airflow_provider_hooks.events.schema import list_fields
from airflow_provider_hooks.events.types import EVENT_ALERT, EVENT_CREATED, EVENT_TYPES
from airflow_provider_hooks.exceptions import ConnectError, ValidationError
from airflow_provider_hooks.hooks.endpoint import DISABLED, EndpointHook
from airflow_provider_hooks.outcomes import ErrorClass

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping

    from airflow_provider_hooks.delivery.request import Preview
    from airflow_provider_hooks.events.types import Payload

_ONLY_IN_CREATED = list_fields(EVENT_CREATED).keys() - list_fields(EVENT_ALERT).keys()


@command
def deliver(args: Namespace) -> ExitCode:
    """Deliver one event, by default with one request, and print its record, or print the request of a dry run."""
    event_type, payload = _read_arguments(args)
    statuses = None if args.retry_statuses is None else args.retry_statuses.split(",")
    policy = make_policy(guarantee=args.guarantee, retry_statuses=statuses, once=args.once)
    hook = EndpointHook(args.service_hook_conn_id)
    if args.dry_run:
        _show_preview(hook.preview(event_type, payload, format=args.format), args.output)
        return ExitCode.DONE
    try:
        record = hook.deliver_now(event_type, payload, policy=policy, format=args.format).record
    except KeyboardInterrupt:
        eprint("interrupted; the event may have been received")
        return ExitCode.UNKNOWN
    show(record.as_json(), args.output, done=record.summarize())
    return OUTCOME_CODES[record.attempt.outcome]


@command
def ping(args: Namespace) -> ExitCode:
    """Connect to an endpoint, including TLS, and print whether it could be reached; no request is sent."""
    conn_id = args.service_hook_conn_id
    try:
        endpoint, peer = EndpointHook(conn_id).connect()
    except ConnectError as error:
        failure = {"error_class": error.error_class.value, "message": str(error)}
        show({"endpoint": conn_id, "reached": False, **failure}, args.output)
        return ExitCode.REFUSED if error.error_class is ErrorClass.BLOCKED_ADDRESS else ExitCode.NOT_SENT
    message = "Connected. Nothing was sent."
    if endpoint.is_disabled:
        message = f"{message} {DISABLED}"
    connected = {"peer_address": peer, "scheme": endpoint.scheme.name, "message": message}
    show({"endpoint": conn_id, "reached": True, **connected}, args.output)
    return ExitCode.DONE


def _read_arguments(args: Namespace) -> tuple[str, Payload | OwnEventDraft]:
    """
    Return the type of the event that the arguments describe, and its payload or its draft.

    :raises ValidationError: if the arguments contradict each other, or naming each field that is wrong
    """
    given = [name for name, value in (("--data", args.data), ("--message", args.message)) if value is not None]
    given += ["FILE"] if args.file != "-" else []
    if len(given) > 1:
        raise ValidationError("the event", {given[0]: f"give {' or '.join(given)}, not both"})
    event_type: str | None = args.event_type or (EVENT_ALERT if args.message is not None else None)
    event_id: str = args.event_id or uuid.uuid4().hex
    if event_type is not None and event_type not in EVENT_TYPES:
        return event_type, _draft_own_event(args, event_type, event_id)
    if args.data is not None:
        raise ValidationError("the event", {"--data": "needs --event-type with your own event type"})
    if args.message is None:
        if args.event_id is not None:
            raise ValidationError("the event", {"--event-id": "the event in FILE has its id"})
        return _read_event(read_input(args.file), event_type=event_type)
    fields = {"project": "airflow", "project_id": "airflow", "project_name": "airflow", "url": f"{read_base_url()}/"}
    event = {"id": event_id, "message": args.message, "level": "info", **fields}
    if event_type == EVENT_CREATED:
        return EVENT_CREATED, build_event_created(event, datetime=datetime.now(timezone.utc))
    return EVENT_ALERT, build_event_alert(event, triggering_rules=["airflow service-hooks deliver"])


def _draft_own_event(args: Namespace, event_type: str, event_id: str) -> OwnEventDraft:
    data: object
    if args.message is not None:
        data = {"message": args.message}
    elif args.data is not None:
        data = _parse_json("--data", args.data)
    else:
        data = _parse_json("FILE", read_input(args.file))
    defaults = {"id": event_id, "datetime": datetime.now(timezone.utc), "source": f"{read_base_url()}/"}
    return OwnEventDraft(event_type=event_type, data=data, defaults=defaults)


def _parse_json(place: str, content: str | bytes) -> object:
    try:
        return orjson.loads(content.encode() if isinstance(content, str) else content.removeprefix(codecs.BOM_UTF8))
    except ValueError as error:
        raise ValidationError("the event", {place: f"is not JSON: {error}"}) from None


def _read_event(content: bytes, *, event_type: str | None) -> tuple[str, Payload]:
    """
    Return the type and the payload of an event from its JSON.

    :param event_type: the type; detected from the fields if ``None``
    :raises ValidationError: naming each field that is missing, wrong or not documented
    """
    source = cast("Mapping[str, object]", _parse_json("FILE", content))  # the builders check it
    event_type = event_type or _detect_event_type(extract_fields(source))
    return event_type, build_event_alert(source) if event_type == EVENT_ALERT else build_event_created(source)


def _detect_event_type(fields: dict[str, object]) -> str:
    if "triggering_rules" not in fields:
        return EVENT_CREATED
    if _ONLY_IN_CREATED & fields.keys():
        raise ValidationError("the event", {"--event-type": "must be given: it has the fields of both events"})
    return EVENT_ALERT


def _show_preview(preview: Preview, output: str) -> None:
    """Print a request, by default in the form that ``verify`` reads."""
    if output in ("json", "yaml"):
        show(preview.as_json(), output)
        return
    end = b"\n" if sys.stdout.isatty() else b""  # for the prompt; a file gets exactly the bytes of the body
    with stdout_guard():
        sys.stdout.buffer.write(preview.as_message() + end)
