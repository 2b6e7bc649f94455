# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""nginx on loopback that answers 204 to everything, plain and over TLS, on a separate core."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trustme
from common import RECEIVER_CORE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIGURATION = """
worker_processes {workers};
daemon off;
error_log {folder}/error.log warn;
pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_buffer_size 64k;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port}{options};
        listen 127.0.0.1:{tls_port} ssl{options};
        ssl_certificate {folder}/server.pem;
        ssl_certificate_key {folder}/server.pem;
        location / {{ return 204; }}
    }}
}}
"""


@dataclass(frozen=True)
class Receiver:
    url: str
    tls_url: str
    ca_file: str


def find_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def run_nginx(folder: Path, *, cores: tuple[int, ...] = (RECEIVER_CORE,)) -> Iterator[Receiver]:
    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    port, tls_port = find_port(), find_port()
    options = " reuseport" if len(cores) > 1 else ""  # so that every worker has its part of the connections
    text = CONFIGURATION.format(folder=folder, port=port, tls_port=tls_port, workers=len(cores), options=options)
    (folder / "nginx.conf").write_text(text)
    with subprocess.Popen(
        ["nginx", "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")],
        preexec_fn=lambda: os.sched_setaffinity(0, cores),  # noqa: PLW1509  (nothing else runs in this process)
    ) as process:
        try:
            wait_for(tls_port, str(folder / "ca.pem"))
            yield Receiver(
                f"http://127.0.0.1:{port}/hook", f"https://127.0.0.1:{tls_port}/hook", str(folder / "ca.pem")
            )
        finally:
            process.terminate()
            process.wait(10)


def wait_for(port: int, ca_file: str) -> None:
    context = ssl.create_default_context(cafile=ca_file)
    deadline = time.monotonic() + 10
    while True:
        try:
            with (
                socket.create_connection(("127.0.0.1", port), timeout=1) as sock,
                context.wrap_socket(sock, server_hostname="127.0.0.1"),
            ):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
