# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Airflow's Variables without a task runner: a dictionary, after the environment, which has priority as in Airflow."""

from __future__ import annotations

import os
import threading
import time


class Variables:
    """Replaces ``airflow.sdk.Variable``; threads can share it, because each call is atomic."""

    def __init__(self) -> None:
        self.stored: dict[str, str] = {}
        self.unreadable: set[str] = set()
        self.pause = 0.0
        self._lock = threading.Lock()

    def get(self, key, default=None):
        time.sleep(self.pause)
        with self._lock:
            readable = {} if key in self.unreadable else self.stored
            return os.environ.get(f"AIRFLOW_VAR_{key.upper()}", readable.get(key, default))

    def set(self, key, value, description=None):
        time.sleep(self.pause)
        with self._lock:
            self.stored[key] = value

    def delete(self, key):
        with self._lock:
            self.stored.pop(key, None)

    def keys(self, prefix=""):
        time.sleep(self.pause)
        with self._lock:
            return [key for key in self.stored if key.startswith(prefix)]
