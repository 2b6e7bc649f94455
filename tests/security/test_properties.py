# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""A few dozen draws of every property, the same each time; ``fuzz.py`` draws others for as long as there is time."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from tests.security.properties import PROPERTIES

EXAMPLES = 60


@pytest.mark.parametrize("name", PROPERTIES)
def test_a_property_holds_whatever_is_drawn(name):
    one = PROPERTIES[name]

    for example in one.examples:
        one.check(**example)

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(drawn=one.strategy)
    def holds(drawn):
        one.check(**drawn)

    holds()
