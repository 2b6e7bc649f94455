# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The outcome and the connection test for servers that require a client certificate: nginx, Go and OpenSSL.

``pytest -s tests/real_servers/test_mutual_tls.py`` prints the table; servers that are not installed are skipped.
"""

from __future__ import annotations

import contextlib
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from airflow_provider_hooks.exceptions import ConnectError
from airflow_provider_hooks.http import NetworkPolicy
from airflow_provider_hooks.http.connect import Limits
from airflow_provider_hooks.http.tls import TlsOptions
from tests.http.raw_request import open_engine, send_once
from tests.real_servers.server_programs import Nginx, RealServer, find_program, start_process
from tests.servers import OK, raw_server

LOOPBACK = NetworkPolicy(allowed_networks=["127.0.0.1"])
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
REQUIRES = "the server requires a client certificate (TLS alert "
EXPECTED = {
    # The outcome of a request without a certificate, and the message of the connection test.
    ("OpenSSL", "1.2"): (
        "not_sent tls_error",
        "the server refused the TLS handshake (TLS alert handshake failure); it may require a client certific",
    ),
    ("OpenSSL", "1.3"): ("not_sent tls_error", f"{REQUIRES}certificate required"),
    ("Go", "1.2"): ("not_sent tls_error", f"{REQUIRES}bad certificate"),
    ("Go", "1.3"): ("not_sent tls_error", f"{REQUIRES}"),
    # nginx completes the handshake and rejects the request, so the connection test succeeds.
    ("nginx", "1.2"): ("rejected 400", "Connected"),
    ("nginx", "1.3"): ("rejected 400", "Connected"),
}
ROUNDS = 20


class MutualNginx(Nginx):
    """nginx with ``ssl_verify_client on`` and one version of TLS."""

    tls_version = ""

    def launch(self) -> subprocess.Popen[bytes]:
        authorities = f"ssl_client_certificate {self.folder}/ca.pem;"
        self.more_tls = f"ssl_verify_client on; {authorities} ssl_protocols TLSv{self.tls_version};"
        return super().launch()


class GoServer(RealServer):
    """Go's ``crypto/tls`` and ``net/http``."""

    programs = ("go",)
    tls_version = ""

    def launch(self) -> subprocess.Popen[bytes]:
        program = self.folder / "server"
        source = Path(__file__).parent / "mutual_tls_server.go"
        subprocess.run(
            [find_program("go") or "", "build", "-o", str(program), str(source)], check=True, cwd=self.folder
        )
        command = [str(program), str(self.port), str(self.certificate), f"{self.folder}/ca.pem", self.tls_version]
        return start_process(command, self.log)


@pytest.fixture(scope="module")
def pem(tmp_path_factory) -> Path:
    folder, authority = tmp_path_factory.mktemp("pem"), trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    for name, host in (("server.pem", "127.0.0.1"), ("client.pem", "a-client")):
        authority.issue_cert(host).private_key_and_cert_chain_pem.write_to_path(str(folder / name))
    return folder


@contextlib.contextmanager
def run_server(name: str, version: str, pem: Path, folder: Path) -> Iterator[str]:
    """Run a server that requires a client certificate; return its URL."""
    if name == "OpenSSL":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = context.maximum_version = VERSIONS[version]
        context.load_cert_chain(pem / "server.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(pem / "ca.pem")
        with raw_server(OK, tls=context) as receiver:
            yield receiver.url
        return
    kind = {"nginx": MutualNginx, "Go": GoServer}[name]
    missing = [program for program in kind.programs if find_program(program) is None]
    if missing:
        pytest.skip(f"{missing[0]} is not installed")
    shutil.copy(pem / "ca.pem", folder)
    server = kind(folder, pem / "server.pem")
    server.tls_version = version
    with server.run():
        yield server.url


def send(url: str, limits: Limits) -> str:
    attempt = send_once(url, policy=LOOPBACK, limits=limits)
    reason = attempt.status_code or attempt.error_class.value
    return f"{attempt.outcome.value} {reason}"


def check_connection(url: str, limits: Limits) -> str:
    with open_engine(url, policy=LOOPBACK, limits=limits) as engine:
        try:
            return f"Connected to {engine.check_connection()}"
        except ConnectError as error:
            return str(error)


@pytest.mark.parametrize(("name", "version"), EXPECTED, ids=map(" TLS ".join, EXPECTED))
def test_missing_client_certificate_is_reported(pem, tmp_path, name, version):
    expected_outcome, expected_message = EXPECTED[name, version]
    authorities = str(pem / "ca.pem")
    without = Limits(timeout=10, connect_timeout=10, tls=TlsOptions(conn_id="c", ca_certificates=authorities))
    options = TlsOptions(conn_id="c", ca_certificates=authorities, certificate_file=str(pem / "client.pem"))
    with_certificate = Limits(timeout=10, connect_timeout=10, tls=options)
    with run_server(name, version, pem, tmp_path) as url:
        outcomes = {send(url, without) for _ in range(ROUNDS)}
        message = check_connection(url, without)
        outcome, message_with = send(url, with_certificate), check_connection(url, with_certificate)
    print(f"\n| {name} | {version} | without | {', '.join(sorted(outcomes))} | {message} |")
    print(f"| {name} | {version} | with | {outcome} | {message_with} |")
    assert outcomes == {expected_outcome}
    assert message.startswith(expected_message)
    assert outcome.startswith("delivered 20")
    assert message_with == "Connected to 127.0.0.1"
