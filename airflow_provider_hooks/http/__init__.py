# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The HTTP engine, and the policy that decides where it may send."""

from airflow_provider_hooks.http.policy import NetworkPolicy, find_special_use
from airflow_provider_hooks.http.urls import Target, parse_url

__all__ = ["NetworkPolicy", "Target", "find_special_use", "parse_url"]
