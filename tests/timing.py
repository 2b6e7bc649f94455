# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Timeouts of tests, chosen so that the tests pass on a busy machine too.

A request that must not time out has a long timeout, and a request that must time out a short one. How late a timeout is
noticed depends on the machine: set ``TEST_SLACK_SECONDS=0.2`` to check it on an idle machine.
"""

from __future__ import annotations

import os

PATIENT_SECONDS = 30.0
"""A timeout that no request reaches."""
SLACK_SECONDS = float(os.environ.get("TEST_SLACK_SECONDS", "20"))
"""How long after its timeout a request may take to fail."""
