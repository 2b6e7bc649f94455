# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
A local stand-in for the documented management APIs and a receiver that verifies, served over real HTTP.

For trying, demonstrating and testing; never for production. It comes with Airflow's own FastAPI and uvicorn.
"""

from airflow_provider_hooks.sandbox.server import Sandbox, serve_sandbox

__all__ = ["Sandbox", "serve_sandbox"]
