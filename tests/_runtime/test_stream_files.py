# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The folder of a stream's records is inside the configured folder for every Dag, run and task id."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from airflow_provider_hooks._runtime.stream_files import find_shown_records, make_records
from airflow_provider_hooks.exceptions import ValidationError


def find_path(root, **changes) -> str:
    ti = SimpleNamespace(**{"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1, **changes})
    records = make_records(str(root), {"ti": ti}, generation="0")
    return str(records).removeprefix("file://")


@pytest.mark.parametrize(
    "name", ["..", ".", "...", "../../x", "a/../b", "/etc", "%2e%2e", "a\\..\\b", "a\0b", "~", "s3://b"]
)
@pytest.mark.parametrize("field", ["dag_id", "run_id", "task_id"])
def test_ids_cannot_leave_the_records_folder(tmp_path, field, name):
    path = find_path(tmp_path, **{field: name})
    parts = path.removeprefix(f"{tmp_path}/").split("/")
    assert path.startswith(f"{tmp_path}/")
    assert len(parts) == 5
    assert not {"", ".", ".."} & set(parts)


def test_long_and_non_ascii_ids_make_different_valid_folders(tmp_path):
    names = ["ş" * 250, "ş" * 249 + "t", "x" * 250, "x" * 240, "x" * 241]
    paths = {find_path(tmp_path, dag_id=name, run_id=name, task_id=name) for name in names}
    assert len(paths) == len(names)
    for path in paths:
        (tmp_path / path).mkdir(parents=True)


@pytest.mark.parametrize(
    ("path", "is_shown"),
    [
        ("file:///srv/records", True),
        ("file:///srv/records/a_dag/a_run", True),
        ("file:///srv/records-of-others", False),
        ("file:///srv/records/../secrets", False),
        ("file:///etc", False),
        ("s3://bucket/srv/records", False),
        ("", False),
    ],
)
def test_only_folders_below_shown_records_paths_are_shown(path, is_shown):
    roots = ("file:///srv/records", "file:///other")
    if is_shown:
        assert str(find_shown_records(path, roots=roots)) == path
    else:
        with pytest.raises(ValidationError, match="shown_records_paths"):
            find_shown_records(path, roots=roots)


def test_no_folder_is_shown_without_shown_records_paths():
    with pytest.raises(ValidationError, match="shown_records_paths"):
        find_shown_records("file:///srv/records", roots=())
