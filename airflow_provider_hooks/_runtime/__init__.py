# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What adapts the provider to Airflow: connections, configuration, Variables, masking, telemetry."""
