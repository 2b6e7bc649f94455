# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
``make demo``: registers hooks and delivers events in a real Airflow without configuration.

It makes an ``AIRFLOW_HOME`` with a SQLite database, starts the sandbox, sets the connections, and runs two example
Dags: one ensures hooks on several platforms, the other delivers an exception that its task raised. The claims are
in a ledger on SQLite, whose history is printed. The result is counted by the sandbox's platforms and receiver, not by
the sender.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from airflow_provider_hooks.ledger.history import Filters, list_deliveries
from airflow_provider_hooks.sandbox.local_airflow import (
    DemoError,
    make_environment,
    make_home,
    make_ledger,
    run_airflow,
    shorten,
    write_connections,
)
from airflow_provider_hooks.sandbox.server import Sandbox, serve_sandbox

if TYPE_CHECKING:
    from airflow_provider_hooks.json_types import JsonObject
    from airflow_provider_hooks.ledger.database import Database

REQUIRED = {"registered": 4, "delivered": 2, "verified": 2, "duplicates": 0}
"""The counts of the sandbox that make the demonstration a success."""

_LOGS = "demo-logs"
_MAX_LISTED = 20


@dataclass(frozen=True, kw_only=True)
class Step:
    """One Airflow command, with the title that is printed for it."""

    title: str
    arguments: tuple[str, ...]


def main() -> int:
    """Run the demonstration; the exit status is 0 only if the sandbox counted what is ``REQUIRED``."""
    console = Console(highlight=False)
    home = Path(os.environ.get("DEMO_HOME", ".airflow/demo")).absolute()
    started = time.monotonic()
    try:
        make_home(home, variable="DEMO_HOME")
        ledger = make_ledger(home)
        with serve_sandbox() as sandbox:
            console.print(f"Sandbox on http://{sandbox.address}: mock platforms and a receiver", soft_wrap=True)
            _run_steps(console, sandbox, home=home)
            summary = _get_summary(sandbox)
    except DemoError as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        return 1
    console.print(_draw_hooks(sandbox))
    console.print(_draw_deliveries(summary))
    console.print(_draw_history(ledger))
    counted = {name: summary[name] for name in REQUIRED}
    console.print(
        f"Took {time.monotonic() - started:.0f} s. Airflow's own logs: {shorten(home / _LOGS)}",
        markup=False,
        soft_wrap=True,
    )
    print(json.dumps(counted))  # noqa: T201  (for scripts)
    return 0 if counted == REQUIRED else 1


def _run_steps(console: Console, sandbox: Sandbox, *, home: Path) -> None:
    connections, environment = write_connections(sandbox, home), make_environment(sandbox, home=home)
    (home / _LOGS).mkdir()
    steps = (
        Step(title="Migrate a SQLite Airflow", arguments=("db", "migrate")),
        Step(title="Set the connections", arguments=("connections", "import", str(connections))),
        Step(title="Ensure the declared service hooks", arguments=("dags", "test", "example_ensure_service_hooks")),
        Step(title="Raise, build, sign and deliver", arguments=("dags", "test", "example_scheduled_delivery")),
    )
    try:
        for number, step in enumerate(steps, start=1):
            with console.status(f"{number}/{len(steps)} {step.title} …"):
                log = home / _LOGS / f"{number}-{'-'.join(step.arguments[:2])}.log"
                seconds = run_airflow(step.arguments, title=step.title, environment=environment, log=log)
            console.print(f"[green]✓[/green] {number}/{len(steps)} {step.title:<36} {seconds:5.1f} s")
    finally:
        connections.unlink()


def _get_summary(sandbox: Sandbox) -> JsonObject:
    url = f"http://{sandbox.address}/deliveries"
    with urllib.request.urlopen(url, timeout=10) as response:  # nosec B310
        return cast("JsonObject", json.load(response))


def _draw_hooks(sandbox: Sandbox) -> Table:
    table = Table(title="Hooks on the platforms", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("platform", "hook", "events", "API calls"):
        table.add_column(heading, no_wrap=True)
    for platform in sandbox.state.platforms.values():
        calls = ", ".join(f"{operation} {count}" for operation, count in platform.count_calls().items())
        for hook in platform.list_hooks():
            events = ", ".join(hook.events) or "all"
            table.add_row(platform.name, hook.hook_id[:8], escape(events), calls)
    return table


def _draw_deliveries(summary: JsonObject) -> Table:
    table = Table(title="Events at the receiver", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("event", "id", "delivery", "signature", "status", "body"):
        table.add_column(heading, no_wrap=True, justify="right" if heading in {"status", "body"} else "left")
    for one in cast("list[JsonObject]", summary["deliveries"]):
        verified = "[green]verified[/green]" if one["verified"] else f"[red]{escape(str(one['reason']))}[/red]"
        again = " [red]again[/red]" if one["duplicate"] else ""
        table.add_row(
            f"{one['event_type']}{again}",
            str(one["event_id"]),
            f"{str(one['delivery_id'])[:8]}",
            verified,
            str(one["answered"]),
            f"{one['body_bytes']} B",
        )
    return table


def _draw_history(ledger: Database) -> Table:
    """Draw what ``airflow service-hooks deliveries list`` prints."""
    table = Table(title="Deliveries in the ledger, newest first", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("outcome", "event", "delivery", "task", "status", "duration"):
        table.add_column(heading, no_wrap=True, justify="right" if heading in {"status", "duration"} else "left")
    for one in list_deliveries(ledger, filters=Filters(), limit=_MAX_LISTED).deliveries:
        table.add_row(
            one.outcome,
            str(one.event_type),
            str(one.delivery_id)[:8],
            str(one.task_id),
            str(one.status_code or ""),
            "" if one.duration_ms is None else f"{one.duration_ms:.0f} ms",
        )
    ledger.close()
    return table


if __name__ == "__main__":
    sys.exit(main())
