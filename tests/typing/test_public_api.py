# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The types of the public API: wrong argument names and values are errors, and Airflow's own arguments are accepted."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from airflow.sdk import BaseOperator

from airflow_provider_hooks._runtime.compat import has_retry_policy
from airflow_provider_hooks.events import build_event_alert, build_event_created
from airflow_provider_hooks.events.types import EventFields
from airflow_provider_hooks.notifications.service_hook import ServiceHookNotifier
from airflow_provider_hooks.operators._arguments import BaseOperatorArguments

REPOSITORY = Path(__file__).parent.parent.parent


def test_mypy_reports_exactly_the_marked_errors():
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "tests/typing/public_api.py"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_typed_base_arguments_are_those_of_airflows_base_operator():
    parameters = inspect.signature(BaseOperator.__init__).parameters.values()
    named = {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
    newer = {"retry_policy", "render_template_as_native_obj"} - named  # since Airflow 3.3 and 3.2
    assert set(BaseOperatorArguments.__annotations__) == named - {"task_id"} | newer
    assert not (newer and has_retry_policy())


@pytest.mark.parametrize("callable_", [ServiceHookNotifier, build_event_alert, build_event_created])
def test_an_unknown_argument_raises_a_type_error_at_run_time(callable_):
    with pytest.raises(TypeError, match=r"\(\) got an unexpected keyword argument 'mesage'"):
        callable_(mesage="x")


def test_the_notifier_has_an_attribute_for_each_shared_field():
    notifier = ServiceHookNotifier(**{name: f"a {name}" for name in EventFields.__annotations__})
    assert {name: getattr(notifier, name) for name in EventFields.__annotations__} == {
        name: f"a {name}" for name in EventFields.__annotations__
    }
