# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
A local mock of the documented management APIs and a receiver that verifies signatures, served over real HTTP.

For trials, demonstrations and tests; never for production. FastAPI and uvicorn are installed with Airflow.
"""

from airflow_provider_hooks.sandbox.server import Sandbox, serve_sandbox

__all__ = ["Sandbox", "serve_sandbox"]
