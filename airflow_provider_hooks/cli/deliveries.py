# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``deliver`` and ``ping``: one event to an endpoint, or a look whether it can be reached."""

from __future__ import annotations

import sys
from types import MappingProxyType
from typing import TYPE_CHECKING

from airflow_provider_hooks.cli._input import read_event, read_input
from airflow_provider_hooks.cli._run import command, tell
from airflow_provider_hooks.cli.exit_codes import ExitCode
from airflow_provider_hooks.cli.output import show, writing
from airflow_provider_hooks.exceptions import ConnectError
from airflow_provider_hooks.hooks.endpoint import EndpointHook
from airflow_provider_hooks.outcomes import ErrorClass, Outcome

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping

    from airflow_provider_hooks.delivery.request import Preview

_CODES: Mapping[Outcome, ExitCode] = MappingProxyType(
    {
        Outcome.DELIVERED: ExitCode.DONE,
        Outcome.REJECTED: ExitCode.REJECTED,
        Outcome.NOT_SENT: ExitCode.NOT_SENT,
        Outcome.UNKNOWN: ExitCode.UNKNOWN,
    }
)


@command
def deliver(args: Namespace) -> ExitCode:
    """Deliver one event by at most one request and print the record, or print the request that would be sent."""
    event_type, payload = read_event(read_input(args.file), event_type=args.event_type)
    hook = EndpointHook(args.service_hook_conn_id)
    if args.dry_run:
        _show_preview(hook.preview(event_type, payload), args.output)
        return ExitCode.DONE
    try:
        record = hook.deliver_unclaimed(event_type, payload).record
    except KeyboardInterrupt:
        tell("interrupted; the event may have arrived")
        return ExitCode.UNKNOWN
    show(record.as_json(), args.output, done=record.summarize())
    return _CODES[record.outcome]


@command
def ping(args: Namespace) -> ExitCode:
    """Connect to an endpoint, TLS included, and print whether it could be reached; nothing is sent."""
    conn_id = args.service_hook_conn_id
    try:
        endpoint, peer = EndpointHook(conn_id).connect()
    except ConnectError as error:
        told = {"error_class": error.error_class.value, "message": str(error)}
        show({"endpoint": conn_id, "reached": False, **told}, args.output)
        return ExitCode.REFUSED if error.error_class is ErrorClass.BLOCKED_ADDRESS else ExitCode.NOT_SENT
    found = {"peer_address": peer, "scheme": endpoint.scheme.name, "message": "Connected. Nothing was sent."}
    show({"endpoint": conn_id, "reached": True, **found}, args.output)
    return ExitCode.DONE


def _show_preview(preview: Preview, output: str) -> None:
    """Print a request: to be read as it is, and saved for ``verify``, unless another format is asked for."""
    if output in ("json", "yaml"):
        show(preview.as_json(), output)
        return
    end = b"\n" if sys.stdout.isatty() else b""  # for the prompt; a file gets the body alone
    with writing():
        sys.stdout.buffer.write(preview.as_message() + end)
