# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The authentication fields of a connection."""

from __future__ import annotations

import base64

import pytest

from airflow_provider_hooks.connection_form import ConnectionFields
from airflow_provider_hooks.delivery.endpoint import read_endpoint
from airflow_provider_hooks.exceptions import ValidationError

VALUE = "a-value+of/ours"
CLIENT = {"auth_type": "oauth2", "auth_username": "an-id", "auth_secret": VALUE, "auth_url": "https://login.example/t"}


def read(variable=None, **extra):
    fields = ConnectionFields(conn_id="c", host="https://x.example/", password="s" * 20, extra=extra)
    return read_endpoint(fields, default_timeout=10, read_variable=lambda _name: variable)


def problems(**extra) -> dict[str, str]:
    with pytest.raises(ValidationError) as caught:
        read(**extra)
    assert VALUE not in str(caught.value)
    return caught.value.problems


def test_connection_without_auth_type_adds_no_header():
    endpoint = read(auth_type=None, auth_secret="", auth_url=" ")
    assert (endpoint.headers, endpoint.oauth2) == ({}, None)


def test_basic_credentials_are_sent_and_masked_encoded_and_decoded():
    endpoint = read(auth_type="basic", auth_username="ünsal", auth_secret=f"pass:{VALUE}")
    encoded = base64.b64encode(f"ünsal:pass:{VALUE}".encode()).decode()
    assert endpoint.headers == {"Authorization": f"Basic {encoded}"}
    assert {f"pass:{VALUE}", encoded, f"Basic {encoded}"} <= set(endpoint.credentials)
    assert set(endpoint.credentials) <= set(endpoint.sensitive_headers)


@pytest.mark.parametrize("place", [{"auth_secret": VALUE}, {"auth_variable": "v", "variable": f" {VALUE}\n"}])
def test_a_bearer_token_is_sent_and_masked(place):
    endpoint = read(auth_type="bearer", **place)
    assert endpoint.headers == {"Authorization": f"Bearer {VALUE}"}
    assert {VALUE, f"Bearer {VALUE}"} <= set(endpoint.credentials)
    assert VALUE not in repr(endpoint)


def test_oauth2_client_is_read_and_its_secret_is_masked_in_each_form():
    endpoint = read(**CLIENT, auth_scope="a b", auth_audience="api", auth_method="client_secret_post")
    client = endpoint.oauth2
    assert (client.client_id, client.client_secret, client.scope, client.audience, client.method) == (
        "an-id",
        VALUE,
        "a b",
        "api",
        "client_secret_post",
    )
    assert client.target.display_url == "https://login.example/t"
    assert endpoint.headers == {}
    encoded = base64.b64encode(b"an-id:a-value%2Bof%2Fours").decode()
    assert {VALUE, "a-value%2Bof%2Fours", encoded} <= set(endpoint.credentials) & set(endpoint.sensitive_headers)
    assert VALUE not in repr(endpoint)
    assert read(**CLIENT).oauth2.method == "client_secret_basic"


@pytest.mark.parametrize(
    ("extra", "field", "problem"),
    [
        ({"auth_secret": VALUE}, "extra.auth_type", "is not set, or is not a type, but auth_secret is"),
        ({"auth_type": "digest"}, "extra.auth_type", "must be one of basic, bearer, oauth2"),
        ({"auth_type": "bearer"}, "extra.auth_secret", "is needed with auth_type bearer, here or in an auth_variable"),
        ({"auth_type": "basic", "auth_secret": VALUE}, "extra.auth_username", "is needed with auth_type basic"),
        (
            {"auth_type": "basic", "auth_secret": VALUE, "auth_username": "a:b"},
            "extra.auth_username",
            "must be printable, without a colon",
        ),
        (
            {"auth_type": "bearer", "auth_secret": VALUE, "auth_username": "me"},
            "extra.auth_username",
            "is not used with auth_type bearer",
        ),
        ({"auth_type": "bearer", "auth_secret": f"{VALUE} x"}, "extra.auth_secret", "must be a token without blanks"),
        ({"auth_type": "bearer", "auth_secret": f"{VALUE}\x00"}, "extra.auth_secret", "must be one line"),
        ({"auth_type": "bearer", "auth_secret": VALUE * 400}, "extra.auth_secret", "must be one line of at most 4096"),
        (
            {"auth_type": "bearer", "auth_secret": VALUE, "auth_variable": "v"},
            "extra.auth_secret",
            "auth_variable is set too",
        ),
        (
            {"auth_type": "bearer", "auth_variable": "v"},
            "the Variable 'v' (extra.auth_variable)",
            "does not exist",
        ),
        (
            {"auth_type": "bearer", "auth_variable": "v", "variable": " "},
            "the Variable 'v' (extra.auth_variable)",
            "is empty",
        ),
        (
            {"auth_type": "bearer", "auth_secret": VALUE, "auth_url": "https://x.example/"},
            "extra.auth_url",
            "is not used with auth_type bearer",
        ),
        ({**CLIENT, "auth_url": ""}, "extra.auth_url", "is needed with auth_type oauth2"),
        ({**CLIENT, "auth_url": "ftp://x"}, "extra.auth_url", "the URL must start with https://"),
        ({**CLIENT, "auth_username": "é"}, "extra.auth_username", "must be printable ASCII"),
        ({**CLIENT, "auth_method": "jwt"}, "extra.auth_method", "must be one of client_secret_basic"),
        (
            {"auth_type": "bearer", "auth_secret": VALUE, "secret_headers": {"authorization": "x"}},
            "extra.auth_type",
            "secret_headers sets the header Authorization too",
        ),
        (
            {**CLIENT, "secret_headers": {"Authorization": "x"}},
            "extra.auth_type",
            "secret_headers sets the header Authorization too",
        ),
    ],
)
def test_invalid_field_is_reported_with_its_name(extra, field, problem):
    found = problems(**extra)
    assert found[field].startswith(problem)


def test_all_invalid_fields_are_named_in_one_error():
    found = problems(auth_type="oauth2", auth_username="", events="event deleted", disabled="maybe")
    assert set(found) == {
        "extra.auth_username",
        "extra.auth_url",
        "extra.auth_secret",
        "extra.events",
        "extra.disabled",
    }


@pytest.mark.parametrize(
    ("extra", "name"),
    [
        ({**CLIENT, "auth_audience": "\ud800"}, "extra.auth_audience"),
        ({"auth_type": "basic", "auth_username": "\ud800", "auth_secret": VALUE}, "extra.auth_username"),
    ],
)
def test_unencodable_text_is_reported_with_its_field(extra, name):
    assert "must be printable" in problems(**extra)[name]


def test_secret_in_the_token_url_is_masked():
    endpoint = read(**{**CLIENT, "auth_url": "https://login.example/t?code=a-tenants-k3y"})
    assert "a-tenants-k3y" in endpoint.oauth2.sensitive_values
    assert "a-tenants-k3y" in endpoint.sensitive_headers
