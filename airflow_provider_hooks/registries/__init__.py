# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The platforms' management APIs: a pure module per platform builds requests; ``transport`` alone does I/O."""
