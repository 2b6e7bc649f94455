# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
How long the import of the plugin takes in a process of a task: ``python benchmarks/plugin_import.py [OTHER_PLUGIN]``.

Each process imports the Task SDK first, as a task does, and then measures the import of the plugin alone. With the file
of another version of the plugin, such as that of ``git show REVISION:airflow_provider_hooks/plugin.py``, the processes
of both take turns, and the difference is printed.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROUNDS = 20
PLUGIN = Path(__file__).parent.parent / "airflow_provider_hooks" / "plugin.py"
CODE = """
import sys
import time
from importlib.util import module_from_spec, spec_from_file_location

import airflow.sdk
import airflow.plugins_manager
import airflow_provider_hooks

spec = spec_from_file_location("measured_plugin", sys.argv[1])
before = set(sys.modules)
start = time.perf_counter()
spec.loader.exec_module(module_from_spec(spec))
print((time.perf_counter() - start) * 1000, len(set(sys.modules) - before))
"""


def measure(path: Path, home: str) -> tuple[float, int]:
    """Return the milliseconds of an import in a fresh process, and how many modules it imported."""
    environment = {**os.environ, "AIRFLOW_HOME": home}
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(path)], env=environment, capture_output=True, text=True, check=True
    )
    milliseconds, modules = done.stdout.split()[-2:]
    return float(milliseconds), int(modules)


def main() -> None:
    paths = {"this plugin": PLUGIN}
    if len(sys.argv) > 1:
        paths["other plugin"] = Path(sys.argv[1])
    found: dict[str, list[tuple[float, int]]] = {name: [] for name in paths}
    with tempfile.TemporaryDirectory() as home:
        for path in paths.values():
            measure(path, home)  # writes the configuration and the bytecode
        for _ in range(ROUNDS):
            for name, path in paths.items():
                found[name].append(measure(path, home))
    print(f"Import of the plugin after airflow.sdk, {ROUNDS} fresh processes each, in ms")
    print(f"{'':14}{'median':>8}{'fastest':>9}{'slowest':>9}{'modules':>9}")
    for name, rows in found.items():
        times = [one for one, _ in rows]
        print(f"{name:14}{statistics.median(times):8.2f}{min(times):9.2f}{max(times):9.2f}{rows[0][1]:9}")
    if len(found) > 1:
        this, other = (statistics.median(one for one, _ in rows) for rows in found.values())
        print(f"difference of the medians: {this - other:+.2f} ms")


if __name__ == "__main__":
    main()
