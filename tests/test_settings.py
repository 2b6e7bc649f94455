# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
from __future__ import annotations

import pytest

from airflow_provider_hooks.exceptions import ValidationError
from airflow_provider_hooks.settings import OPTIONS, Settings, parse_settings


def test_defaults_of_the_options_are_those_of_the_settings():
    assert parse_settings({}) == Settings()
    assert {option.name for option in OPTIONS} == set(vars(Settings()))


def test_every_option_is_read():
    texts = {
        "allowed_networks": "hooks.internal, 10.0.0.0/8,,",
        "allowed_ports": "443, 8443",
        "allowed_headers": "Api-Key, Cookie",
        "proxy": "http://proxy.internal:3128",
        "timeout": "2.5",
        "connect_timeout": "1",
        "max_payload_bytes": "100",
        "ca_file": "/ca.pem",
    }
    assert parse_settings(texts) == Settings(
        allowed_networks=("hooks.internal", "10.0.0.0/8"),
        allowed_ports=(443, 8443),
        allowed_headers=("Api-Key", "Cookie"),
        proxy="http://proxy.internal:3128",
        timeout=2.5,
        connect_timeout=1.0,
        max_payload_bytes=100,
        ca_file="/ca.pem",
    )


def test_all_invalid_options_are_named_in_a_single_error():
    texts = dict.fromkeys(("allowed_ports", "timeout", "connect_timeout", "max_payload_bytes"), "soon")
    texts["allowed_headers"] = "Api Key"
    with pytest.raises(ValidationError) as caught:
        parse_settings(texts)
    assert set(caught.value.problems) == set(texts)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "1e12"])
def test_timeout_must_be_positive_and_finite(text):
    with pytest.raises(ValidationError, match="timeout: must be a number above 0"):
        parse_settings({"timeout": text})


@pytest.mark.parametrize(("name", "text"), [("max_payload_bytes", "0.5"), ("allowed_ports", "4" * 5_000)])
def test_error_for_a_fractional_or_huge_number_names_the_option(name, text):
    with pytest.raises(ValidationError, match=name):
        parse_settings({name: text})


def test_networks_are_checked_when_the_policy_is_built():
    with pytest.raises(ValidationError, match="allowed_networks"):
        Settings(allowed_networks=("10.0.0.1/8",)).build_policy()
