# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The ledger: an optional SQL table of deliveries, with atomic claims and a history. It imports nothing of Airflow."""
