# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Where may we send: the table of addresses and the policy, used by deliveries and registries alike."""

from airflow_provider_hooks.http.addresses import find_special_use
from airflow_provider_hooks.http.policy import BlockedAddressError, NetworkPolicy
from airflow_provider_hooks.http.urls import Target, parse_url

__all__ = ["BlockedAddressError", "NetworkPolicy", "Target", "find_special_use", "parse_url"]
