# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The programs of the receiver guide in other languages than Python; ``make test-receivers`` runs them."""

from __future__ import annotations

import pytest

from tests.receivers.checks import check_deliveries, check_id, check_requests
from tests.receivers.programs import GUIDE_SCHEMES

PROGRAMS = ("receiver.mjs", "receiver.go", "receiver.rb")


@pytest.mark.parametrize("scheme", GUIDE_SCHEMES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_signed_requests_are_accepted_and_changed_ones_are_refused(name, scheme, tmp_path):
    check_requests(name, scheme, tmp_path)


@pytest.mark.parametrize("scheme", GUIDE_SCHEMES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_delivery_is_accepted_and_one_with_another_secret_is_rejected(name, scheme, tmp_path, connect):
    check_deliveries(name, scheme, tmp_path, connect)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_delivery_id_is_the_one_that_is_signed(name, tmp_path):
    check_id(name, tmp_path)
