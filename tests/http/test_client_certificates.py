# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Mutual TLS against real servers: the outcome and message for a missing, wrong or unusable client certificate."""

from __future__ import annotations

import contextlib
import os
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from airflow_provider_hooks.exceptions import ConnectError, ValidationError
from airflow_provider_hooks.http import NetworkPolicy
from airflow_provider_hooks.http.connect import Limits, make_tls_context
from airflow_provider_hooks.http.engine import Engine
from airflow_provider_hooks.http.tls import ALERT_SECONDS, TlsOptions
from airflow_provider_hooks.outcomes import ErrorClass, Outcome
from tests.http.raw_request import open_engine, send_once, send_with
from tests.servers import OK, RawReceiver, raw_server
from tests.stream.sending import send as send_stream

LOOPBACK = NetworkPolicy(allowed_networks=["127.0.0.1"])
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
PATIENT = 20.0


@dataclass(frozen=True)
class Files:
    """The PEM files of a client, and the CA that issued the certificate of the server."""

    folder: Path
    authority: trustme.CA

    @property
    def pem(self) -> str:
        return (self.folder / "both.pem").read_text()

    def path(self, name: str) -> str:
        return str(self.folder / name)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Files:
    folder, authority = tmp_path_factory.mktemp("pem"), trustme.CA()
    client, other = authority.issue_cert("a-client"), trustme.CA().issue_cert("another-client")
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    for name, one in (("", client), ("other-", other)):
        one.cert_chain_pems[0].write_to_path(str(folder / f"{name}certificate.pem"))
        one.private_key_pem.write_to_path(str(folder / f"{name}key.pem"))
        one.private_key_and_cert_chain_pem.write_to_path(str(folder / f"{name}both.pem"))
    key = serialization.load_pem_private_key(client.private_key_pem.bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"a passphrase"),
    )
    (folder / "encrypted.pem").write_bytes(encrypted)
    (folder / "text.pem").write_text("no PEM at all")
    return Files(folder, authority)


def make_server_context(files: Files, version: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = VERSIONS[version]
    files.authority.issue_cert("127.0.0.1").configure_cert(context)
    context.verify_mode = ssl.CERT_REQUIRED
    files.authority.configure_trust(context)
    return context


@contextlib.contextmanager
def serve(files: Files, version: str) -> Iterator[RawReceiver]:
    """Serve TLS that requires a client certificate."""
    with raw_server(OK, tls=make_server_context(files, version)) as receiver:
        yield receiver


def make_limits(files: Files, **tls: str | None) -> Limits:
    options = TlsOptions(conn_id="c", ca_certificates=files.path("ca.pem"), **tls)
    return Limits(timeout=PATIENT, connect_timeout=PATIENT, tls=options)


def make_options(files: Files, kind: str) -> dict[str, str | None]:
    return {
        "none": {},
        "files": {"certificate_file": files.path("certificate.pem"), "key_file": files.path("key.pem")},
        "one file": {"certificate_file": files.path("both.pem")},
        "text": {"certificate_pem": files.pem},
        "of another CA": {"certificate_file": files.path("other-both.pem")},
    }[kind]


def check_connection(url: str, limits: Limits) -> str:
    with open_engine(url, policy=LOOPBACK, limits=limits) as engine:
        return engine.check_connection()


def expect_check_error(url: str, limits: Limits) -> pytest.ExceptionInfo[ConnectError]:
    with pytest.raises(ConnectError) as caught:
        check_connection(url, limits)
    return caught


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["files", "one file", "text"])
def test_a_client_certificate_is_presented(files, version, kind):
    limits = make_limits(files, **make_options(files, kind))
    with serve(files, version) as receiver:
        assert send_once(receiver.url, policy=LOOPBACK, limits=limits).outcome is Outcome.DELIVERED
        assert check_connection(receiver.url, limits) == "127.0.0.1"


REFUSALS = {
    (
        "none",
        "1.2",
    ): "the server refused the TLS handshake (TLS alert handshake failure); it may require a client cert",
    (
        "none",
        "1.3",
    ): "the server requires a client certificate (TLS alert certificate required): set client_c",
    ("of another CA", "1.2"): "the server did not accept the client certificate (TLS alert unknown ca): check",
    ("of another CA", "1.3"): "the server did not accept the client certificate (TLS alert unknown ca): check",
}


@pytest.mark.parametrize(("kind", "version"), REFUSALS)
def test_missing_or_refused_client_certificate_is_not_sent_with_advice(files, kind, version):
    limits = make_limits(files, **make_options(files, kind))
    with serve(files, version) as receiver:
        attempt = send_once(receiver.url, policy=LOOPBACK, limits=limits)
        assert (attempt.outcome, attempt.error_class) == (Outcome.NOT_SENT, ErrorClass.TLS_ERROR)
        assert attempt.message.startswith(REFUSALS[kind, version])
        caught = expect_check_error(receiver.url, limits)
        assert str(caught.value).startswith(REFUSALS[kind, version])
        assert caught.value.error_class is ErrorClass.TLS_ERROR
        assert receiver.requests == []


@pytest.mark.parametrize("size", [10, 2_000_000])
def test_missing_client_certificate_is_not_sent_for_any_body_size(files, size):
    """A reset that follows the alert must not hide it."""
    with (
        serve(files, "1.3") as receiver,
        open_engine(receiver.url, policy=LOOPBACK, limits=make_limits(files)) as engine,
    ):
        attempts = [send_with(engine, receiver.url, body=b"x" * size) for _ in range(50)]
        assert {one.outcome for one in attempts} == {Outcome.NOT_SENT}
        assert {one.error_class for one in attempts} == {ErrorClass.TLS_ERROR}


@pytest.mark.parametrize("version", VERSIONS)
def test_stream_without_client_certificate_reports_every_event_as_not_sent(files, version):
    with serve(files, version) as receiver:
        sent = send_stream(receiver.url, 100, concurrency=16, ca_file=files.path("ca.pem"))
    assert sent.outcomes == {("not_sent", "tls_error"): 100}
    assert receiver.requests == []


class AlertedSocket(ssl.SSLSocket):
    """Raises a certificate alert in place of a response, after ``answers`` responses."""

    answers = 0

    def recv(self, *args):
        data = super().recv(*args)
        if self.answers:
            type(self).answers -= 1
            return data
        error = ssl.SSLError(1, "an alert")
        error.reason = "SSLV3_ALERT_BAD_CERTIFICATE"
        raise error


@pytest.mark.parametrize(
    ("version", "answers", "outcome"),
    [("1.3", 1, Outcome.UNKNOWN), ("1.2", 0, Outcome.UNKNOWN), ("1.3", 0, Outcome.NOT_SENT)],
    ids=["TLS 1.3, reused connection", "TLS 1.2, which can renegotiate", "TLS 1.3, new connection"],
)
def test_certificate_alert_is_not_sent_only_on_a_new_tls_1_3_connection(files, monkeypatch, version, answers, outcome):
    limits = make_limits(files, **make_options(files, "files"))
    context = make_tls_context(limits)
    monkeypatch.setattr(AlertedSocket, "answers", answers)
    monkeypatch.setattr(context, "sslsocket_class", AlertedSocket)

    def answer_twice(connection):
        connection.sendall(OK)
        connection.recv(65_536)
        connection.sendall(OK)

    server = raw_server(answer_twice, tls=make_server_context(files, version))
    with server as receiver, open_engine(receiver.url, policy=LOOPBACK, limits=limits) as engine:
        attempts = [send_with(engine, receiver.url) for _ in range(answers + 1)]
    assert [one.outcome for one in attempts] == [*[Outcome.DELIVERED] * answers, outcome]
    assert attempts[-1].message.startswith(
        "the server did not accept the client certificate (TLS alert bad certificate)"
    )


def test_certificate_alert_is_reported_if_the_server_closes_before_the_request(files, monkeypatch):
    """The server closes the connection before the first byte of the request is written."""
    send_on = Engine._send_on

    def send_later(self, *args):
        time.sleep(0.1)
        return send_on(self, *args)

    monkeypatch.setattr(Engine, "_send_on", send_later)
    with serve(files, "1.3") as receiver:
        attempt = send_once(receiver.url, policy=LOOPBACK, limits=make_limits(files))
    assert (attempt.outcome, attempt.error_class) == (Outcome.NOT_SENT, ErrorClass.TLS_ERROR)
    assert attempt.message.startswith(REFUSALS["none", "1.3"])


class TestConnectionCheck:
    def test_check_of_a_silent_server_ends_after_the_alert_timeout(self, files):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.num_tickets = 0
        files.authority.issue_cert("127.0.0.1").configure_cert(context)
        with raw_server(OK, tls=context) as receiver:
            began = time.monotonic()
            assert check_connection(receiver.url, make_limits(files)) == "127.0.0.1"
        assert ALERT_SECONDS <= time.monotonic() - began < 5

    def test_server_that_closes_after_the_handshake_is_reported_as_connection_reset(self, files):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        files.authority.issue_cert("127.0.0.1").configure_cert(context)

        class Closing(ssl.SSLSocket):
            def do_handshake(self, *args):
                super().do_handshake(*args)
                self.close()

        context.num_tickets, context.sslsocket_class = 0, Closing
        with raw_server(OK, tls=context) as receiver:
            caught = expect_check_error(receiver.url, make_limits(files))
        assert caught.value.error_class is ErrorClass.CONNECTION_RESET


UNUSABLE = [
    ({"certificate_file": "/not/there.pem"}, "client_certificate", "is not a file that can be read (No such file"),
    ({"certificate_file": "a\0b"}, "client_certificate", "is not a file that can be read (not a path)"),
    ({"certificate_file": "text.pem"}, "client_certificate", "holds no certificate in PEM format"),
    ({"certificate_file": "certificate.pem"}, "client_certificate", "holds no private key in PEM format"),
    ({"certificate_file": "certificate.pem", "key_file": "/not/there.pem"}, "client_key", "is not a file that can be"),
    ({"certificate_file": "certificate.pem", "key_file": "text.pem"}, "client_key", "holds no private key in PEM"),
    (
        {"certificate_file": "certificate.pem", "key_file": "encrypted.pem"},
        "client_key",
        "has an encrypted private key",
    ),
    ({"certificate_file": "certificate.pem", "key_file": "other-key.pem"}, "client_key", "that does not belong to the"),
    ({"certificate_pem": "no PEM at all"}, "client_certificate_variable", "the Variable holds no certificate in PEM"),
    ({"ca_certificates": "/not/there.pem"}, "ca_certificates", "is neither PEM text nor a file that can be read"),
    ({"ca_certificates": "text.pem"}, "ca_certificates", "holds no certificate in PEM format"),
    ({"ca_certificates": "-----BEGIN CERTIFICATE-----\nAAAA"}, "ca_certificates", "holds no certificate in PEM format"),
]


@pytest.mark.parametrize(("given", "field", "problem"), UNUSABLE)
def test_unusable_certificate_setting_is_reported_with_its_field(files, given, field, problem):
    options = {
        name: files.path(value) if (files.folder / value.replace("\0", "")).exists() else value
        for name, value in given.items()
    }
    with pytest.raises(ValidationError) as caught:
        make_tls_context(Limits(timeout=1, connect_timeout=1, tls=TlsOptions(conn_id="c", **options)))
    assert list(caught.value.problems) == [f"extra.{field}"]
    assert problem in str(caught.value)
    assert str(caught.value).startswith("connection 'c': extra.")


@pytest.mark.timeout(20)
def test_encrypted_key_in_a_variable_is_refused_without_a_passphrase_prompt(files):
    pem = (files.folder / "certificate.pem").read_text() + (files.folder / "encrypted.pem").read_text()
    with pytest.raises(ValidationError, match="client_certificate_variable: the Variable has an encrypted private key"):
        make_tls_context(Limits(timeout=1, connect_timeout=1, tls=TlsOptions(conn_id="c", certificate_pem=pem)))


def test_certificate_file_deleted_after_the_check_is_reported_as_not_sent(files, tmp_path):
    path = tmp_path / "both.pem"
    path.write_text(files.pem)
    limits = make_limits(files, certificate_file=str(path))
    make_tls_context(limits)
    path.unlink()
    with serve(files, "1.3") as receiver:
        attempt = send_once(receiver.url, policy=LOOPBACK, limits=limits)
    assert (attempt.outcome, attempt.error_class) == (Outcome.NOT_SENT, ErrorClass.SETUP_FAILED)
    assert attempt.message.startswith("connection 'c': extra.client_certificate: is not a file that can be read")


def test_a_renewed_certificate_is_used_for_the_next_connection(files, tmp_path):
    path = tmp_path / "both.pem"
    path.write_text((files.folder / "other-both.pem").read_text())
    os.utime(path, (1_000, 1_000))
    limits = make_limits(files, certificate_file=str(path))
    with serve(files, "1.3") as receiver:
        assert send_once(receiver.url, policy=LOOPBACK, limits=limits).outcome is Outcome.NOT_SENT
        path.write_text(files.pem)
        assert send_once(receiver.url, policy=LOOPBACK, limits=limits).outcome is Outcome.DELIVERED


def test_private_key_from_a_variable_is_not_in_a_file_or_repr(files, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = list(Path("/proc/self/fd").iterdir())
    options = TlsOptions(conn_id="c", certificate_pem=files.pem)
    limits = Limits(timeout=1, connect_timeout=1, tls=options)
    make_tls_context(limits)
    assert list(tmp_path.iterdir()) == []
    assert len(list(Path("/proc/self/fd").iterdir())) == len(before)
    assert repr(options) == "TlsOptions(conn_id='c')"
    assert "PRIVATE" not in repr(limits)


def test_ca_certificates_of_an_endpoint_apply_to_that_endpoint_only(files):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    files.authority.issue_cert("127.0.0.1").configure_cert(context)
    text = (files.folder / "ca.pem").read_text()
    with raw_server(OK, tls=context) as receiver:
        for given, expected in ((text, Outcome.DELIVERED), (f" \n{text}", Outcome.DELIVERED), (None, Outcome.NOT_SENT)):
            tls = None if given is None else TlsOptions(conn_id="c", ca_certificates=given)
            limits = Limits(timeout=PATIENT, connect_timeout=PATIENT, tls=tls)
            assert send_once(receiver.url, policy=LOOPBACK, limits=limits).outcome is expected
