# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The two hooks: an endpoint that events are delivered to, and a registry that manages service hooks."""
