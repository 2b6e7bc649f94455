# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The platforms' management APIs: one pure module a platform says how a call is made; ``client`` alone does I/O."""
