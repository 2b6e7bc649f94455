# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Every property holds for generated input, which is the same in each run; ``fuzz.py`` generates other input."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from tests.security.properties import PROPERTIES

EXAMPLES = 60


@pytest.mark.parametrize("name", PROPERTIES)
def test_property_holds_for_generated_input(name):
    one = PROPERTIES[name]

    for example in one.examples:
        one.check(**example)

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(drawn=one.strategy)
    def holds(drawn):
        one.check(**drawn)

    holds()
