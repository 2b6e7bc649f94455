# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""A local Airflow that uses the sandbox, for ``make demo`` and ``make ui``: its home, its settings, its processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.error import URLError
from urllib.request import urlopen

from airflow_provider_hooks.ledger.database import Database, LedgerTarget
from airflow_provider_hooks.ledger.schema import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_provider_hooks.sandbox.server import Sandbox

COMMAND_SECONDS = 300
"""How long a command of Airflow may take."""
ANY_PORT = 0
_MARKER = "made-by-service-hooks-demo"
_LEDGER_CONN_ID, _LEDGER_FILE = "service_hook_ledger", "ledger.db"
_SHOWN_LINES = 15
_STOP_SECONDS, _REQUEST_SECONDS = 10, 10


class DemoError(Exception):
    """The local Airflow cannot be made, or a step of it failed."""


def make_home(home: Path, *, variable: str) -> None:
    """
    Make a new home; an existing one is removed only if an earlier call made it.

    :param variable: the environment variable that names the home
    :raises DemoError: if it exists otherwise
    """
    if home.exists():
        if not (home / _MARKER).exists():
            raise DemoError(f"{home} exists and was not created by this command; remove it or set {variable}")
        shutil.rmtree(home)
    home.mkdir(parents=True)
    (home / _MARKER).touch()


def make_ledger(home: Path) -> Database:
    """Return the ledger in a home, with its tables."""
    ledger = Database(LedgerTarget(conn_id=_LEDGER_CONN_ID, dialect="sqlite", path=str(home / _LEDGER_FILE)))
    migrate(ledger)
    return ledger


def write_connections(sandbox: Sandbox, home: Path) -> Path:
    """Write the connections to a sandbox into a file that only the user can read; remove it after use."""
    path = home / "connections.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(sandbox.describe_connections()))
    return path


def inherit_environment(home: Path) -> dict[str, str]:
    """Return the environment of an Airflow with a home, without Airflow settings of the user."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "AIRFLOW_HOME": str(home),
    }


def find_port(wanted: int = ANY_PORT) -> int:
    """
    Return a port that is free now: the wanted one if possible.

    :raises DemoError: if no port is free
    """
    for port in (wanted, ANY_PORT):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)) as listener:
            return int(listener.getsockname()[1])
    raise DemoError("no port is free")


def make_environment(sandbox: Sandbox, *, home: Path) -> dict[str, str]:
    """Return the environment of an Airflow with the example Dags and a ledger."""
    return {
        **inherit_environment(home),
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


def run_airflow(arguments: Sequence[str], *, title: str, environment: Mapping[str, str], log: Path) -> float:
    """
    Run a command of Airflow, and return the seconds that it took.

    :param title: the begin of the error
    :param log: gets the output of the command, after what is in it
    :raises DemoError: if the command fails
    """
    started = time.monotonic()
    try:
        with log.open("ab") as output:
            done = subprocess.run(  # noqa: S603  (our own command, no shell)
                [sys.executable, "-m", "airflow", *arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=COMMAND_SECONDS,
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise DemoError(f"{title} took over {COMMAND_SECONDS} s; see {shorten(log)}") from None
    if done.returncode != 0:
        raise DemoError(f"{title} failed (exit status {done.returncode}); {describe_end(log)}")
    return time.monotonic() - started


@contextmanager
def start_airflow(
    command: str, *, environment: Mapping[str, str], log: Path, python: str = sys.executable
) -> Iterator[subprocess.Popen[bytes]]:
    """
    Run a command of Airflow that does not end while the block runs; then end its group of processes.

    :param log: gets the output of the command, after what is in it
    :param python: of the environment that Airflow is installed in
    """
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603  (our own command, no shell)
            [python, "-m", "airflow", command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)


def read_health(address: str) -> dict[str, dict[str, str]] | None:
    """Return the health of an Airflow, by component, or ``None`` if its API server does not answer."""
    url = f"{address}/api/v2/monitor/health"
    with suppress(URLError, OSError, ValueError), urlopen(url, timeout=_REQUEST_SECONDS) as response:  # noqa: S310  # nosec B310
        return cast("dict[str, dict[str, str]]", json.load(response))
    return None


def describe_end(log: Path, *, max_characters: int | None = None) -> str:
    """
    Return the last lines of a log, for an error.

    :param max_characters: of each line
    """
    lines = [line[:max_characters] for line in log.read_text(errors="replace").splitlines()[-_SHOWN_LINES:]]
    return f"the end of {shorten(log)}:\n" + "\n".join(lines)


def shorten(path: Path) -> str:
    """Return a path for the user: relative to the current folder if it is in it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
