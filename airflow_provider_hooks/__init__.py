# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Apache Airflow provider: registers service hooks and delivers their events signed, exactly as asked, once.

Importing this package imports nothing of Airflow: Airflow itself imports it before its configuration is ready.
"""

__version__ = "0.1.0"
