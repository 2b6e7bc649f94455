# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Mutual TLS by the fields of a connection: deliveries, the connection test, and settings that are refused."""

from __future__ import annotations

import ssl

import pytest
import trustme
from airflow.sdk.log import redact

from airflow_provider_hooks.exceptions import ValidationError
from airflow_provider_hooks.hooks.endpoint import EndpointHook
from tests.events_data import ALERT
from tests.servers import OK, raw_server


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def receiver(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    authority.issue_cert("127.0.0.1").configure_cert(context)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    with raw_server(OK, tls=context) as receiver:
        yield receiver


def test_a_client_certificate_from_a_variable_is_presented_and_its_key_masked(authority, receiver, connect, variables):
    pem = authority.issue_cert("a-client").private_key_and_cert_chain_pem.bytes().decode()
    variables.set("client_pem", pem)
    ca = authority.cert_pem.bytes().decode()
    connect(receiver.url, client_certificate_variable="client_pem", ca_certificates=ca)
    assert EndpointHook().deliver_now("event.alert", ALERT).record.attempt.outcome.value == "delivered"
    assert EndpointHook().test_connection()[0] is True
    assert redact(f"before {pem.strip()} after") == "before *** after"


def test_a_missing_client_certificate_fails_the_connection_test_and_is_not_sent(authority, receiver, connect, tmp_path):
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    connect(receiver.url, ca_certificates=str(tmp_path / "ca.pem"))
    is_ok, message = EndpointHook().test_connection()
    assert not is_ok
    assert message.startswith(
        "the server requires a client certificate (TLS alert certificate required): set client_cer"
    )
    attempt = EndpointHook().deliver_now("event.alert", ALERT).record.attempt
    assert (attempt.outcome.value, attempt.error_class.value) == ("not_sent", "tls_error")
    assert attempt.message == message


@pytest.mark.parametrize("call_name", ["get_conn", "connect", "deliver"])
def test_an_unusable_certificate_file_is_refused_before_anything_is_sent(connect, receiver, call_name):
    connect(receiver.url, client_certificate="/not/there.pem")
    hook = EndpointHook()
    calls = {
        "get_conn": hook.get_conn,
        "connect": hook.connect,
        "deliver": lambda: hook.deliver_now("event.alert", ALERT),
    }
    with pytest.raises(
        ValidationError, match=r"'service_hook_default': extra.client_certificate: is not a file that can"
    ):
        calls[call_name]()
    assert receiver.connections == 0


def test_a_ca_file_without_a_certificate_is_named(authority, receiver, connect, monkeypatch, tmp_path):
    (tmp_path / "empty.pem").write_text("")
    monkeypatch.setenv("AIRFLOW__SERVICE_HOOKS__CA_FILE", str(tmp_path / "empty.pem"))
    connect(receiver.url, ca_certificates=authority.cert_pem.bytes().decode())
    with pytest.raises(ValidationError, match=r"section service_hooks of airflow.cfg: ca_file: "):
        EndpointHook().get_conn()


def test_the_token_endpoint_has_the_same_authorities_and_no_client_certificate(authority, receiver, connect, variables):
    presented = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    context.verify_mode = ssl.CERT_OPTIONAL
    authority.configure_trust(context)

    def answer(connection):
        presented.append(connection.getpeercert())
        body = b'{"access_token": "a-t0ken", "token_type": "bearer"}'
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    variables.set("client_pem", authority.issue_cert("a-client").private_key_and_cert_chain_pem.bytes().decode())
    with raw_server(answer, tls=context) as tokens:
        client = {"auth_type": "oauth2", "auth_username": "an-id", "auth_secret": "a-secret", "auth_url": tokens.url}
        authorities = {"ca_certificates": authority.cert_pem.bytes().decode()}
        connect(receiver.url, client_certificate_variable="client_pem", **authorities, **client)
        assert EndpointHook().deliver_now("event.alert", ALERT).record.attempt.outcome.value == "delivered"
    assert presented == [None]
    assert b"Authorization: Bearer a-t0ken" in receiver.requests[0].split(b"\r\n")
