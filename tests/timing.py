# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Times that hold on a busy machine too.

A request that must not time out has a long timeout, and one that must time out a short one. How late the end of a
timeout is noticed depends on the machine: ``TEST_SLACK_SECONDS=0.2`` checks it on an idle one.
"""

from __future__ import annotations

import os

PATIENT_SECONDS = 30.0
"""A timeout that is not reached."""
SLACK_SECONDS = float(os.environ.get("TEST_SLACK_SECONDS", "20"))
"""How much later than its timeout a request may end."""
