# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Wrong names and values of arguments are type errors, and Airflow's own arguments are accepted."""

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
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "tests/typing/public_api.py"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_arguments_of_every_operator_are_those_of_airflow():
    parameters = inspect.signature(BaseOperator.__init__).parameters.values()
    named = {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
    later = {"retry_policy", "render_template_as_native_obj"} - named  # Airflow before 3.3, or before 3.2
    assert set(BaseOperatorArguments.__annotations__) == named - {"task_id"} | later
    assert not (later and has_retry_policy())


@pytest.mark.parametrize("callable_", [ServiceHookNotifier, build_event_alert, build_event_created])
def test_a_name_that_is_no_argument_is_a_type_error_at_run_time_too(callable_):
    with pytest.raises(TypeError, match=r"\(\) got an unexpected keyword argument 'mesage'"):
        callable_(mesage="x")


def test_the_notifier_has_an_attribute_for_each_shared_field():
    notifier = ServiceHookNotifier(**{name: f"a {name}" for name in EventFields.__annotations__})
    assert {name: getattr(notifier, name) for name in EventFields.__annotations__} == {
        name: f"a {name}" for name in EventFields.__annotations__
    }
