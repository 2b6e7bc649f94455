# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The definition of ``airflow service-hooks`` for Airflow's parser: names, arguments, help and exit codes.

Airflow imports it at the start of every ``airflow`` command, so it imports tables only. The module of a command is
imported when the command runs.
"""

from __future__ import annotations

import logging
import re
from argparse import ArgumentTypeError
from datetime import datetime, timedelta, timezone
from enum import IntEnum
from pkgutil import resolve_name
from types import MappingProxyType
from typing import TYPE_CHECKING, get_args

from airflow.cli.cli_config import (
    ARG_OUTPUT,
    ARG_VERBOSE,
    ARG_YES,
    ActionCommand,
    Arg,
    GroupCommand,
)

from airflow_provider_hooks.delivery.policy import RETRY_STATUSES, Guarantee, Once
from airflow_provider_hooks.events.types import check_event_type
from airflow_provider_hooks.outcomes import Outcome
from airflow_provider_hooks.signing.keys import KEY_FORMATS
from airflow_provider_hooks.signing.schemes import SCHEMES

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Mapping

    from airflow.cli.cli_config import CLICommand


class ExitCode(IntEnum):
    """The exit status of a command of ``airflow service-hooks``."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    REJECTED = 3
    NOT_SENT = 4
    UNKNOWN = 5
    REGISTRY = 6


DESCRIPTIONS: Mapping[ExitCode, str] = MappingProxyType(
    {
        ExitCode.DONE: "success: delivered, verified, reached, or done as requested",
        ExitCode.REFUSED: "refused before anything was sent: an event, a connection, a file or an option is not "
        "valid; or the request is not verified",
        ExitCode.USAGE: "the command line is not valid",
        ExitCode.REJECTED: "rejected: the endpoint responded with another status than 2xx",
        ExitCode.NOT_SENT: "not sent: no byte of the request was received",
        ExitCode.UNKNOWN: "unknown: the request may have been received, and no response arrived",
        ExitCode.REGISTRY: "a platform refused a call or could not be reached, or it is uncertain which hook is meant",
    }
)
"""What each status means, for the help and the docs."""


OUTCOME_CODES: Mapping[Outcome, ExitCode] = MappingProxyType(
    {
        Outcome.DELIVERED: ExitCode.DONE,
        Outcome.REJECTED: ExitCode.REJECTED,
        Outcome.NOT_SENT: ExitCode.NOT_SENT,
        Outcome.UNKNOWN: ExitCode.UNKNOWN,
    }
)
"""The exit status of a command that sends an event."""


def describe_exit_codes(*codes: ExitCode) -> str:
    """Return what some statuses mean, one line each."""
    return "exit status:\n" + "\n".join(f"  {code.value}  {DESCRIPTIONS[code]}" for code in codes)


def _parse_scheme(name: str) -> str:
    """Return the name of a scheme that signs; schemes of other packages are loaded only for an unknown name."""
    if name in SCHEMES and SCHEMES[name].signature_header:
        return name
    signing = [known for known, scheme in SCHEMES.items() if scheme.signature_header]
    raise ArgumentTypeError(f"must be one of {', '.join(signing)}")


def _parse_event_type(name: str) -> str:
    """Return the name of an event type."""
    try:
        check_event_type(name)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
    return name


_AGE = re.compile(r"([0-9]{1,6})([mhdw])", re.ASCII)
_UNITS: Mapping[str, str] = MappingProxyType({"m": "minutes", "h": "hours", "d": "days", "w": "weeks"})


def _parse_time(text: str) -> datetime:
    """Return a time from how long ago it was, or from ISO 8601."""
    found = _AGE.fullmatch(text)
    try:
        if found:
            return datetime.now(timezone.utc) - timedelta(**{_UNITS[found[2]]: int(found[1])})
        time = datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith("Z") else text)
        return (time if time.tzinfo else time.replace(tzinfo=timezone.utc)).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise ArgumentTypeError("must be 30m, 24h, 7d or 2w ago, or a time such as 2026-11-26T08:00:00Z") from None


_DELIVERY_CODES = (
    ExitCode.DONE,
    ExitCode.REFUSED,
    ExitCode.USAGE,
    ExitCode.REJECTED,
    ExitCode.NOT_SENT,
    ExitCode.UNKNOWN,
)
_REGISTRY_CODES = (ExitCode.DONE, ExitCode.REFUSED, ExitCode.USAGE, ExitCode.REGISTRY)
_CHECK_CODES = (ExitCode.DONE, ExitCode.REFUSED, ExitCode.USAGE)

ARG_ENDPOINT = Arg(("service_hook_conn_id",), metavar="ENDPOINT", help="A connection of type service_hook")
ARG_REGISTRY = Arg(
    ("service_hook_registry_conn_id",), metavar="REGISTRY", help="A connection of type service_hook_registry"
)

ARG_EVENT_FILE = Arg(
    ("file",),
    metavar="FILE",
    nargs="?",
    default="-",
    help="One event as JSON: a documented payload, or its fields by name; - reads standard input (default: -)",
)
ARG_EVENT_TYPE = Arg(
    ("--event-type",),
    metavar="TYPE",
    type=_parse_event_type,
    help="event.created, event.alert, or your own event type, such as orders.loaded (default: event.alert if the event "
    "has triggering_rules or with --message, otherwise event.created)",
)
ARG_DATA = Arg(("--data",), metavar="JSON", help="The data for your own event type, in place of FILE")
ARG_MESSAGE = Arg(("--message",), metavar="TEXT", help="Deliver an event with this message, in place of FILE")
ARG_EVENT_ID = Arg(
    ("--event-id",),
    metavar="ID",
    help="The id for your own event type or with --message (default: a new one; the same id is the same delivery)",
)
ARG_FORMAT = Arg(
    ("--format",),
    metavar="FORMAT",
    help="How the event becomes a request, in place of the endpoint's format; see docs/reference/events.md",
)
ARG_GUARANTEE = Arg(
    ("--guarantee",),
    choices=get_args(Guarantee),
    default="at_most_once",
    help="at_least_once sends the event up to four times, some seconds apart, until it is delivered "
    "(default: at_most_once, one request)",
)
ARG_RETRY_STATUSES = Arg(
    ("--retry-statuses",),
    metavar="STATUSES",
    help="The statuses of a rejected delivery that is sent again, such as 429,503 (default: none for at_most_once, and "
    f"{','.join(map(str, RETRY_STATUSES))} for at_least_once)",
)
ARG_ONCE = Arg(
    ("--once",),
    choices=get_args(Once),
    default="run",
    help="event delivers an event id to an endpoint once for ever, whichever Dag, run or command delivers it; it needs "
    "the ledger (default: run, each call of the command is a delivery)",
)
ARG_DRY_RUN = Arg(
    ("--dry-run",),
    action="store_true",
    help="Print the exact headers, signature and body that would be sent; no connection is opened",
)

ARG_REQUEST_FILE = Arg(
    ("file",),
    metavar="FILE",
    help="A saved request: its headers, a blank line, and exactly the bytes of the body; - reads standard input",
)
ARG_SCHEME = Arg(
    ("--scheme",),
    required=True,
    metavar="SCHEME",
    type=_parse_scheme,
    help="The signing scheme; see: airflow service-hooks schemes",
)
ARG_KEY_FORMAT = Arg(
    ("--key-format",),
    choices=KEY_FORMATS,
    help="How the secret encodes the key (default: as the scheme documents)",
)
ARG_SIGNATURE = Arg(
    ("--signature",),
    metavar="JSON",
    help='The options of the scheme, as in the field signature of a connection, such as {"header": "X-Signature"}',
)
ARG_SIGNED_URL = Arg(
    ("--url",),
    help="Where the request was sent, for a scheme that signs the URL (default: https, with Host and path of FILE)",
)
ARG_SECRET_VARIABLE = Arg(("--secret-variable",), metavar="VARIABLE", help="The Airflow Variable that holds the secret")
ARG_SECRET_FILE = Arg(("--secret-file",), metavar="FILE", help="A file that holds the secret")
ARG_IGNORE_AGE = Arg(("--ignore-age",), action="store_true", help="Accept any signed timestamp")
ARG_NOW = Arg(
    ("--now",),
    metavar="TIME",
    help="The time to check the signed timestamp at: Unix seconds, or ISO 8601 with a zone",
)

ARG_HOOK_IDS = Arg(("hook_ids",), metavar="HOOK_ID", nargs="+", help="The platform's id of a hook")
ARG_NAME = Arg(("--name",), required=True, help="The name that identifies this declaration on this registry")
ARG_URL = Arg(("--url",), help="The URL that the platform sends events to; for a URL that holds a token use --endpoint")
ARG_FOR_ENDPOINT = Arg(
    ("--endpoint",),
    dest="service_hook_conn_id",
    metavar="ENDPOINT",
    help="The connection whose URL is registered, and whose secret_variable gets the secret",
)
ARG_EVENT = Arg(
    ("--event",),
    dest="events",
    action="append",
    metavar="EVENT",
    help="An event to subscribe to; can be repeated (default on Sentry: both)",
)
ARG_ENSURE_VARIABLE = Arg(
    ("--variable",),
    metavar="VARIABLE",
    help="The Airflow Variable that stores hooks and secrets (default: the endpoint's, otherwise "
    "service_hook_secret_REGISTRY:NAME)",
)
ARG_DELETE_VARIABLE = Arg(
    ("--variable",), metavar="VARIABLE", help="The Airflow Variable that stores the hooks, to remove them from it too"
)
ARG_HOOK_ID = Arg(("--hook-id",), help="The id of an existing hook to manage by this declaration")
ARG_INACTIVE = Arg(("--inactive",), action="store_true", help="Make the hook inactive; Sentry and Akinon only")
ARG_ON_UNCERTAIN_CREATE = Arg(
    ("--on-uncertain-create",),
    choices=("fail", "create"),
    default="fail",
    help="What to do if an earlier call may have registered the hook and the platform has no list (default: fail)",
)

_TIME_HELP = "how long ago, such as 24h or 7d, or a time such as 2026-11-26T08:00:00Z; UTC without a zone"
ARG_OUTCOME = Arg(
    ("--outcome",),
    dest="outcomes",
    action="append",
    choices=(*(one.value for one in Outcome), "claimed"),
    help="List deliveries with this outcome; claimed is an open one, without an outcome; can be repeated",
)
ARG_OF_ENDPOINT = Arg(("--endpoint",), metavar="ENDPOINT", help="List deliveries to this connection")
ARG_OF_EVENT_TYPE = Arg(("--event-type",), metavar="TYPE", help="List deliveries of events of this type")
ARG_OF_EVENT_ID = Arg(("--event-id",), metavar="ID", help="List deliveries of the event with this id")
ARG_OF_DAG = Arg(("--dag-id",), metavar="DAG", help="List deliveries of this Dag")
ARG_OF_RUN = Arg(("--run-id",), metavar="RUN", help="List deliveries of this Dag run")
ARG_SINCE = Arg(("--since",), metavar="TIME", type=_parse_time, help=f"Claimed at this time or later: {_TIME_HELP}")
ARG_UNTIL = Arg(("--until",), metavar="TIME", type=_parse_time, help=f"Claimed before this time: {_TIME_HELP}")
ARG_STATS_SINCE = Arg(
    ("--since",),
    metavar="TIME",
    type=_parse_time,
    default="7d",
    help=f"Count deliveries that were claimed at this time or later: {_TIME_HELP} (default: 7d)",
)
ARG_REASON = Arg(
    ("--reason",),
    metavar="TEXT",
    default="paused by a user",
    help="Why, for the records of the deliveries that are not sent (default: paused by a user)",
)
ARG_LIMIT = Arg(("--limit",), type=int, default=25, metavar="N", help="How many deliveries a page has (default: 25)")
ARG_AFTER = Arg(("--after",), metavar="CURSOR", help="The cursor that the page before printed")
ARG_ID = Arg(
    ("id",), metavar="ID", help="The number of a delivery in the list, its delivery id, or the beginning of that"
)
ARG_IDS = Arg(
    ("ids",),
    metavar="ID",
    nargs="+",
    help="The number of a delivery in the list, its delivery id, or the beginning of that",
)
ARG_WHOLE_TASK = Arg(
    ("--whole-task",),
    action="store_true",
    help="Clear a task even if that sends other events of it again, which are not given",
)
ARG_OLDER_THAN = Arg(
    ("--older-than",),
    required=True,
    metavar="TIME",
    type=_parse_time,
    help=f"Delete what was last written before this time: {_TIME_HELP}",
)
ARG_CLEAN_DRY_RUN = Arg(("--dry-run",), action="store_true", help="Count what would be deleted, and delete nothing")
ARG_INCLUDE_PROTECTING = Arg(
    ("--include-protecting",),
    action="store_true",
    help="Delete also claims that still prevent an event from being sent: of once=event, marked as delivered, marked "
    "to be sent again, open, and of unfinished streams. Their events can be sent again",
)
ARG_BATCH_SIZE = Arg(
    ("--batch-size",),
    type=int,
    default=1_000,
    metavar="N",
    help="How many deliveries one statement deletes (default: 1000)",
)

ARG_HOST = Arg(("--host",), default="127.0.0.1", help="The address to listen on (default: 127.0.0.1)")
ARG_PORT = Arg(("--port",), type=int, default=8099, help="The port; 0 selects a free one (default: 8099)")
ARG_ANYWHERE = Arg(("--anywhere",), action="store_true", help="Allow an address other than loopback")
ARG_ANSWER = Arg(
    ("--answer",),
    type=int,
    choices=range(200, 600),
    default=200,
    metavar="STATUS",
    help="The status of the response to a verified delivery (default: 200)",
)


def _load(name: str) -> Callable[..., object]:
    """
    Return a command whose module is imported when it runs.

    Nothing is logged by the import: on Airflow 3.2 what its models import logs to standard output.
    """
    path = f"airflow_provider_hooks.cli.{name}"

    def run(args: Namespace) -> object:
        before = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            function: Callable[[Namespace], object] = resolve_name(path)
        finally:
            logging.disable(before)
        return function(args)

    run.__name__ = path.rpartition(".")[2]
    return run


_HOOKS_COMMANDS = (
    ActionCommand(
        name="list",
        help="List the service hooks of a platform",
        func=_load("hooks.list_hooks"),
        args=(ARG_REGISTRY, ARG_OUTPUT, ARG_VERBOSE),
        epilog=describe_exit_codes(*_REGISTRY_CODES),
    ),
    ActionCommand(
        name="ensure",
        help="Create or update service hooks to match a declaration",
        description="Create a missing hook, update one that differs, and leave one that matches unchanged. Its secret "
        "is stored in an Airflow Variable and never printed",
        func=_load("hooks.ensure_hooks"),
        args=(
            ARG_REGISTRY,
            ARG_NAME,
            ARG_URL,
            ARG_FOR_ENDPOINT,
            ARG_EVENT,
            ARG_ENSURE_VARIABLE,
            ARG_HOOK_ID,
            ARG_INACTIVE,
            ARG_ON_UNCERTAIN_CREATE,
            ARG_OUTPUT,
            ARG_VERBOSE,
        ),
        epilog=describe_exit_codes(*_REGISTRY_CODES),
    ),
    ActionCommand(
        name="delete",
        help="Delete service hooks; a hook that no longer exists is a success",
        func=_load("hooks.delete_hooks"),
        args=(ARG_REGISTRY, ARG_HOOK_IDS, ARG_DELETE_VARIABLE, ARG_OUTPUT, ARG_VERBOSE),
        epilog=describe_exit_codes(*_REGISTRY_CODES),
    ),
)

_LEDGER_COMMANDS = (
    ActionCommand(
        name="migrate",
        help="Create the tables of the ledger, or bring them up to date",
        description="Create the tables of the ledger in the database of [service_hooks] ledger_conn_id, or bring them "
        "up to date; tables that are up to date are left unchanged. The role of the connection must be allowed to "
        "create tables",
        func=_load("ledger.migrate_ledger"),
        args=(ARG_OUTPUT, ARG_VERBOSE),
        epilog=describe_exit_codes(*_CHECK_CODES),
    ),
    ActionCommand(
        name="check",
        help="Check that deliveries can use the ledger",
        description="Check that the ledger can be reached, that its tables are of the version of this package, and "
        "that the role of the connection may do what a delivery does. Nothing is stored",
        func=_load("ledger.check_ledger"),
        args=(ARG_OUTPUT, ARG_VERBOSE),
        epilog=describe_exit_codes(*_CHECK_CODES),
    ),
    ActionCommand(
        name="clean",
        help="Delete old deliveries",
        description="Delete deliveries, attempts and payloads that are older than a time, in batches. Of a claim that "
        "still prevents an event from being sent, only the attempts and the payload are deleted",
        func=_load("ledger.clean_ledger"),
        args=(
            ARG_OLDER_THAN,
            ARG_CLEAN_DRY_RUN,
            ARG_INCLUDE_PROTECTING,
            ARG_BATCH_SIZE,
            ARG_OUTPUT,
            ARG_VERBOSE,
        ),
        epilog=describe_exit_codes(*_CHECK_CODES),
    ),
)

_DELIVERIES_COMMANDS = (
    ActionCommand(
        name="list",
        help="List deliveries, newest first",
        description="List deliveries, newest first: of the ledger, or without one of the tasks in Airflow's task state "
        "store. All filters that are given must match",
        func=_load("history.list_stored"),
        args=(
            ARG_OUTCOME,
            ARG_OF_ENDPOINT,
            ARG_OF_EVENT_TYPE,
            ARG_OF_EVENT_ID,
            ARG_OF_DAG,
            ARG_OF_RUN,
            ARG_SINCE,
            ARG_UNTIL,
            ARG_LIMIT,
            ARG_AFTER,
            ARG_OUTPUT,
            ARG_VERBOSE,
        ),
        epilog=describe_exit_codes(*_CHECK_CODES),
    ),
    ActionCommand(
        name="show",
        help="Show what happened to one delivery, with each attempt",
        func=_load("history.show_stored"),
        args=(ARG_ID, ARG_OUTPUT, ARG_VERBOSE),
        epilog=describe_exit_codes(*_CHECK_CODES),
    ),
    ActionCommand(
        name="resend",
        help="Send deliveries again",
        description="Send deliveries again, with the same delivery id and marked as redeliveries: from here, exactly "
        "and signed now, if the payload is stored; otherwise by a clear of the task instance that it comes from, and "
        "of nothing downstream",
        func=_load("changes.resend"),
        args=(ARG_IDS, ARG_WHOLE_TASK, ARG_YES, ARG_OUTPUT, ARG_VERBOSE),
        epilog=describe_exit_codes(*_DELIVERY_CODES),
    ),
    ActionCommand(
        name="mark-delivered",
        help="Mark unknown or open deliveries as received",
        description="Mark deliveries whose outcome is unknown, or that are open, as received. A retry or the next "
        "clear of their tasks then sends nothing",
        func=_load("changes.mark_delivered"),
        args=(ARG_IDS, ARG_YES, ARG_OUTPUT, ARG_VERBOSE),
        epilog=describe_exit_codes(*_CHECK_CODES),
    ),
    ActionCommand(
        name="stats",
        help="Count deliveries by endpoint and outcome; needs the ledger",
        func=_load("history.show_stats"),
        args=(ARG_STATS_SINCE, ARG_UNTIL, ARG_OUTPUT, ARG_VERBOSE),
        epilog=describe_exit_codes(*_CHECK_CODES),
    ),
)

_ENDPOINTS_COMMANDS = (
    ActionCommand(
        name="list",
        help="Show the health of endpoints: success rate, last success, failures in a row, pauses",
        description="Show how the deliveries to each endpoint finished, and which endpoints are paused and why. It "
        "needs the ledger; streams are not counted",
        func=_load("endpoints.list_endpoints"),
        args=(ARG_STATS_SINCE, ARG_OUTPUT, ARG_VERBOSE),
        epilog=describe_exit_codes(*_CHECK_CODES),
    ),
    ActionCommand(
        name="pause",
        help="Pause an endpoint: deliveries to it are not_sent until it is resumed",
        description="Pause an endpoint. Deliveries to it are not_sent, so that Airflow's retries apply, until it is "
        "resumed; no probe is sent. It needs the ledger",
        func=_load("endpoints.pause"),
        args=(ARG_ENDPOINT, ARG_REASON, ARG_OUTPUT, ARG_VERBOSE),
        epilog=describe_exit_codes(*_CHECK_CODES),
    ),
    ActionCommand(
        name="resume",
        help="Open a paused endpoint again",
        func=_load("endpoints.resume"),
        args=(ARG_ENDPOINT, ARG_OUTPUT, ARG_VERBOSE),
        epilog=describe_exit_codes(*_CHECK_CODES),
    ),
)

_COMMANDS = (
    ActionCommand(
        name="deliver",
        help="Deliver one event, signed",
        description="Deliver one event, signed, and print its delivery record. By default a call of the command sends "
        "one request. Calling it again sends the event again, with the same delivery id, unless --once event is given",
        func=_load("deliveries.deliver"),
        args=(
            ARG_ENDPOINT,
            ARG_EVENT_FILE,
            ARG_EVENT_TYPE,
            ARG_DATA,
            ARG_MESSAGE,
            ARG_EVENT_ID,
            ARG_FORMAT,
            ARG_GUARANTEE,
            ARG_RETRY_STATUSES,
            ARG_ONCE,
            ARG_DRY_RUN,
            ARG_OUTPUT,
            ARG_VERBOSE,
        ),
        epilog=describe_exit_codes(*_DELIVERY_CODES),
    ),
    ActionCommand(
        name="ping",
        help="Connect to an endpoint and send nothing",
        description="Check the address and TLS of an endpoint by connecting. No event and no byte of a request is sent",
        func=_load("deliveries.ping"),
        args=(ARG_ENDPOINT, ARG_OUTPUT, ARG_VERBOSE),
        epilog=describe_exit_codes(ExitCode.DONE, ExitCode.REFUSED, ExitCode.USAGE, ExitCode.NOT_SENT),
    ),
    ActionCommand(
        name="verify",
        help="Verify a saved request",
        description="Verify the signature of a saved request. The secret comes from an Airflow Variable, a file, or "
        "the environment variable SERVICE_HOOK_SECRET, never from the command line",
        func=_load("local.verify_request"),
        args=(
            ARG_REQUEST_FILE,
            ARG_SCHEME,
            ARG_KEY_FORMAT,
            ARG_SIGNATURE,
            ARG_SIGNED_URL,
            ARG_SECRET_VARIABLE,
            ARG_SECRET_FILE,
            ARG_IGNORE_AGE,
            ARG_NOW,
            ARG_OUTPUT,
            ARG_VERBOSE,
        ),
        epilog=describe_exit_codes(*_CHECK_CODES),
    ),
    ActionCommand(
        name="schemes",
        help="List the signing schemes",
        func=_load("local.list_schemes"),
        args=(ARG_OUTPUT, ARG_VERBOSE),
    ),
    ActionCommand(
        name="sandbox",
        help="Run a local mock of the platforms and a receiver, until interrupted",
        description="Run a local mock of the platforms' hooks APIs and a receiver that verifies signatures, until "
        "interrupted. A page on its address shows what the receiver got. The environment variable SANDBOX_TOKEN sets "
        "one token for all APIs, and SANDBOX_SECRET a secret that the receiver accepts",
        func=_load("local.run_sandbox"),
        args=(ARG_HOST, ARG_PORT, ARG_ANYWHERE, ARG_ANSWER),
        epilog=describe_exit_codes(*_CHECK_CODES),
    ),
    GroupCommand(name="deliveries", help="Find deliveries and decide about them", subcommands=_DELIVERIES_COMMANDS),
    GroupCommand(name="ledger", help="Manage the database of deliveries", subcommands=_LEDGER_COMMANDS),
    GroupCommand(name="endpoints", help="Show and pause endpoints", subcommands=_ENDPOINTS_COMMANDS),
    GroupCommand(name="hooks", help="Manage the service hooks of a platform", subcommands=_HOOKS_COMMANDS),
)


def get_service_hooks_cli_commands() -> list[CLICommand]:
    """Return the commands that the provider adds to ``airflow``."""
    return [GroupCommand(name="service-hooks", help="Deliver, verify and manage service hooks", subcommands=_COMMANDS)]
