# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``airflow service-hooks``: the commands of the provider, each a thin layer over a hook."""
