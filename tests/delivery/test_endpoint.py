# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
from __future__ import annotations

import pytest

from airflow_provider_hooks.connection_form import ConnectionFields
from airflow_provider_hooks.delivery.endpoint import read_endpoint
from airflow_provider_hooks.exceptions import ValidationError

SECRET = "a-secret-of-ours"


def read(host="https://example.com/hook", password=SECRET, variable=None, **extra):
    fields = ConnectionFields(conn_id="c", host=host, password=password, extra=extra)
    return read_endpoint(fields, default_timeout=10, read_variable=lambda _name: variable)


def problems(**fields):
    with pytest.raises(ValidationError) as caught:
        read(**fields)
    assert SECRET not in str(caught.value)
    assert str(caught.value).startswith("connection 'c': ")
    return caught.value.problems


def test_defaults_are_the_sentry_scheme_all_events_and_the_default_timeout():
    endpoint = read()
    assert (endpoint.scheme.name, endpoint.secrets, endpoint.timeout) == ("sentry", (SECRET,), 10)
    assert (endpoint.events, endpoint.format_settings.name) == (("*",), None)
    assert endpoint.takes("event.created")
    assert endpoint.takes("orders.loaded")


def test_repr_contains_no_secret():
    shown = repr(read(host="https://example.com/T0KEN?k=T0KEN"))
    assert SECRET not in shown
    assert "T0KEN" not in shown


def test_empty_form_fields_are_not_set():
    assert read(scheme=None, secret_variable="", key_format=None, events="  ", timeout=None) == read()


def test_every_field_is_read():
    endpoint = read(
        password=None,
        variable='["new-secret", "old-secret"]',
        scheme="zstack",
        secret_variable="hooks",
        key_format="text",
        events="event.alert, ",
        timeout="2.5",
    )
    assert (endpoint.secrets, endpoint.events, endpoint.timeout) == (
        ("new-secret", "old-secret"),
        ("event.alert",),
        2.5,
    )


def test_unused_and_unknown_fields_are_refused():
    fields = ConnectionFields(conn_id="c", host="https://x.example/", password=SECRET, extra={}, unused=("port",))
    with pytest.raises(ValidationError, match="port: is not used by this type"):
        read_endpoint(fields, default_timeout=1, read_variable=lambda _name: None)
    assert "signs nothing" in problems(scheme="none")["password"]
    assert "signs nothing" in problems(scheme="none", password=None, secret_variable="v")["extra.secret_variable"]
    assert problems(secret_variabel="x")["extra.secret_variabel"].endswith("did you mean secret_variable?")


def test_timeout_that_airflow_parsed_as_a_number_is_read():
    assert read(timeout=3).timeout == 3


def test_key_format_of_the_connection_overrides_that_of_the_scheme():
    assert read(scheme="zstack", key_format="auto").scheme.key_format == "text"
    secret = "whsec_" + "QUJD" * 8
    assert read(scheme="zstack", key_format="whsec", password=secret).scheme.key_format == "whsec"


def test_the_scheme_none_needs_no_secret():
    assert read(password=None, scheme="none").secrets == ()


def test_all_invalid_fields_are_named_in_one_error():
    found = problems(host="ftp://x", password="", scheme="nope", events="event deleted", timeout="soon", colour="red")
    assert set(found) == {"host (URL)", "extra.scheme", "extra.events", "extra.timeout", "extra.colour"}


@pytest.mark.parametrize(
    ("fields", "name", "message"),
    [
        ({"password": None}, "password (signing secret)", "is empty"),
        ({"password": "  "}, "password (signing secret)", "blanks"),
        ({"password": f" {SECRET}"}, "password (signing secret)", "blanks"),
        ({"password": SECRET, "scheme": "standard_webhooks"}, "password (signing secret)", "not base64"),
        ({"password": SECRET, "key_format": "whsec"}, "password (signing secret)", "not base64"),
        ({"secret_variable": "v"}, "password", "secret_variable is set too"),
        (
            {"password": None, "secret_variable": "v"},
            "the Variable 'v' (extra.secret_variable)",
            "register the hook first",
        ),
        (
            {"password": None, "secret_variable": "v", "variable": "[]"},
            "the Variable 'v' (extra.secret_variable)",
            "no secret",
        ),
        (
            {"password": None, "secret_variable": "v", "variable": "{"},
            "the Variable 'v' (extra.secret_variable)",
            "begins like JSON",
        ),
        ({"timeout": 0}, "extra.timeout", "seconds"),
        ({"timeout": "nan"}, "extra.timeout", "seconds"),
        ({"scheme": True}, "extra.scheme", "must be text"),
        ({"events": ["event.alert"]}, "extra.events", "must be text, with commas between several values"),
    ],
)
def test_invalid_field_is_reported_with_advice(fields, name, message):
    assert message in problems(**fields)[name]


def test_login_is_refused_with_advice_on_basic_authentication():
    fields = ConnectionFields(conn_id="c", host="https://h.example/", password="s3cret", unused=("login",), extra={})
    with pytest.raises(ValidationError, match=r"login: is not used .* set auth_type, auth_username and auth_secret"):
        read_endpoint(fields, default_timeout=1, read_variable=lambda _name: None)


@pytest.mark.parametrize(
    ("value", "expected"), [(True, True), ("true", True), ("True", True), (False, False), ("", False), (None, False)]
)
def test_an_endpoint_is_disabled_by_a_switch(value, expected):
    assert read(disabled=value).is_disabled is expected
