# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``endpoints list``, ``pause`` and ``resume``: the health of endpoints, and whether anything is sent to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_hooks.admin.stored import open_ledger_database
from airflow_provider_hooks.cli._run import command, show
from airflow_provider_hooks.cli.commands import ExitCode
from airflow_provider_hooks.ledger.endpoints import find_health, pause_endpoint, resume_endpoint
from airflow_provider_hooks.ledger.history import to_stored
from airflow_provider_hooks.ledger.schema import check_version

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow_provider_hooks.json_types import JsonObject
    from airflow_provider_hooks.ledger.endpoints import EndpointHealth

_PERCENT = 100


@command
def list_endpoints(args: Namespace) -> ExitCode:
    """Print the health of each endpoint that had deliveries, and of each that is paused."""
    with open_ledger_database() as database:
        check_version(database)
        show([_describe(health) for health in find_health(database, since=to_stored(args.since))], args.output)
    return ExitCode.DONE


@command
def pause(args: Namespace) -> ExitCode:
    """Pause an endpoint until it is resumed: deliveries to it are then ``not_sent``."""
    with open_ledger_database() as database:
        check_version(database)
        is_new = pause_endpoint(database, args.service_hook_conn_id, reason=args.reason, has_probes=False)
    message = "Paused: deliveries are not_sent until it is resumed." if is_new else "It was paused before."
    show({"endpoint": args.service_hook_conn_id, "changed": is_new, "message": message}, args.output, done=message)
    return ExitCode.DONE


@command
def resume(args: Namespace) -> ExitCode:
    """Open a paused endpoint again."""
    with open_ledger_database() as database:
        check_version(database)
        was_paused = resume_endpoint(database, args.service_hook_conn_id)
    message = "Resumed: the next delivery is sent." if was_paused else "It was not paused."
    show({"endpoint": args.service_hook_conn_id, "changed": was_paused, "message": message}, args.output, done=message)
    return ExitCode.DONE


def _describe(health: EndpointHealth) -> JsonObject:
    rate = health.success_rate
    return {
        "endpoint": health.endpoint,
        "deliveries": health.deliveries,
        "delivered": health.delivered,
        "success_percent": None if rate is None else round(_PERCENT * rate, 1),
        "last_delivered_at": health.last_delivered_at,
        "failures_in_a_row": health.failures_in_a_row,
        "paused_at": None if health.pause is None else health.pause.paused_at,
        "reason": None if health.pause is None else health.pause.reason,
    }
