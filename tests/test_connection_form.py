# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
from __future__ import annotations

import pytest

from airflow_provider_hooks.connection_form import check_connection_type
from airflow_provider_hooks.delivery.endpoint import SERVICE_HOOK
from airflow_provider_hooks.exceptions import ValidationError


@pytest.mark.parametrize("conn_type", ["http", "", None, "service_hook_registry"])
def test_a_connection_of_another_type_is_refused_by_name(conn_type):
    with pytest.raises(ValidationError) as caught:
        check_connection_type(SERVICE_HOOK, conn_id="c", conn_type=conn_type)
    assert "connection 'c': conn_type: must be service_hook (Service Hook)" in str(caught.value)


def test_a_connection_of_the_type_passes():
    check_connection_type(SERVICE_HOOK, conn_id="c", conn_type="service_hook")
