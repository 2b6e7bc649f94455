# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The example Dags are parsed and serialized, as by the Dag processor; ``tests/system`` runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

try:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.serialized_objects import DagSerialization
except ImportError:  # before 3.2
    from airflow.models.dagbag import DagBag
    from airflow.serialization.serialized_objects import SerializedDAG as DagSerialization

EXAMPLES = sorted((Path(__file__).parent.parent / "dags").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_dag_is_parsed_and_serialized(path):
    found = DagBag(path)
    assert found.import_errors == {}
    assert found.dags
    for dag in found.dags.values():
        # Airflow 3.1.8 leaves an object that JSON cannot represent in a param without a default.
        assert json.dumps(DagSerialization.to_dict(dag))
