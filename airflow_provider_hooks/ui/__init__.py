# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The pages in Airflow's user interface, and the API behind them. Only Airflow's API server imports it."""
