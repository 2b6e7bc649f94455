# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
import pytest

pytest.register_assert_rewrite("tests.receivers.checks")
