# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The TLS fields of a connection; ``tests/http/test_client_certificates.py`` tests the content of the files."""

from __future__ import annotations

import pytest

from airflow_provider_hooks.connection_form import ConnectionFields
from airflow_provider_hooks.delivery.endpoint import read_endpoint
from airflow_provider_hooks.exceptions import ValidationError

PEM = "-----BEGIN PRIVATE KEY-----\nMIIE"


def read(variable=None, **extra):
    fields = ConnectionFields(conn_id="c", host="https://x.example/", password="s" * 20, extra=extra)
    return read_endpoint(fields, default_timeout=10, read_variable=lambda _name: variable)


def test_endpoint_without_tls_fields_has_no_tls_options():
    assert read(client_certificate="", client_key=None, ca_certificates="  ").tls is None


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({"client_certificate": "/c.pem"}, ("/c.pem", None, None, None)),
        ({"client_certificate": "/c.pem", "client_key": "/k.pem"}, ("/c.pem", "/k.pem", None, None)),
        ({"client_certificate_variable": "v", "variable": PEM}, (None, None, PEM, None)),
        ({"ca_certificates": "/ca.pem"}, (None, None, None, "/ca.pem")),
    ],
)
def test_tls_fields_are_read(extra, expected):
    tls = read(**extra).tls
    assert (tls.certificate_file, tls.key_file, tls.certificate_pem, tls.ca_certificates) == expected
    assert tls.has_certificate is ("ca_certificates" not in extra)


@pytest.mark.parametrize(
    ("extra", "field", "problem"),
    [
        ({"client_key": "/k.pem"}, "client_key", "is set, but client_certificate is not"),
        (
            {"client_certificate": "/c.pem", "client_certificate_variable": "v"},
            "client_certificate_variable",
            "a file is set too",
        ),
        ({"client_certificate_variable": "v"}, "client_certificate_variable", "the Variable 'v' does not exist"),
        (
            {"client_certificate_variable": "v", "variable": ""},
            "client_certificate_variable",
            "the Variable 'v' is empty",
        ),
    ],
)
def test_contradictory_tls_fields_are_refused(extra, field, problem):
    with pytest.raises(ValidationError) as caught:
        read(**extra)
    ((name, message),) = caught.value.problems.items()
    assert name == f"extra.{field}"
    assert message.startswith(problem)


def test_repr_of_an_endpoint_contains_no_key():
    assert "MIIE" not in repr(read(client_certificate_variable="v", variable=PEM))
