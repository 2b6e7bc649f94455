# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The tree of exceptions: it is complete, its docstring draws it, and Airflow retries the retryable ones."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from airflow_provider_hooks import exceptions
from airflow_provider_hooks._runtime.compat import AirflowException, AirflowFailException
from airflow_provider_hooks.exceptions import DeliveryError, ServiceHookError
from airflow_provider_hooks.outcomes import Outcome

EXPORTED = {name: getattr(exceptions, name) for name in exceptions.__all__}
TREE = [line.strip(" │├└─") for line in exceptions.__doc__.splitlines() if line.startswith("    ")]

IMPORTED = """
import sys
import airflow_provider_hooks.exceptions
print([name for name in sys.modules if name.partition(".")[0] in ("airflow", "requests", "urllib3")])
"""


def draw(cls: type) -> str:
    """Return a class as the tree shows it: with the bases that it has in addition to its parent."""
    others = [base.__name__ for base in cls.__bases__[1:]]
    return f"{cls.__name__} ({', '.join(others)})" if others else cls.__name__


@pytest.mark.parametrize("name", sorted(EXPORTED))
def test_each_exception_is_a_service_hook_error(name):
    assert issubclass(EXPORTED[name], ServiceHookError)


def test_each_exception_is_exported():
    defined = {name for name, value in vars(exceptions).items() if isinstance(value, type)}
    assert {name for name in defined if name.endswith("Error")} <= set(exceptions.__all__)


def test_docstring_draws_the_whole_tree():
    drawn = {line.partition(" (")[0]: line for line in TREE}
    assert drawn == {name: draw(cls) for name, cls in EXPORTED.items()}


def test_each_exception_is_drawn_below_its_parent():
    parents = {}
    path: list[tuple[int, str]] = []
    for line in (line for line in exceptions.__doc__.splitlines() if line.startswith("    ")):
        name = line.strip(" │├└─").partition(" (")[0]
        indent = line.index(name)
        path = [step for step in path if step[0] < indent]
        parents[name] = path[-1][1] if path else "Exception"
        path.append((indent, name))
    assert parents == {name: cls.__bases__[0].__name__ for name, cls in EXPORTED.items()}


def test_module_imports_neither_airflow_nor_an_http_library():
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["DeliveryNotSentError", "DeliveryUnknownError", "RetryableError"])
def test_retryable_errors_are_retried_by_airflow(name):
    assert issubclass(EXPORTED[name], AirflowException)
    assert not issubclass(EXPORTED[name], AirflowFailException)
    assert EXPORTED[name].retryable


@pytest.mark.parametrize("name", ["DeliveryFailedError", "NonRetryableError"])
def test_permanent_errors_are_not_retried_by_airflow(name):
    assert issubclass(EXPORTED[name], AirflowFailException)
    assert not EXPORTED[name].retryable


@pytest.mark.parametrize(
    "name",
    ["DeliveryError", "DeliveryFailedError", "DeliveryNotSentError", "DeliveryUnknownError", "NotificationError"],
)
def test_delivery_error_has_its_outcome_and_record_after_pickling(name):
    error = EXPORTED[name]("refused", outcome=Outcome.REJECTED, record={"status_code": 400})
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  (pickled above)
    assert isinstance(copy, DeliveryError)
    assert (str(copy), copy.outcome, copy.record) == ("refused", Outcome.REJECTED, {"status_code": 400})


def test_unknown_name_raises_attribute_error():
    with pytest.raises(AttributeError, match="NoSuchError"):
        exceptions.NoSuchError  # noqa: B018  (reading it is the test)
