# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The names under which claims are kept."""

from __future__ import annotations

KEY_PREFIX = "service_hook_delivery"
"""What a claim's key begins with, and all of it without a slot; a person sees it in the task's Storage tab."""
