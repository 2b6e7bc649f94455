# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
What the commands and the pages in Airflow's user interface do with deliveries: find them, and change what they show.

It uses Airflow's metadata database, which tasks have no access to, so no task imports it.
"""
