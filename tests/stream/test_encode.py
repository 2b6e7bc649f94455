# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The requests of a stream: what cannot become one is refused."""

from __future__ import annotations

import pytest

from airflow_provider_hooks.exceptions import InvalidEventError
from airflow_provider_hooks.stream.sources import OversizedLine
from tests.stream.sending import make_endpoint, make_preparer


def test_a_line_that_is_too_long_is_refused_with_the_limit():
    encoder = make_preparer(make_endpoint("http://127.0.0.1:9"))
    for call in (encoder.check, lambda event: encoder.prepare(event, position=0)):
        with pytest.raises(InvalidEventError, match="longer than 16777216 bytes"):
            call(OversizedLine())
