# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
``make demo``: registers hooks and delivers events in a real Airflow without configuration.

It makes an ``AIRFLOW_HOME`` with a SQLite database, starts the sandbox, sets the connections, and runs two example
Dags: one ensures service hooks on four platforms, the other delivers an exception that its task raised. The claims are
in a ledger on SQLite, whose history is printed. The result is counted by the sandbox's platforms and receiver, not by
the sender.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
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

from airflow_provider_hooks.ledger.database import Database, LedgerTarget
from airflow_provider_hooks.ledger.history import Filters, list_deliveries
from airflow_provider_hooks.ledger.schema import migrate
from airflow_provider_hooks.sandbox.server import Sandbox, serve_sandbox

if TYPE_CHECKING:
    from airflow_provider_hooks.json_types import JsonObject

REQUIRED = {"registered": 4, "delivered": 2, "verified": 2, "duplicates": 0}
"""The counts of the sandbox that make the demonstration a success."""

_MARKER = "made-by-service-hooks-demo"
_STEP_SECONDS = 300
_LEDGER_CONN_ID = "service_hook_ledger"
_LEDGER_FILE = "ledger.db"
_MAX_LISTED = 20


@dataclass(frozen=True, kw_only=True)
class Step:
    """One Airflow command, with the title that is printed for it."""

    title: str
    arguments: tuple[str, ...]


class DemoError(Exception):
    """A step of the demonstration failed."""


def main() -> int:
    """Run the demonstration; the exit status is 0 only if the sandbox counted what is ``REQUIRED``."""
    console = Console(highlight=False)
    home = Path(os.environ.get("DEMO_HOME", ".airflow/demo")).absolute()
    started = time.monotonic()
    try:
        make_home(home)
        ledger = Database(LedgerTarget(conn_id=_LEDGER_CONN_ID, dialect="sqlite", path=str(home / _LEDGER_FILE)))
        migrate(ledger)
        with serve_sandbox() as sandbox:
            console.print(f"Sandbox on http://{sandbox.address}: the four hooks APIs and a receiver", soft_wrap=True)
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
        f"Took {time.monotonic() - started:.0f} s. Airflow's own logs: {shorten(home / 'demo-logs')}",
        markup=False,
        soft_wrap=True,
    )
    print(json.dumps(counted))  # noqa: T201  (for scripts)
    return 0 if counted == REQUIRED else 1


def write_connections(sandbox: Sandbox, home: Path) -> Path:
    """Write the connections to a sandbox into a file that only the user can read; remove it after use."""
    path = home / "connections.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(sandbox.describe_connections()))
    return path


def _run_steps(console: Console, sandbox: Sandbox, *, home: Path) -> None:
    connections = write_connections(sandbox, home)
    steps = (
        Step(title="Migrate a SQLite Airflow", arguments=("db", "migrate")),
        Step(title="Set the connections", arguments=("connections", "import", str(connections))),
        Step(title="Ensure the declared service hooks", arguments=("dags", "test", "example_ensure_service_hooks")),
        Step(title="Raise, build, sign and deliver", arguments=("dags", "test", "example_scheduled_delivery")),
    )
    try:
        for number, step in enumerate(steps, start=1):
            with console.status(f"{number}/{len(steps)} {step.title} …"):
                seconds = _run_airflow(step, number=number, sandbox=sandbox, home=home)
            console.print(f"[green]✓[/green] {number}/{len(steps)} {step.title:<36} {seconds:5.1f} s")
    finally:
        connections.unlink()


def _run_airflow(step: Step, *, number: int, sandbox: Sandbox, home: Path) -> float:
    log = home / "demo-logs" / f"{number}-{'-'.join(step.arguments[:2])}.log"
    log.parent.mkdir(exist_ok=True)
    started = time.monotonic()
    try:
        with log.open("wb") as output:
            done = subprocess.run(  # noqa: S603  (our own command, no shell)
                [sys.executable, "-m", "airflow", *step.arguments],
                env=_make_environment(sandbox, home=home),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=_STEP_SECONDS,
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise DemoError(f"{step.title} took over {_STEP_SECONDS} s; see {shorten(log)}") from None
    if done.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise DemoError(f"{step.title} failed (exit status {done.returncode}); the end of {shorten(log)}:\n{tail}")
    return time.monotonic() - started


def _make_environment(sandbox: Sandbox, *, home: Path) -> dict[str, str]:
    """Return the environment of the demonstration's Airflow, without the Airflow settings of the user."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    return {
        **inherited,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(find_dags()),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS": sandbox.address,
        "AIRFLOW__SERVICE_HOOKS__LEDGER_CONN_ID": _LEDGER_CONN_ID,
        f"AIRFLOW_CONN_{_LEDGER_CONN_ID.upper()}": json.dumps(
            {"conn_type": "sqlite", "host": str(home / _LEDGER_FILE)}
        ),
        "ORDERS_INBOX": str(home / "orders-inbox"),
    }


def find_dags() -> Path:
    """Return the folder of the example Dags: in the installed package, or next to it in a checkout."""
    package = Path(__file__).parent.parent
    shipped = package / "example_dags"
    return shipped if shipped.is_dir() else package.parent / "dags"


def make_home(home: Path) -> None:
    """Make a new home; an existing one is removed only if an earlier demonstration made it."""
    if home.exists():
        if not (home / _MARKER).exists():
            raise DemoError(f"{home} exists and was not made by this demonstration; remove it or set DEMO_HOME")
        shutil.rmtree(home)
    home.mkdir(parents=True)
    (home / _MARKER).touch()


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


def shorten(path: Path) -> str:
    """Return a path for the user: relative to the current folder if it is in it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


if __name__ == "__main__":
    sys.exit(main())
