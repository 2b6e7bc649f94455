# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
``make ui``: a local Airflow with the pages of deliveries and endpoints, the sandbox, and deliveries of every outcome.

Airflow runs with SQLite and passwords; a Dag of ``showcase`` delivers to the sandbox. The command prints the addresses
and the login, and ends everything that it started when it is interrupted.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, cast
from urllib.error import URLError
from urllib.request import Request, urlopen

from cryptography.fernet import Fernet
from rich.console import Console

from airflow_provider_hooks.ledger.history import Filters, list_deliveries
from airflow_provider_hooks.sandbox.local_airflow import (
    DemoError,
    describe_end,
    find_dags,
    find_port,
    make_environment,
    make_home,
    make_ledger,
    read_health,
    run_airflow,
    start_airflow,
    write_connections,
)
from airflow_provider_hooks.sandbox.server import Sandbox, SandboxError, serve_sandbox
from airflow_provider_hooks.sandbox.state import RECEIVER_PATH, UNSIGNED

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Mapping
    from io import TextIOWrapper
    from types import FrameType

    from airflow_provider_hooks.json_types import JsonObject
    from airflow_provider_hooks.ledger.database import Database

USERS = {"admin": "admin", "editor": "user", "viewer": "viewer"}
"""The role of each user; the password is the name: Airflow is on loopback, and holds nothing."""
_DAG_ID = "show_deliveries"
_PARTS = ("metadatabase", "scheduler", "dag_processor")
_START_SECONDS, _REQUEST_SECONDS = 300, 10
_EXPECTED_DELIVERIES = 9
"""Of the Dag, its callback, and the command."""
_MAX_LINE_CHARACTERS = 300
_locks: list[TextIOWrapper] = []
"""Closed, and so released, when the process ends."""
_ENDING = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, kw_only=True)
class RunningUi:
    """An Airflow with the pages, and the sandbox that its deliveries go to."""

    address: str
    """Of Airflow's API server, without a slash at the end."""
    sandbox: Sandbox
    environment: Mapping[str, str] = field(repr=False)
    """The environment of Airflow's processes."""


def main() -> int:
    """Run until interrupted; the exit status is 1 if something cannot be started."""
    console = Console(highlight=False)
    home = Path(os.environ.get("UI_HOME", ".airflow/ui")).absolute()
    for number in _ENDING:
        signal.signal(number, _interrupt)  # also SIGINT, which a shell has a command in the background ignore
    try:
        with serve_ui(home, console=console) as ui:
            console.print(f"\nAirflow      {ui.address}/   user and password {', '.join(USERS)}", soft_wrap=True)
            console.print(f"Deliveries   {ui.address}/plugin/webhook-deliveries", soft_wrap=True)
            console.print(f"Endpoints    {ui.address}/plugin/webhook-endpoints", soft_wrap=True)
            console.print("Stop with Ctrl+C")
            with suppress(KeyboardInterrupt):
                while True:
                    signal.pause()
            console.print("Stopping")
    except KeyboardInterrupt:
        console.print("Interrupted")
        return 1
    except (DemoError, SandboxError) as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        return 1
    return 0


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001  (as signal calls it)
    """Begin to end everything, which no second signal ends early."""
    for one in _ENDING:
        signal.signal(one, signal.SIG_IGN)
    raise KeyboardInterrupt


@contextmanager
def serve_ui(home: Path, *, console: Console, port: int = 8080) -> Iterator[RunningUi]:
    """
    Run Airflow and the sandbox while the block runs, and yield them when the Dag has delivered.

    :param home: the ``AIRFLOW_HOME``; one that an earlier call made is replaced
    :param port: of Airflow; another one is taken if it is in use
    :raises DemoError: if Airflow does not start
    """
    _lock(home)
    make_home(home, variable="UI_HOME")
    ledger = make_ledger(home)
    address = f"http://127.0.0.1:{find_port(port)}"
    with serve_sandbox(receiver_secrets=(_SECRET,)) as sandbox:
        environment = _make_environment(sandbox, home=home, address=address)
        (home / "passwords.json").write_text(json.dumps({name: name for name in USERS}))
        log = home / "airflow.log"
        with console.status("Migrating the database"):
            connections = write_connections(sandbox, home)
            _run(["db", "migrate"], environment, log)
            _run(["connections", "import", str(connections)], environment, log)
            connections.unlink()
        with start_airflow("standalone", environment=environment, log=log) as process:
            with console.status("Starting Airflow, which takes a minute or two"):
                _wait(lambda: _is_healthy(address), process, log)
            with console.status("Delivering"):
                _wait(lambda: _unpause(address), process, log)
                message = "A delivery of a command"
                _run(["service-hooks", "deliver", "warehouse", "--message", message], environment, log)
                _wait(lambda: _count(ledger) >= _EXPECTED_DELIVERIES, process, log)
            console.print(f"Sandbox      http://{sandbox.address}/   what the receiver got", soft_wrap=True)
            yield RunningUi(address=address, sandbox=sandbox, environment=environment)
    ledger.close()


_SECRET = "whsec_c2VydmljZSBob29rcyBvZiB0aGUgc2FuZGJveA=="  # noqa: S105  (of a receiver on loopback)


def _lock(home: Path) -> None:
    """
    Lock a home until this process ends.

    :raises DemoError: if another process has it
    """
    home.parent.mkdir(parents=True, exist_ok=True)
    file = home.with_name(f"{home.name}.lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise DemoError(f"another make ui runs in {home}: end it, or set UI_HOME to another folder") from None
    _locks.append(file)


def _make_connections(sandbox: Sandbox) -> dict[str, JsonObject]:
    """Return the connections of the Dag, by what the receiver does with a request."""
    base = f"http://{sandbox.address}{RECEIVER_PATH}"
    signed: JsonObject = {"conn_type": "service_hook", "password": _SECRET, "extra": {"scheme": "standard_webhooks"}}
    failing = f"{base}/standard_webhooks/answer"
    return {
        "warehouse": {**signed, "host": f"{base}/standard_webhooks"},
        "partner_failing": {**signed, "host": f"{failing}/500"},
        "partner_offline": {**signed, "host": f"http://127.0.0.1:{find_port()}/"},
        **{
            conn_id: {**signed, "host": f"{failing}/none", "extra": {"scheme": "standard_webhooks", "timeout": seconds}}
            for conn_id, seconds in {"partner_silent": 3, "partner_slow": 3_000}.items()
        },
        "service_hook_default": {
            "conn_type": "service_hook",
            "host": f"{base}/{UNSIGNED}",
            "extra": {"scheme": UNSIGNED},
        },
    }


def _make_environment(sandbox: Sandbox, *, home: Path, address: str) -> dict[str, str]:
    folders = {"examples": find_dags(), "showcase": Path(__file__).parent / "showcase"}
    bundles = [
        {
            "name": name,
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(path)},
        }
        for name, path in folders.items()
    ]
    records = (home / "records").as_uri()
    connections = {
        f"AIRFLOW_CONN_{conn_id.upper()}": json.dumps(one) for conn_id, one in _make_connections(sandbox).items()
    }
    ports = [str(find_port()) for _ in range(2)]
    return {
        **make_environment(sandbox, home=home),
        **connections,
        "AIRFLOW__API__BASE_URL": address,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": address.rpartition(":")[2],
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in USERS.items()),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": ports[0],
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": ports[1],
        "AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS": "127.0.0.1",
        "AIRFLOW__SERVICE_HOOKS__PAYLOAD_KEYS": Fernet.generate_key().decode(),
        "AIRFLOW__SERVICE_HOOKS__SHOWN_RECORDS_PATHS": records,
        "AIRFLOW__SERVICE_HOOKS__STORE_PAYLOADS": "True",
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "120",  # a busy machine starts all tasks at once
        "REPLAYS": (home / "replays").as_uri(),
        "SHOWCASE_RECORDS": records,
    }


def _run(arguments: list[str], environment: dict[str, str], log: Path) -> None:
    run_airflow(arguments, title=f"airflow {arguments[0]} {arguments[1]}", environment=environment, log=log)


def _wait(is_so: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not is_so():
        time.sleep(0.5)
        if process.poll() is not None or time.monotonic() > deadline:
            end = describe_end(log, max_characters=_MAX_LINE_CHARACTERS)
            raise DemoError(f"Airflow did not start; {end}")


def _is_healthy(address: str) -> bool:
    health = read_health(address) or {}
    return bool(health) and all(health[part]["status"] == "healthy" for part in _PARTS)


def _unpause(address: str) -> bool:
    """Return whether the Dag is there, and let it run."""
    login: JsonObject = {"username": "admin", "password": "admin"}
    with suppress(URLError, OSError, ValueError):
        token = _call("POST", f"{address}/auth/token", login)["access_token"]
        _call("PATCH", f"{address}/api/v2/dags/{_DAG_ID}", {"is_paused": False}, token=str(token))
        return True
    return False


def _call(method: str, url: str, body: JsonObject, *, token: str = "") -> JsonObject:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    request = Request(url, data=json.dumps(body).encode(), headers=headers, method=method)  # noqa: S310
    with urlopen(request, timeout=_REQUEST_SECONDS) as response:  # noqa: S310  # nosec B310
        return cast("JsonObject", json.load(response))


def _count(ledger: Database) -> int:
    return len(list_deliveries(ledger, filters=Filters(), limit=_EXPECTED_DELIVERIES).deliveries)


if __name__ == "__main__":
    sys.exit(main())
