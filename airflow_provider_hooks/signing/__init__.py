# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Signing and verifying: a table of schemes, and two functions over bytes."""

from airflow_provider_hooks.exceptions import SignatureError
from airflow_provider_hooks.signing.schemes import DEFAULT_SCHEME, SCHEMES, Scheme
from airflow_provider_hooks.signing.signatures import sign, verify

__all__ = ["DEFAULT_SCHEME", "SCHEMES", "Scheme", "SignatureError", "sign", "verify"]
