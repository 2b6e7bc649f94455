# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
What Airflow's command line learns of ``airflow service-hooks``: names, arguments and help.

It is imported whenever any ``airflow`` command starts, so it imports tables only; each command's own module is imported
when the command runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.cli.cli_config import (
    ARG_OUTPUT,
    ARG_VERBOSE,
    ActionCommand,
    Arg,
    GroupCommand,
    lazy_load_command,
)

from airflow_provider_hooks.cli.exit_codes import ExitCode, describe_exit_codes
from airflow_provider_hooks.events.types import EVENT_TYPES
from airflow_provider_hooks.signing.schemes import KEY_FORMATS, SCHEMES

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.cli.cli_config import CLICommand

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
    help="One event as JSON: a documented payload, or its fields by name; - or nothing reads standard input",
)
ARG_EVENT_TYPE = Arg(
    ("--event-type",),
    choices=EVENT_TYPES,
    help="What the event is; without it, event.alert where it has triggering_rules, else event.created",
)
ARG_DRY_RUN = Arg(
    ("--dry-run",),
    action="store_true",
    help="Show the exact headers, signature and body that would be sent; no connection is opened",
)

ARG_REQUEST_FILE = Arg(
    ("file",),
    metavar="FILE",
    help="A saved request: its headers, a blank line, and exactly the bytes of the body; - reads standard input",
)
ARG_SCHEME = Arg(
    ("--scheme",),
    required=True,
    choices=tuple(name for name, scheme in SCHEMES.items() if scheme.signature_header),
    help="The signing scheme",
)
ARG_KEY_FORMAT = Arg(
    ("--key-format",), choices=KEY_FORMATS, help="The form of the secret; without it, as the scheme documents"
)
ARG_SECRET_VARIABLE = Arg(("--secret-variable",), metavar="VARIABLE", help="The Airflow Variable that holds the secret")
ARG_SECRET_FILE = Arg(("--secret-file",), metavar="FILE", help="A file that holds the secret")
ARG_IGNORE_AGE = Arg(("--ignore-age",), action="store_true", help="Accept a signed time however long ago it is")
ARG_NOW = Arg(
    ("--now",), metavar="TIME", help="Judge the signed time as of then: unix seconds, or ISO 8601 with a zone"
)

ARG_HOOK_IDS = Arg(("hook_ids",), metavar="HOOK_ID", nargs="+", help="The platform's id of a hook")
ARG_NAME = Arg(("--name",), required=True, help="The name of the declaration on this registry, the same every time")
ARG_URL = Arg(
    ("--url",), help="The URL that the platform sends events to; use --endpoint for one that contains a token"
)
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
    help="An event; may be given more than once; by default both events on Sentry",
)
ARG_ENSURE_VARIABLE = Arg(
    ("--variable",),
    metavar="VARIABLE",
    help="The Airflow Variable that stores hooks and secrets; by default the endpoint's, else "
    "service_hook_secret_REGISTRY_NAME",
)
ARG_DELETE_VARIABLE = Arg(
    ("--variable",), metavar="VARIABLE", help="The Airflow Variable that stores the hooks, to remove them there too"
)
ARG_HOOK_ID = Arg(("--hook-id",), help="An existing hook that the declaration uses from now on")
ARG_INACTIVE = Arg(("--inactive",), action="store_true", help="Make the hook inactive, on Sentry and Akinon")
ARG_ON_UNCERTAIN_CREATE = Arg(
    ("--on-uncertain-create",),
    choices=("fail", "create"),
    default="fail",
    help="If an earlier request may have created the hook and the platform cannot list its hooks (default: fail)",
)

ARG_HOST = Arg(("--host",), default="127.0.0.1", help="The address to listen on (default: 127.0.0.1)")
ARG_PORT = Arg(("--port",), type=int, default=8099, help="The port; 0 takes a free one (default: 8099)")
ARG_ANYWHERE = Arg(("--anywhere",), action="store_true", help="Allow an address that others can reach")
ARG_ANSWER = Arg(
    ("--answer",),
    type=int,
    choices=range(200, 600),
    default=200,
    metavar="STATUS",
    help="What the receiver answers a verified delivery with (default: 200)",
)


def _load(name: str) -> Callable[..., object]:
    return lazy_load_command(f"airflow_provider_hooks.cli.{name}")


_HOOKS_COMMANDS = (
    ActionCommand(
        name="list",
        help="List the service hooks that a platform has",
        func=_load("hooks.list_hooks"),
        args=(ARG_REGISTRY, ARG_OUTPUT, ARG_VERBOSE),
        epilog=describe_exit_codes(*_REGISTRY_CODES),
    ),
    ActionCommand(
        name="ensure",
        help="Have service hooks on a platform as they are declared",
        description="Create a hook that is missing, update one that differs, and leave one that matches alone; its "
        "secret is kept in an Airflow Variable and shown nowhere",
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
        help="Delete service hooks; one that is gone already is a success",
        func=_load("hooks.delete_hooks"),
        args=(ARG_REGISTRY, ARG_HOOK_IDS, ARG_DELETE_VARIABLE, ARG_OUTPUT, ARG_VERBOSE),
        epilog=describe_exit_codes(*_REGISTRY_CODES),
    ),
)

_COMMANDS = (
    ActionCommand(
        name="deliver",
        help="Deliver one event, signed",
        description="Deliver one event, signed, and print the record. At most one request is made, for each call of "
        "the command: there is no task that could remember it, so the same command again sends again, with the same "
        "delivery id",
        func=_load("deliveries.deliver"),
        args=(ARG_ENDPOINT, ARG_EVENT_FILE, ARG_EVENT_TYPE, ARG_DRY_RUN, ARG_OUTPUT, ARG_VERBOSE),
        epilog=describe_exit_codes(*_DELIVERY_CODES),
    ),
    ActionCommand(
        name="ping",
        help="Connect to an endpoint and send nothing",
        description="Check an endpoint's connection, address and TLS by connecting; no event and no byte of a request "
        "is sent",
        func=_load("deliveries.ping"),
        args=(ARG_ENDPOINT, ARG_OUTPUT, ARG_VERBOSE),
        epilog=describe_exit_codes(ExitCode.DONE, ExitCode.REFUSED, ExitCode.USAGE, ExitCode.NOT_SENT),
    ),
    ActionCommand(
        name="verify",
        help="Verify a saved request",
        description="Verify the signature of a saved request. The secret comes from an Airflow Variable, a file, or "
        "the environment's SERVICE_HOOK_SECRET, never from the command line",
        func=_load("verification.verify_request"),
        args=(
            ARG_REQUEST_FILE,
            ARG_SCHEME,
            ARG_KEY_FORMAT,
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
        func=_load("schemes.list_schemes"),
        args=(ARG_OUTPUT, ARG_VERBOSE),
    ),
    ActionCommand(
        name="sandbox",
        help="Run a local stand-in for the platforms and a receiver, until interrupted",
        description="Run a local stand-in for the platforms' hooks APIs and a receiver that verifies signatures, until "
        "interrupted. SANDBOX_TOKEN in the environment says one token for all APIs",
        func=_load("sandbox.run_sandbox"),
        args=(ARG_HOST, ARG_PORT, ARG_ANYWHERE, ARG_ANSWER),
        epilog=describe_exit_codes(*_CHECK_CODES),
    ),
    GroupCommand(name="hooks", help="Manage the service hooks of a platform", subcommands=_HOOKS_COMMANDS),
)


def get_service_hooks_cli_commands() -> list[CLICommand]:
    """Return the commands that the provider adds to ``airflow``."""
    return [GroupCommand(name="service-hooks", help="Deliver, verify and manage service hooks", subcommands=_COMMANDS)]
