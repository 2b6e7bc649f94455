# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Signing and verifying: two functions over bytes, and a table of schemes that other packages can extend.

It imports neither Airflow nor an HTTP library, so a receiver can use it.
"""

from airflow_provider_hooks.exceptions import SignatureError
from airflow_provider_hooks.signing.hmac_scheme import Scheme
from airflow_provider_hooks.signing.schemes import DEFAULT_SCHEME, SCHEMES, sign, verify
from airflow_provider_hooks.signing.signer import ReceivedRequest, RequestTarget, Signer

__all__ = [
    "DEFAULT_SCHEME",
    "SCHEMES",
    "ReceivedRequest",
    "RequestTarget",
    "Scheme",
    "SignatureError",
    "Signer",
    "sign",
    "verify",
]
