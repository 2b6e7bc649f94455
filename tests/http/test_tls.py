# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Trust in receivers: only explicit settings decide, on every Python version and in every environment."""

from __future__ import annotations

import datetime as dt
import os
import ssl
from ipaddress import IPv4Address
from pathlib import Path

import certifi
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from airflow_provider_hooks.delivery.record import Attempt
from airflow_provider_hooks.http import NetworkPolicy
from airflow_provider_hooks.http import connect as connect_module
from airflow_provider_hooks.http.connect import Limits, make_tls_context
from airflow_provider_hooks.outcomes import ErrorClass, Outcome
from tests.http.raw_request import send_once
from tests.servers import OK, raw_server
from tests.stream.sending import send as send_stream

LOOPBACK = NetworkPolicy(allowed_networks=["127.0.0.1"])
NOW = dt.datetime.now(dt.timezone.utc)
PATIENT = 20.0
REFUSED = (Outcome.NOT_SENT, ErrorClass.TLS_ERROR)
DELIVERED = (Outcome.DELIVERED, None)


@pytest.fixture(autouse=True)
def clear_cache_of_tls_contexts():
    connect_module._load_tls_context.cache_clear()
    yield
    connect_module._load_tls_context.cache_clear()


def send(url: str, *, ca_file: Path | None = None, ca_file_only: bool = False) -> tuple[Outcome, ErrorClass | None]:
    attempt: Attempt = send_once(
        url,
        policy=LOOPBACK,
        limits=Limits(
            timeout=PATIENT,
            connect_timeout=PATIENT,
            ca_file=None if ca_file is None else str(ca_file),
            ca_file_only=ca_file_only,
        ),
    )
    return attempt.outcome, attempt.error_class


def write(authority: trustme.CA, path: Path) -> Path:
    authority.cert_pem.write_to_path(str(path))
    return path


def serve_with(authority: trustme.CA):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return raw_server(OK, tls=context)


Issued = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def issue(name: str, *, issuer: Issued | None = None, extension: x509.ExtensionType | None = None) -> Issued:
    """Issue a certificate with that extension and no other."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - dt.timedelta(days=1))
        .not_valid_after(NOW + dt.timedelta(days=30))
    )
    if extension is not None:
        builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256()), key


def write_pem(path: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey | None = None) -> Path:
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    if key is not None:
        pem += key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    path.write_bytes(pem)
    return path


def make_server_context(file: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def test_ca_without_key_identifiers_is_trusted_on_every_python(tmp_path, monkeypatch):
    """Python 3.13 refuses such certificates by default; many company CAs issue them."""
    default = ssl.create_default_context

    def as_in_python_3_13(*arguments, **options):
        context = default(*arguments, **options)
        context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
        return context

    monkeypatch.setattr(ssl, "create_default_context", as_in_python_3_13)
    authority = issue("A company's CA", extension=x509.BasicConstraints(ca=True, path_length=None))
    names = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    leaf = issue("a receiver", issuer=authority, extension=names)
    ca_file = write_pem(tmp_path / "ca.pem", authority[0])
    with raw_server(OK, tls=make_server_context(write_pem(tmp_path / "leaf.pem", *leaf))) as receiver:
        assert send(receiver.url, ca_file=ca_file) == DELIVERED


def test_settings_of_the_tls_context_are_explicit():
    context = make_tls_context(Limits(timeout=1, connect_timeout=1))
    assert context.verify_flags == ssl.VerifyFlags.VERIFY_X509_TRUSTED_FIRST
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_http_1_1_is_the_only_offered_alpn_protocol(tmp_path):
    authority, chosen = trustme.CA(), []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    context.set_alpn_protocols(["h2", "http/1.1"])

    def answer(connection):
        chosen.append(connection.selected_alpn_protocol())
        connection.sendall(OK)

    with raw_server(answer, tls=context) as receiver:
        assert send(receiver.url, ca_file=write(authority, tmp_path / "ca.pem")) == DELIVERED
    assert chosen == ["http/1.1"]


class TestEnvironment:
    def test_sslkeylogfile_is_ignored(self, tmp_path, monkeypatch):
        monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
        authority = trustme.CA()
        with serve_with(authority) as receiver:
            assert send(receiver.url, ca_file=write(authority, tmp_path / "ca.pem")) == DELIVERED
        assert not (tmp_path / "keys").exists()

    @pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
    def test_certificates_of_the_environment_are_not_trusted(self, tmp_path, monkeypatch, name):
        authority = trustme.CA()
        monkeypatch.setenv(name, str(write(authority, tmp_path / "ca.pem")))
        with serve_with(authority) as receiver:
            assert send(receiver.url) == REFUSED
        assert receiver.requests == []

    def test_a_folder_of_certificates_of_the_environment_is_not_trusted(self, tmp_path, monkeypatch):
        authority = trustme.CA()
        write(authority, tmp_path / "ca.pem")
        monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
        with serve_with(authority) as receiver:
            assert send(receiver.url) == REFUSED


class TestCaFile:
    @pytest.fixture
    def public(self, tmp_path, monkeypatch) -> trustme.CA:
        """A CA of the public bundle."""
        authority = trustme.CA()
        bundle = str(write(authority, tmp_path / "bundle.pem"))
        monkeypatch.setattr(certifi, "where", lambda: bundle)
        return authority

    @pytest.fixture
    def private(self) -> trustme.CA:
        return trustme.CA()

    @pytest.mark.parametrize(
        ("has_file", "only", "by_public", "by_private"),
        [
            (False, False, DELIVERED, REFUSED),
            (True, False, DELIVERED, DELIVERED),
            (True, True, REFUSED, DELIVERED),
            (False, True, DELIVERED, REFUSED),
        ],
        ids=["no CA file", "with the public bundle", "CA file only", "CA file only without a CA file"],
    )
    def test_ca_file_adds_to_the_public_bundle_or_replaces_it(
        self, tmp_path, public, private, has_file, only, by_public, by_private
    ):
        ca_file = write(private, tmp_path / "ca.pem") if has_file else None
        for authority, expected in ((public, by_public), (private, by_private)):
            with serve_with(authority) as receiver:
                assert send(receiver.url, ca_file=ca_file, ca_file_only=only) == expected

    def test_changed_ca_file_is_read_again(self, tmp_path, public, private):
        ca_file = write(trustme.CA(), tmp_path / "ca.pem")
        os.utime(ca_file, (1_000, 1_000))
        with serve_with(private) as receiver:
            assert send(receiver.url, ca_file=ca_file) == REFUSED
            write(private, ca_file)
            os.utime(ca_file, (2_000, 2_000))
            assert send(receiver.url, ca_file=ca_file) == DELIVERED

    @pytest.mark.parametrize("content", [None, b"", b"not a certificate"])
    def test_unusable_ca_file_is_reported_as_not_sent(self, tmp_path, private, content):
        ca_file = tmp_path / "ca.pem"
        if content is not None:
            ca_file.write_bytes(content)
        with serve_with(private) as receiver:
            outcome, _ = send(receiver.url, ca_file=ca_file)
        assert (outcome, receiver.requests) == (Outcome.NOT_SENT, [])


def test_certificate_with_its_host_only_in_the_common_name_is_refused(tmp_path):
    """RFC 9110, section 4.3.4: the subjectAltName identifies a host."""
    certificate, key = issue("127.0.0.1")
    ca_file = write_pem(tmp_path / "ca.pem", certificate)
    with raw_server(OK, tls=make_server_context(write_pem(tmp_path / "leaf.pem", certificate, key))) as receiver:
        single = send(receiver.url, ca_file=ca_file)
        (stream,) = send_stream(receiver.url, 1, ca_file=str(ca_file), timeout=PATIENT, connect_timeout=PATIENT).records
    assert single == REFUSED
    assert (stream["outcome"], stream["error_class"]) == tuple(one.value for one in REFUSED)
    assert receiver.requests == []


@pytest.mark.parametrize(
    ("is_trusted", "ages", "message", "advice"),
    [
        (
            False,
            {},
            "unable to get local issuer certificate",
            "set ca_certificates, or ca_file (section service_hooks)",
        ),
        (
            True,
            {"not_before": NOW - dt.timedelta(days=2), "not_after": NOW - dt.timedelta(days=1)},
            "certificate has expired",
            "it is the receiver's certificate, or one of ca_certificates or ca_file",
        ),
    ],
    ids=["unknown authority", "expired"],
)
def test_error_of_a_certificate_ends_with_what_to_check(tmp_path, is_trusted, ages, message, advice):
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", **ages).configure_cert(context)
    ca_file = write(authority if is_trusted else trustme.CA(), tmp_path / "ca.pem")
    with raw_server(OK, tls=context) as receiver:
        limits = Limits(timeout=PATIENT, connect_timeout=PATIENT, ca_file=str(ca_file), ca_file_only=True)
        attempt = send_once(receiver.url, policy=LOOPBACK, limits=limits)
        (record,) = send_stream(receiver.url, 1, ca_file=str(ca_file), timeout=PATIENT, connect_timeout=PATIENT).records
    assert message in attempt.message
    assert attempt.message.endswith(advice)
    assert record["message"].endswith(advice)
