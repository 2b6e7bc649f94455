# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``airflow service-hooks``: the provider's own commands, each a thin face over a hook."""
