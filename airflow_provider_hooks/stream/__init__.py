# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""A stream of events to one endpoint, at the speed of the network, each sent at most once."""
