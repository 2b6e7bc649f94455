# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
from __future__ import annotations

import json

import pytest

from airflow_provider_hooks.connection_form import ConnectionFields
from airflow_provider_hooks.delivery.endpoint import read_endpoint
from airflow_provider_hooks.delivery.headers import MAX_HEADERS
from airflow_provider_hooks.delivery.request import merge_headers
from airflow_provider_hooks.exceptions import ValidationError
from airflow_provider_hooks.signing import SCHEMES

VALUE = "a-value-of-ours"


def read(value, *allowed, **extra):
    fields = ConnectionFields(
        conn_id="c", host="https://x.example/", password="s" * 20, extra={"secret_headers": value, **extra}
    )
    return read_endpoint(fields, default_timeout=10, read_variable=lambda _name: None, allowed_headers=allowed)


def problem(value, *allowed, **extra) -> str:
    with pytest.raises(ValidationError) as caught:
        read(value, *allowed, **extra)
    assert VALUE not in str(caught.value)
    (found,) = caught.value.problems.items()
    return ": ".join(found)


@pytest.mark.parametrize("value", [None, "", "  ", {}, "{}"])
def test_no_header_is_added_without_secret_headers(value):
    assert read(value).headers == {}


@pytest.mark.parametrize("encode", [dict, json.dumps])
def test_headers_are_read_from_an_object_or_json_text(encode):
    headers = {"Authorization": "Bearer a-token", "x-Team": "data, all of it", "Api-Key": VALUE}
    assert read(encode(headers), "api-key").headers == headers
    assert VALUE not in repr(read(encode(headers), "api-key"))


@pytest.mark.parametrize("value", ["{", "[]", "null", '"x"', 7, True, ["X-A"], "[" * 100_000])
def test_value_that_is_not_an_object_is_refused(value):
    assert problem(value).startswith("extra.secret_headers: must be a JSON object")


PROVIDER_HEADERS = {name for scheme in SCHEMES.values() for name in scheme.header_names}


@pytest.mark.parametrize(
    "name",
    [
        *sorted(PROVIDER_HEADERS),
        *("Host", "Content-Length", "Transfer-Encoding", "Expect", "Content-Type", "User-Agent", "Connection"),
        *("Proxy-Authorization", "X-Service-Hook-Delivery", "X-Service-Hook-Event", "X-ServiceHook-Anything"),
    ],
)
@pytest.mark.parametrize("case", [str, str.upper, str.lower, lambda name: name.replace("-", "_")])
def test_header_of_the_provider_or_of_http_is_refused_even_if_allowed(name, case):
    assert "is set by the provider" in problem({case(name): VALUE}, name)


@pytest.mark.parametrize("name", ["Cookie", "Api-Key", "Accept", "Authorization2"])
def test_header_that_is_not_allowed_is_refused_with_advice(name):
    assert "list it in allowed_headers" in problem({name: VALUE})
    assert read({name: VALUE}, name.upper()).headers == {name: VALUE}


@pytest.mark.parametrize("name", ["", "X-A:", "X A", "X-A\r\nHost", "X-A\0", "X-Ü", "X-A\n", "X-" + "a" * 200])
def test_invalid_header_name_is_refused(name):
    assert "is not the name of a header" in problem({name: VALUE})


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        f" {VALUE}",
        f"{VALUE} ",
        f"{VALUE}\r\nHost: evil",
        f"{VALUE}\n",
        f"{VALUE}\0",
        f"{VALUE}ü",
        "\t",
        "a\tb",
    ],
)
def test_invalid_header_value_is_refused(text):
    assert "has a value that" in problem({"X-A": text})


@pytest.mark.parametrize("text", [None, 7, True, ["a"], {"a": "b"}])
def test_header_value_must_be_text(text):
    assert "must have text as its value" in problem({"X-A": text})


def test_length_of_a_value_and_number_of_headers_are_limited():
    assert "longer than" in problem({"X-A": "a" * 5_000})
    assert "there can be" in problem({f"X-{number}": VALUE for number in range(MAX_HEADERS + 1)})


@pytest.mark.parametrize("value", [{"X-A": VALUE, "x-a": VALUE}, f'{{"X-A": "{VALUE}", "X-A": "{VALUE}"}}'])
def test_duplicate_header_is_refused(value):
    assert "more than once" in problem(value)


def test_all_invalid_headers_are_named_in_one_error():
    with pytest.raises(ValidationError) as caught:
        read({"Host": VALUE, "X-A": "", "Cookie": VALUE})
    assert set(caught.value.problems) == {f"extra.secret_headers '{name}'" for name in ("Host", "X-A", "Cookie")}


def test_provider_headers_override_others_in_any_letter_case():
    assert merge_headers({"x-a": "theirs", "X-B": "b"}, {"X-A": "ours"}) == {"X-B": "b", "X-A": "ours"}


def test_names_that_are_equal_for_a_wsgi_server_are_refused():
    assert "more than once" in problem({"X-A_B": VALUE, "X_A-B": VALUE}, "X_A-B")


def test_decoded_basic_credentials_are_sensitive():
    endpoint = read({"Authorization": "Basic dXNlcjpwYXNzOndvcmQ=", "X-Team": "data platform"})
    assert {"user:pass:word", "pass:word"} <= set(endpoint.sensitive_headers)
    assert endpoint.credentials == ("Basic dXNlcjpwYXNzOndvcmQ=", "dXNlcjpwYXNzOndvcmQ=", "user:pass:word", "pass:word")


def test_token_is_sensitive_with_and_without_its_scheme_name():
    endpoint = read({"Authorization": "Bearer T0ken", "X-A": "b"})
    assert endpoint.sensitive_headers == ("Bearer T0ken", "T0ken", "b")


@pytest.mark.parametrize("name", ["Idempotency-Key", "idempotency-key", "X-Request-Id"])
def test_header_can_carry_the_delivery_id(name):
    assert read(None, id_header=name).id_header == name
    assert read(None, "Request-Key", id_header="Request-Key").id_header == "Request-Key"
    assert read(None, id_header="").id_header is None


@pytest.mark.parametrize(
    ("name", "headers", "reason"),
    [
        ("Authorization", {}, "is not allowed: use Idempotency-Key or X-…"),
        ("Request-Key", {}, "is not allowed: use Idempotency-Key or X-…, or list it in allowed_headers"),
        ("X-Id\r\nHost", {}, "is not the name of a header"),
        ("webhook_id", {}, "is set by the provider"),
        ("X-Service-Hook-Delivery", {}, "is set by the provider"),
        ("x_request_id", {"X-Request-Id": VALUE}, "is in secret_headers too"),
    ],
)
def test_a_header_that_cannot_carry_the_delivery_id_is_refused(name, headers, reason):
    assert reason in problem(headers, id_header=name)


class TestPlainHeaders:
    def test_plain_headers_are_read_and_not_masked(self):
        endpoint = read({"X-Api-Key": VALUE}, headers={"X-Team": "data"})
        assert (endpoint.plain_headers, endpoint.headers) == ({"X-Team": "data"}, {"X-Api-Key": VALUE})
        assert "data" not in endpoint.sensitive_headers

    @pytest.mark.parametrize(
        ("extra", "place", "reason"),
        [
            ({"headers": {"Authorization": VALUE}}, "extra.headers 'Authorization'", "holds credentials"),
            ({"headers": {"Host": "x"}}, "extra.headers 'Host'", "is set by the provider"),
            ({"headers": {"X-A": "a\r\nb"}}, "extra.headers 'X-A'", "has a value that"),
            ({"headers": "[]"}, "extra.headers", "must be a JSON object"),
            (
                {"headers": {"x-team": "a"}, "secret_headers": {"X-Team": "b"}},
                "extra.headers 'x-team'",
                "is in secret_headers too",
            ),
            (
                {"headers": {"X-Id": "a"}, "id_header": "x-id"},
                "extra.id_header",
                "'x-id' is in headers too",
            ),
        ],
    )
    def test_invalid_plain_header_is_refused(self, extra, place, reason):
        secret = extra.pop("secret_headers", None)
        assert problem(secret, **extra).startswith(f"{place}: {reason}")
