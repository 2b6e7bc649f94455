# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""One event to one endpoint: the endpoint, one attempt, the claim that makes it at most one, and its record."""
