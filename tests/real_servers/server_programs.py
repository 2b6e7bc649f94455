# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Real HTTP servers on loopback, each with its own configuration in a temporary folder, run by the current user.

Each server appends the delivery id of every request that it received to a log, so that a test can compare sent and
received events. Settings that affect connections (keep-alive, workers) are those of the Debian packages.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from tests.servers import find_free_port

HERE = Path(__file__).parent
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
"""With the folders of Debian's servers, which are only in the ``PATH`` of root."""
START_SECONDS = 20.0
DELIVERY_HEADER = "X-Service-Hook-Delivery"
IS_ROOT = os.geteuid() == 0


def find_program(name: str) -> str | None:
    """Return the path of an installed program."""
    return shutil.which(name, path=SEARCH_PATH)


def start_process(command: list[str], log: Path, **environment: str) -> subprocess.Popen[bytes]:
    """Start a server in its own session, so that all its processes can be stopped; its output goes to a file."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            env={**os.environ, "PATH": SEARCH_PATH, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def stop_process(process: subprocess.Popen[bytes]) -> None:
    """Stop a server and every process that it started."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(5)


class RealServer(ABC):
    """
    A server that can be disturbed while it receives a stream.

    :param folder: a temporary folder for the configuration, the logs and all other files of the server
    :param certificate: a PEM file with the key and the chain of certificates; ``None``: plain HTTP
    """

    programs: ClassVar[tuple[str, ...]]
    """The programs that must be installed."""

    def __init__(self, folder: Path, certificate: Path | None) -> None:
        self.folder, self.certificate = folder, certificate
        self.port = find_free_port()
        self.log = folder / "received.log"
        self.log.touch()
        self._output = folder / "output.log"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._read_bytes, self._count = 0, 0

    @property
    def url(self) -> str:
        return f"{'https' if self.certificate else 'http'}://127.0.0.1:{self.port}/hook"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process that serves the port now."""
        return self._processes[-1]

    @contextlib.contextmanager
    def run(self) -> Iterator[None]:
        """Run the server for a block; its log is complete after it."""
        try:
            self.start()
            yield
        finally:
            self.stop()

    def start(self) -> None:
        """Start the server and wait until it accepts connections."""
        self._processes.append(self.launch())
        self.wait_for_port(self.port)

    @abstractmethod
    def launch(self) -> subprocess.Popen[bytes]:
        """Start the server's process."""

    def disturb(self) -> None:
        """Reload or restart the server, like an administrator."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stop every process of the server."""
        for process in self._processes:
            stop_process(process)

    def wait_for_port(self, port: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise RuntimeError(f"the server did not start:\n{self._output.read_text()[-2000:]}") from None
                time.sleep(0.02)
            else:
                return

    def count_received(self) -> int:
        """Return the number of requests in the log; fast enough for many calls during a stream."""
        with self.log.open("rb") as file:
            file.seek(self._read_bytes)
            data = file.read()
        self._read_bytes += len(data)
        self._count += data.count(b"\n")
        return self._count

    def read_received(self) -> Counter[str]:
        """Return how often each delivery id was received."""
        return Counter(line for line in self.log.read_text().splitlines() if line not in {"", "-"})


class Nginx(RealServer):
    """nginx with two workers, as ``worker_processes auto`` starts on two cores; it answers 204."""

    programs = ("nginx",)
    more_tls = ""
    """Additional TLS directives."""

    def launch(self) -> subprocess.Popen[bytes]:
        configuration = self.folder / "nginx.conf"
        files = f"ssl_certificate {self.certificate}; ssl_certificate_key {self.certificate};"
        tls = f"{files} {self.more_tls}" if self.certificate else ""
        configuration.write_text(
            f"""
            {"user root root;" if IS_ROOT else ""}
            worker_processes 2;
            daemon off;
            pid {self.folder}/nginx.pid;
            error_log {self.folder}/error.log warn;
            events {{ worker_connections 768; }}
            http {{
                log_format delivery '$http_{DELIVERY_HEADER.lower().replace("-", "_")}';
                access_log {self.log} delivery;
                client_body_temp_path {self.folder}/body;
                proxy_temp_path {self.folder}/proxy;
                fastcgi_temp_path {self.folder}/fastcgi;
                uwsgi_temp_path {self.folder}/uwsgi;
                scgi_temp_path {self.folder}/scgi;
                server {{
                    listen 127.0.0.1:{self.port}{" ssl" if self.certificate else ""};
                    {tls}
                    location / {{ return 204; }}
                }}
            }}
            """
        )
        command = [find_program("nginx") or "", "-e", str(self.folder / "error.log"), "-c", str(configuration)]
        return start_process(command, self._output)

    def disturb(self) -> None:
        """Reload: ``nginx -s reload`` sends this signal."""
        self.process.send_signal(signal.SIGHUP)


class HAProxy(RealServer):
    """HAProxy in front of an nginx that records the requests; with Debian's timeouts."""

    programs = ("haproxy", "nginx")

    def __init__(self, folder: Path, certificate: Path | None) -> None:
        super().__init__(folder, certificate)
        backend = folder / "backend"
        backend.mkdir()
        self._backend = Nginx(backend, None)
        self.log = self._backend.log

    def start(self) -> None:
        self._backend.start()
        super().start()

    def stop(self) -> None:
        super().stop()
        self._backend.stop()

    def launch(self) -> subprocess.Popen[bytes]:
        configuration = self.folder / "haproxy.cfg"
        configuration.write_text(
            f"""
defaults
    mode http
    timeout connect 5000
    timeout client 50000
    timeout server 50000
frontend receiver
    bind 127.0.0.1:{self.port}{f" ssl crt {self.certificate}" if self.certificate else ""}
    default_backend recorders
backend recorders
    server recorder 127.0.0.1:{self._backend.port}
"""
        )
        running = [str(process.pid) for process in self._processes if process.poll() is None]
        replaced = ["-sf", *running] if running else []
        command = [find_program("haproxy") or "", "-db", "-f", str(configuration), *replaced]
        return start_process(command, self._output)

    def disturb(self) -> None:
        """Replace the process; the earlier one finishes its open requests (a soft stop)."""
        replaced = self.process
        self.start()
        replaced.wait(60)  # it has passed on the port and closed its connections


class Apache(RealServer):
    """Apache with the event MPM and the keep-alive settings of Debian's ``mpm_event.conf`` and ``apache2.conf``."""

    programs = ("apache2",)

    def launch(self) -> subprocess.Popen[bytes]:
        configuration = self.folder / "apache2.conf"
        modules = [
            "mpm_event",
            "authz_core",
            "alias",
            "setenvif",
            *(["socache_shmcb", "ssl"] if self.certificate else []),
        ]
        load = "\n".join(f"LoadModule {name}_module {find_apache_modules()}/mod_{name}.so" for name in modules)
        tls = f"SSLEngine on\nSSLCertificateFile {self.certificate}\n" if self.certificate else ""
        configuration.write_text(
            f"""
ServerRoot {self.folder}
DefaultRuntimeDir {self.folder}
PidFile {self.folder}/apache2.pid
ServerName 127.0.0.1
Listen 127.0.0.1:{self.port}
{load}
{chr(10).join(["User www-data", "Group www-data"]) if IS_ROOT else ""}
Timeout 300
KeepAlive On
MaxKeepAliveRequests 100
KeepAliveTimeout 5
StartServers 2
MinSpareThreads 25
MaxSpareThreads 75
ThreadLimit 64
ThreadsPerChild 25
MaxRequestWorkers 150
MaxConnectionsPerChild 0
LogLevel warn
ErrorLog {self.folder}/error.log
LogFormat "%{{{DELIVERY_HEADER}}}i" delivery
CustomLog {self.log} delivery
{tls}
Redirect 204 /
"""
        )
        command = [find_program("apache2") or "", "-f", str(configuration), "-DFOREGROUND"]
        return start_process(command, self._output)

    def disturb(self) -> None:
        """Restart gracefully: ``apachectl graceful`` sends this signal."""
        self.process.send_signal(signal.SIGUSR1)


def find_apache_modules() -> Path:
    """Return the folder with Apache's modules."""
    return next(
        place for place in map(Path, ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules")) if place.is_dir()
    )


class Caddy(RealServer):
    """Caddy that answers 204 and writes its access log as JSON."""

    programs = ("caddy",)

    def __init__(self, folder: Path, certificate: Path | None) -> None:
        super().__init__(folder, certificate)
        self._admin_port = find_free_port()
        self._configuration = folder / "Caddyfile"

    def launch(self) -> subprocess.Popen[bytes]:
        self._configuration.write_text(
            f"""
{{
    admin 127.0.0.1:{self._admin_port}
    auto_https off
    log {{
        level ERROR
    }}
}}
{"https" if self.certificate else "http"}://127.0.0.1:{self.port} {{
    {f"tls {self.certificate} {self.certificate}" if self.certificate else ""}
    log {{
        output file {self.log} {{
            roll_disabled
        }}
        format json
    }}
    respond 204
}}
"""
        )
        command = [find_program("caddy") or "", "run", "--config", str(self._configuration), "--adapter", "caddyfile"]
        home = str(self.folder)
        return start_process(command, self._output, HOME=home, XDG_DATA_HOME=home, XDG_CONFIG_HOME=home)

    def disturb(self) -> None:
        """Reload: ``caddy reload --force`` makes this request to Caddy's management address."""
        connection = http.client.HTTPConnection("127.0.0.1", self._admin_port, timeout=60)
        headers = {"Content-Type": "text/caddyfile", "Cache-Control": "must-revalidate"}
        connection.request("POST", "/load", self._configuration.read_bytes(), headers)
        response = connection.getresponse()
        if response.status != http.HTTPStatus.OK:
            raise RuntimeError(f"Caddy did not reload: {response.read().decode()}")
        connection.close()

    def read_received(self) -> Counter[str]:
        requests = (json.loads(line)["request"] for line in self.log.read_text().splitlines())
        return Counter(found[0] for one in requests if (found := one["headers"].get(DELIVERY_HEADER)))


class Node(RealServer):
    """The http server of Node, in one process."""

    programs = ("node",)

    def launch(self) -> subprocess.Popen[bytes]:
        certificate = [str(self.certificate)] if self.certificate else []
        command = [find_program("node") or "", str(HERE / "node_recorder.js"), str(self.port), str(self.log)]
        return start_process([*command, *certificate], self._output)

    def disturb(self) -> None:
        """Stop the process by SIGTERM, as systemd does, and start the next one when it has ended."""
        stopped = self.process
        stopped.terminate()
        stopped.wait(30)
        self.start()


class Uvicorn(RealServer):
    """uvicorn with two workers, each replaced after 500 requests."""

    programs = ()

    def launch(self) -> subprocess.Popen[bytes]:
        tls = ["--ssl-certfile", str(self.certificate), "--ssl-keyfile", str(self.certificate)]
        command = [
            *(sys.executable, "-m", "uvicorn", "uvicorn_recorder:app", "--app-dir", str(HERE)),
            *("--host", "127.0.0.1", "--port", str(self.port), "--no-access-log"),
            *("--workers", "2", "--limit-max-requests", "500"),
            *(tls if self.certificate else []),
        ]
        return start_process(command, self._output, RECORDER_LOG=str(self.log))
