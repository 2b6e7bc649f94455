# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""All properties in one table, which both the tests and the fuzz runner check."""

from __future__ import annotations

from tests.security import (
    properties_delivery,
    properties_formats,
    properties_network,
    properties_payload,
    properties_registries,
    properties_signing,
    properties_typed,
)
from tests.security.properties_data import PropertyTable

PROPERTIES: PropertyTable = {
    **properties_network.PROPERTIES,
    **properties_signing.PROPERTIES,
    **properties_payload.PROPERTIES,
    **properties_registries.PROPERTIES,
    **properties_delivery.PROPERTIES,
    **properties_typed.PROPERTIES,
    **properties_formats.PROPERTIES,
}
"""Each property with its name."""
