# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""What is read from Airflow and stored in it: configuration, connections, Variables, claims, a task instance."""

from __future__ import annotations

import os
from http import HTTPStatus
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, cast
from urllib.parse import quote, urljoin

import msgspec
from airflow.sdk import BaseHook, Variable

from airflow_provider_hooks._runtime import compat
from airflow_provider_hooks._runtime.compat import AirflowRuntimeError, ErrorType, conf, mask_secret
from airflow_provider_hooks.connection_form import read_fields
from airflow_provider_hooks.delivery.patience import OutageError, Patience
from airflow_provider_hooks.delivery.record import parse_stored
from airflow_provider_hooks.events.builders import make_event_id
from airflow_provider_hooks.exceptions import ClaimLostError, ServiceHookError, ValidationError
from airflow_provider_hooks.sanitize import escape, safe_repr
from airflow_provider_hooks.settings import OPTIONS, SECTION, Settings, parse_settings
from airflow_provider_hooks.signing.secrets import parse_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.sdk import Context
    from airflow.sdk.execution_time.context import TaskStateStoreAccessor

    from airflow_provider_hooks.connection_form import ConnectionFields, ConnectionType
    from airflow_provider_hooks.json_types import JsonObject


_REFUSAL = (
    "the claim in the task's state store cannot be read, so nothing is sent; write the whole claim back, or delete it "
    "in the task's Storage tab to have everything sent again"
)
_NO_STATE_STORE = (
    f"Airflow before 3.3 has no task state store: set [{SECTION}] ledger_conn_id to the connection of a database that "
    "stores the claims; nothing was sent"
)
_DEFAULT_BASE_URL = "http://localhost:8080"
"""Airflow's own default of ``[api] base_url``."""
Returned = TypeVar("Returned")
ClaimType = TypeVar("ClaimType", bound=msgspec.Struct)


class TaskInstance(Protocol):
    """What a context, a callback and a link have of a task instance."""

    dag_id: str
    task_id: str
    run_id: str

    @property
    def log_url(self) -> str | None:
        """The page of its log, if Airflow knows it."""


class VariableStore(Protocol):
    """
    Where Variables are written: ``airflow.sdk.Variable`` in a running task, or a replacement elsewhere.

    Each call is durable, and visible to every process, when it returns.
    """

    def set(self, key: str, value: str, description: str | None = None) -> None:
        """Write a Variable."""

    def delete(self, key: str) -> object:
        """Delete a Variable, if it is there."""

    def keys(self, prefix: str | None = None) -> Sequence[str]:
        """Return the names of the Variables that begin so."""


def read_settings() -> Settings:
    """
    Read the ``[service_hooks]`` section of this deployment.

    :raises ValidationError: naming each option that cannot be used
    """
    given = {option.name: conf.get(SECTION, option.name, fallback=None) for option in OPTIONS}
    settings = parse_settings({**given, "deployment": read_deployment()})
    if settings.ca_file and not os.access(settings.ca_file, os.R_OK):
        message = f"{safe_repr(settings.ca_file)} is not a file that can be read"
        raise ValidationError(f"section {SECTION} of airflow.cfg", {"ca_file": message})
    return settings


def read_deployment() -> str:
    """Return the name of this deployment: what its default ids of events and deliveries have in them."""
    return str(conf.get(SECTION, "deployment", fallback=None) or read_base_url()).strip()


def read_base_url() -> str:
    """Return ``[api] base_url`` as an absolute URL; it may be only a path."""
    base_url = str(conf.get("api", "base_url", fallback=None) or _DEFAULT_BASE_URL).strip()
    return urljoin(_DEFAULT_BASE_URL, base_url).rstrip("/")


def find_log_url(ti: TaskInstance) -> str:
    """Return the absolute URL of a task instance's log; Airflow may have none, or only its path."""
    path = f"dags/{quote(ti.dag_id)}/runs/{quote(ti.run_id)}/tasks/{quote(ti.task_id)}"
    return urljoin(_DEFAULT_BASE_URL, ti.log_url or f"{read_base_url()}/{path}")


def read_connection(kind: ConnectionType, conn_id: str) -> ConnectionFields:
    """
    Read a connection's fields and register its password with Airflow's secrets masker.

    :raises ValidationError: if it is of another type, or its extra is not a JSON object
    """
    connection = BaseHook.get_connection(conn_id)
    if connection.password:
        mask_secret(connection.password)
    return read_fields(kind, connection)


def read_variable(name: str) -> str | None:
    """Return the text of a Variable with secrets, each registered with the masker, or ``None`` without it."""
    text = Variable.get(name, default=None)
    if not text:
        return None if text is None else ""
    try:
        for secret in parse_secrets(text):
            mask_secret(secret)
    except ValueError:
        mask_secret(text)
    return str(text)


class TaskStateClaimStore(Generic[ClaimType]):
    """
    One claim in the state store of a task instance.

    **Precondition.** The task state store has no compare-and-set. ``acquire`` emulates one by writing the claim and
    reading it back, which is safe only because Airflow refuses the reads and writes of a try that another try has
    superseded: if the read is answered, this try is not superseded yet, and the next try reads this claim.

    :param accessor: ``context["task_state_store"]``
    :param key: names the claim within the task instance
    :param kind: the type of the claim
    :param patience: seconds for which each operation is tried again while Airflow's API server does not answer
    """

    def __init__(
        self, accessor: TaskStateStoreAccessor, key: str, kind: type[ClaimType], *, patience: float = 0.0
    ) -> None:
        self._accessor, self._key, self._kind = accessor, key, kind
        self._patience = Patience("Airflow's API server", patience)

    def load(self) -> ClaimType | None:
        """
        Return the claim that an earlier try or generation left, if any.

        :raises RecordError: if what is stored cannot be read as a claim
        :raises StateStoreError: if the API server did not answer
        """
        stored = self._call(lambda: self._accessor.get(self._key))
        return None if stored is None else parse_stored(stored, self._kind, refusal=_REFUSAL)

    def acquire(self, expected: ClaimType | None, new: ClaimType) -> None:  # noqa: ARG002  (an atomic store needs it)
        """
        Store a claim, and return only if no other process can hold the same claim.

        :raises ClaimLostError: if another process holds it, or it is gone
        :raises StateStoreError: if the API server did not answer, so that the claim may be stored
        """
        self.save(new)
        found = self.load()
        if found is None:
            raise ClaimLostError("the claim was stored and is gone, as after a crash of the database; nothing was sent")
        if found != new:
            raise ClaimLostError("another process claimed this delivery at the same moment; this one sent nothing")

    def save(self, claim: ClaimType) -> None:
        """
        Store a later state of the claim for as long as its Dag run exists; it is durable when this returns.

        :raises StateStoreError: if the API server did not answer
        """
        # As JSON has it: Airflow refuses a tuple.
        value = cast("JsonObject", msgspec.json.decode(msgspec.json.encode(claim)))
        self._call(lambda: self._accessor.set(self._key, value, retention=compat.NEVER_EXPIRE))

    def _call(self, operation: Callable[[], Returned]) -> Returned:
        def attempt() -> Returned:
            try:
                return operation()
            except AirflowRuntimeError as error:
                if not _is_outage(error):
                    raise
                raise OutageError(escape(str(error))) from None

        return self._patience.call(attempt)


def _is_outage(error: AirflowRuntimeError) -> bool:
    """Return whether a call failed for want of an answer; a refusal, as of a superseded try, has a status below 500."""
    if error.error.error is not ErrorType.API_SERVER_ERROR:
        return False
    status = (error.error.detail or {}).get("status_code")
    return status is None or int(status) >= HTTPStatus.INTERNAL_SERVER_ERROR


def open_claim_store(
    context: Context, key: str, kind: type[ClaimType], *, patience: float = 0.0
) -> TaskStateClaimStore[ClaimType]:
    """
    Return the store of one claim of the task instance that a context belongs to.

    :param patience: seconds for which an operation is tried again while Airflow's API server does not answer
    :raises ServiceHookError: if the context has no task state store, as outside of a running task or before 3.3
    """
    accessor = context.get("task_state_store")
    if accessor is None and not compat.has_task_state_store():
        raise ServiceHookError(_NO_STATE_STORE)
    if accessor is None:
        raise ServiceHookError("this context has no task_state_store to store the claim in; nothing was sent")
    return TaskStateClaimStore(accessor, key, kind, patience=patience)


def describe_own_event(context: Context, *, place: tuple[object, ...] = ()) -> dict[str, object]:
    """
    Return the default id, time and source of an event of the user's own type.

    :param place: distinguishes several events of one task
    """
    described = describe_task_instance(context, place=place)
    ti = context["ti"]
    source = f"{read_base_url()}/dags/{quote(ti.dag_id)}/tasks/{quote(ti.task_id)}"
    return {"id": described["id"], "datetime": described["datetime"], "source": source}


def may_have_lost_claim(context: Context) -> bool:
    """
    Return whether a clear may have deleted the claim of an earlier run of this task; the caller found none.

    Since Airflow 3.4 a clear deletes the task state store, unless it is made with ``keep_task_state``. A clear
    moves ``max_tries`` on, beyond the task's own ``retries``.
    """
    ti, retries = context["ti"], context["task"].retries or 0
    return ti.try_number > 1 and ti.max_tries > retries and compat.clear_deletes_claims()


def describe_task_instance(context: Context, *, place: tuple[object, ...] = ()) -> dict[str, object]:
    """
    Return the default fields of an event of a task instance.

    :param place: distinguishes several events of one task
    """
    ti, dag_run = context["ti"], context["dag_run"]
    return {
        "id": make_event_id(read_deployment(), ti.dag_id, ti.task_id, ti.run_id, ti.map_index, *place),
        "project": ti.dag_id,
        "culprit": f"{ti.dag_id}.{ti.task_id}",
        "url": find_log_url(ti).partition("?")[0],  # without the number of the try
        "datetime": dag_run.data_interval_end or dag_run.run_after,
    }
