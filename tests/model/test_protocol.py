# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The delivery protocol in every interleaving of its processes, with one fault; ``make test-model`` explores more."""

from __future__ import annotations

import pytest

from tests.model.protocols import LIMITS, WEAKENED, explore_configuration, explore_variant, list_configurations

CONFIGURATIONS = list(list_configurations(faults=1, is_full=False))


def describe(configuration):
    return f"{configuration.place.name}: {configuration.name}, {configuration.policy}"


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=describe)
def test_no_interleaving_violates_an_invariant(configuration):
    found = explore_configuration(configuration)
    assert found.problem is None, found.describe()
    assert found.interleavings > 100, "the processes did interleave"


@pytest.mark.parametrize("variant", [*WEAKENED, *LIMITS], ids=lambda variant: variant.name)
def test_weakened_protocol_violates_the_expected_invariant(variant):
    found = explore_variant(variant)
    assert (found.problem or "none").startswith(variant.violates), found.describe()
