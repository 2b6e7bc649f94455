# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Secrets that no command may print."""

SECRET = "a-signing-secret-of-ours"
TOKEN = "a-token-in-a-header"
