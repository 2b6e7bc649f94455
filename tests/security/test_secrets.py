# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Secrets in tracebacks, in the ``repr`` of objects, in wrong fields and in responses."""

from __future__ import annotations

import base64
import json
import traceback

import pytest

from airflow_provider_hooks.connection_form import ConnectionFields
from airflow_provider_hooks.delivery.endpoint import read_endpoint
from airflow_provider_hooks.delivery.request import RequestTemplate
from airflow_provider_hooks.events import build_event_created
from airflow_provider_hooks.exceptions import ServiceHookError, ValidationError
from airflow_provider_hooks.hooks.endpoint import EndpointHook
from airflow_provider_hooks.hooks.registry import RegistryHook
from airflow_provider_hooks.http.redact import redact
from airflow_provider_hooks.registries.model import HookSpec
from airflow_provider_hooks.signing import sign, verify
from airflow_provider_hooks.signing.keys import derive_key
from airflow_provider_hooks.stream.encode import RequestEncoder
from tests.events_data import CREATED
from tests.servers import raw_server

SECRET = "whsec_" + "c2VjcmV0LW9mLW91cnMt" * 2
TOKEN, PROXY_PASSWORD = "token-of-tests-0123456789", "proxy-password-of-tests"
REFUSAL = b'HTTP/1.1 401 No\r\nContent-Length: 15\r\n\r\n{"detail":"no"}'


def set_connection(monkeypatch, conn_id: str = "service_hook_default", **fields) -> None:
    connection = {"conn_type": "service_hook", "host": "https://h.example/", "password": SECRET, **fields}
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))


def break_connection(monkeypatch) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    set_connection(monkeypatch, extra={"secret_headers": headers, "timeout": "never"})


def break_proxy(monkeypatch) -> None:
    monkeypatch.setenv("AIRFLOW__SERVICE_HOOKS__PROXY", f"http://user:{PROXY_PASSWORD}@127.0.0.1:3128")
    monkeypatch.setenv("AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS", "0.0.0.0/0")
    set_connection(monkeypatch)


def deliver() -> None:
    EndpointHook().deliver_now("event.created", build_event_created(CREATED))


@pytest.mark.parametrize(
    ("prepare", "call"),
    [
        (break_connection, lambda: EndpointHook().get_conn()),
        (break_connection, deliver),
        (break_proxy, deliver),
        (None, lambda: verify("sentry", headers={"x-sentry-hook-signature": "0" * 64}, body=b"{}", secrets=[SECRET])),
        (None, lambda: sign("standard_webhooks", body=b"", secrets=[SECRET, "bad!"], delivery_id="d", timestamp=1)),
    ],
)
def test_traceback_frames_of_an_error_contain_no_secret(monkeypatch, prepare, call):
    if prepare is not None:
        prepare(monkeypatch)
    with pytest.raises(ServiceHookError) as caught:
        call()
    assert_no_secret(caught.value)


def test_traceback_frames_of_a_registry_error_contain_no_token(monkeypatch, allow_loopback):
    with raw_server(REFUSAL) as receiver:
        extra = {"platform": "sentry", "organization": "o", "project": "p"}
        host = f"http://127.0.0.1:{receiver.port}/api/0"
        set_connection(monkeypatch, "r", conn_type="service_hook_registry", host=host, password=TOKEN, extra=extra)
        for call in (RegistryHook("r").list_hooks, lambda: RegistryHook("r").register_hook(HookSpec(url="x"))):
            with pytest.raises(ServiceHookError) as caught:
                call()
            assert_no_secret(caught.value)


def assert_no_secret(error: BaseException) -> None:
    assert error.__cause__ is None
    assert error.__context__ is None
    frames = [
        frame
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if "airflow_provider_hooks" in frame.f_code.co_filename
    ]
    assert frames, "the traceback has frames of the package"
    shown = repr([frame.f_locals for frame in frames])
    assert not [one for one in (SECRET, TOKEN, PROXY_PASSWORD) if one in shown]


def test_repr_of_endpoint_request_and_fields_contains_no_secret():
    fields = ConnectionFields(
        conn_id="c",
        host=f"https://h.example/?token={TOKEN}",
        password=SECRET,
        extra={"secret_headers": {"Authorization": TOKEN}},
    )
    endpoint = read_endpoint(fields, default_timeout=1, read_variable=lambda _name: None)
    request = RequestEncoder(endpoint, "event.created", max_payload_bytes=10**6).encode(CREATED, offset=0)
    assert TOKEN.encode() in request.request
    for one in (endpoint, request, fields):
        assert not [private for private in (SECRET, TOKEN) if private in repr(one)]


@pytest.mark.parametrize(
    "secret", [SECRET, "f" * 64, "sntrys_AbCdEfGhIjKlMnOpQrSt0123456789", "AbCdEfGhIjKlMnOpQrSt+/="]
)
@pytest.mark.parametrize("name", ["scheme", "secret_variable", "key_format", "events"])
def test_secret_in_the_wrong_field_is_not_quoted(name, secret):
    fields = ConnectionFields(conn_id="c", host="https://h.example/", password="", extra={name: secret})
    with pytest.raises(ValidationError) as caught:
        read_endpoint(fields, default_timeout=1, read_variable=lambda _name: None)
    assert secret[6:] not in str(caught.value)


def test_invalid_value_that_is_not_a_secret_is_quoted():
    fields = ConnectionFields(
        conn_id="c", host="https://h.example/", password="", extra={"scheme": "sentri", "events": "event alarm"}
    )
    with pytest.raises(ValidationError, match="not 'sentri'") as caught:
        read_endpoint(fields, default_timeout=1, read_variable=lambda _name: None)
    assert "'event alarm'" in str(caught.value)


QUERY_TOKEN = "t0ken-without-a-value"
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.mark.parametrize(
    ("url", "scheme", "echoed"),
    [
        (f"https://h.example/?{QUERY_TOKEN}", "sentry", QUERY_TOKEN),
        (f"https://h.example/?a=1&{QUERY_TOKEN}&b=2", "sentry", QUERY_TOKEN),
        ("https://h.example/?k=pa%2Fss-w0rd-x", "sentry", "pa/ss-w0rd-x"),
        ("https://h.example/", "standard_webhooks", derive_key(WHSEC, "whsec").hex()),
        ("https://h.example/", "standard_webhooks", base64.b64encode(derive_key(WHSEC, "whsec")).decode()),
    ],
)
def test_echoed_query_values_and_signing_keys_are_masked(url, scheme, echoed):
    fields = ConnectionFields(conn_id="c", host=url, password=WHSEC, extra={"scheme": scheme})
    endpoint = read_endpoint(fields, default_timeout=1, read_variable=lambda _name: None)
    template = RequestTemplate(endpoint, "event.alert")
    sensitive = template.sensitive_values(template.sign("d-1", b"{}")[1])
    assert echoed not in redact(f"received {echoed} from you", sensitive)
