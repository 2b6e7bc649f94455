# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""One event to one endpoint: the endpoint, one attempt, the claim that keeps it one, and the record of it."""
