# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Clearing, settling, retries, mapping and several endpoints, through the REST calls of Airflow's user interface.

By default the tests run in the Airflow of the other tests, whose claims are in the task state store, or before 3.3 in a
ledger. Since 3.4, where a clear deletes the task state store, they also run in an Airflow with a ledger; before 3.4,
``make test-crash`` runs them there.
"""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass

import pytest

from tests.servers import OK, find_closed_port, raw_server, read_request
from tests.system.claims import SETTLING_CLIENTS, TaskInstance
from tests.system.deployment import CLEAR_DELETES_TASK_STATE, Deployment
from tests.versions import needs_retry_policy

SECRET = "a-secret-of-the-cleared-endpoint"
UNAVAILABLE = b"HTTP/1.1 503 X\r\nRetry-After: 2\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
SERVER_ERROR = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 6\r\n\r\nfailed"

DAGS = """
from datetime import timedelta
from airflow.sdk import DAG
from airflow_provider_hooks.operators.delivery import DeliverEventAlertOperator, DeliverEventOperator

EVENTS = [{"event_id": f"{n:032x}", "level": "loud" if n == 3 else "error"} for n in range(5)]
OPTIONS = {"message": "x", "triggering_rules": ["r"], "retries": 3, "retry_delay": timedelta(seconds=1)}

with DAG("deliver", schedule=None, is_paused_upon_creation=False, params={"guarantee": "at_most_once"}):
    DeliverEventAlertOperator(
        task_id="deliver",
        service_hook_conn_id="{{ params.endpoint }}",
        guarantee="{{ params.guarantee }}",
        **OPTIONS,
    )

with DAG("at_least_once", schedule=None, is_paused_upon_creation=False):
    DeliverEventOperator(
        task_id="deliver",
        event_type="orders.loaded",
        data={"orders": 12},
        service_hook_conn_id="{{ params.endpoint }}",
        guarantee="at_least_once",
    )

with DAG("at_least_once_paused", schedule=None, is_paused_upon_creation=False):
    DeliverEventOperator(
        task_id="deliver",
        event_type="orders.loaded",
        service_hook_conn_id="{{ params.endpoint }}",
        guarantee="at_least_once",
        retry_delay=timedelta(seconds=2),
    )

with DAG("several_endpoints", schedule=None, is_paused_upon_creation=False):
    DeliverEventOperator(
        task_id="deliver",
        event_type="orders.loaded",
        service_hook_conn_id=["several_0", "several_1", "several_2"],
        retries=2,
        retry_delay=timedelta(seconds=1),
    )

with DAG("map_events", schedule=None, is_paused_upon_creation=False):
    DeliverEventAlertOperator.partial(
        task_id="deliver", service_hook_conn_id="{{ params.endpoint }}", **OPTIONS
    ).expand_kwargs(EVENTS)

with DAG("map_endpoints", schedule=None, is_paused_upon_creation=False):
    DeliverEventAlertOperator.partial(task_id="deliver", event_id="e" * 32, **OPTIONS).expand(
        service_hook_conn_id=[f"mapped_{n}" for n in range(5)]
    )
"""


@dataclass(frozen=True)
class Run:
    """A run of a Dag with the task ``deliver``, and the actions of a user on it."""

    airflow: Deployment
    dag_id: str
    run_id: str

    def name_task(self, map_index: int = -1) -> TaskInstance:
        return TaskInstance(self.dag_id, self.run_id, "deliver", map_index)

    def wait(self) -> list[tuple[str, int]]:
        """Wait until the run has ended, and return state and try number of each task instance, by map index."""
        tasks = sorted(self.airflow.wait_for_run(self.dag_id, self.run_id), key=lambda task: task["map_index"])
        return [(task["state"], task["try_number"]) for task in tasks]

    def clear(self, map_index: int = -1, *, keeps_claims: bool = True) -> None:
        """Clear the task as the button in the user interface does, without "downstream" etc."""
        tasks = [["deliver", map_index]]
        assert self.airflow.clear(self.dag_id, self.run_id, tasks, keeps_claims=keeps_claims) == 1

    def settle(self, client: str) -> None:
        self.airflow.claims.settle(self.name_task(), client)

    def read_claim(self, map_index: int = -1) -> dict | None:
        return self.airflow.claims.read(self.name_task(map_index))

    def read_record(self, map_index: int = -1) -> dict:
        """Return the record that the operator returned, and check that the claim has the same record."""
        record = self.airflow.read_returned(self.dag_id, self.run_id)[map_index]
        assert record == self.read_claim(map_index)["record"]
        return record


WITH_LEDGER = () if CLEAR_DELETES_TASK_STATE else pytest.mark.crash


@pytest.fixture(scope="module", params=["deployment", pytest.param("ledger_deployment", marks=WITH_LEDGER)])
def airflow(request):
    running: Deployment = request.getfixturevalue(request.param)
    dag_ids = ("deliver", "at_least_once", "at_least_once_paused", "several_endpoints", "map_events", "map_endpoints")
    running.add_dags(DAGS, dag_ids, name="redelivery.py")
    return running


def add_endpoint(airflow, conn_id: str, url: str) -> str:
    airflow.set_connections({conn_id: {"conn_type": "service_hook", "host": url, "password": SECRET}})
    return conn_id


def add_hook(sandbox) -> str:
    """Add a hook with the secret to the sandbox, and return the URL of its receiver."""
    return sandbox.state.sentry.add_hook(("o", "p"), url=sandbox.receiver_url, secret=SECRET).url


def trigger(airflow, name: str, url: str, *, dag_id: str = "deliver", **conf: str) -> Run:
    """Trigger a run that delivers to a URL."""
    endpoint = add_endpoint(airflow, name, url)
    airflow.trigger(dag_id, name, {"endpoint": endpoint, **conf})
    return Run(airflow, dag_id, name)


def read_delivery_id(request: bytes) -> str:
    (line,) = [one for one in request.split(b"\r\n") if one.lower().startswith(b"x-service-hook-delivery:")]
    return line.split(b":")[1].strip().decode()


def test_clear_of_a_delivered_event_sends_it_again_as_a_redelivery(airflow, sandbox):
    run = trigger(airflow, "delivered", add_hook(sandbox))
    assert run.wait() == [("success", 1)]
    first = run.read_record()
    assert (first["outcome"], first["redelivery"], run.read_claim()["redelivery"]) == ("delivered", False, False)

    run.clear()
    assert run.wait() == [("success", 2)]
    second = run.read_record()
    assert (second["outcome"], second["redelivery"], run.read_claim()["redelivery"]) == ("delivered", True, True)
    assert second["generation"] != first["generation"]
    received = sandbox.state.list_deliveries()
    assert [(one.delivery_id, one.verified) for one in received] == [(first["delivery_id"], True)] * 2
    assert second["delivery_id"] == first["delivery_id"]


def test_clear_that_deletes_the_claim_marks_the_redelivery(airflow, sandbox):
    """Airflow 3.4 without a ledger deletes the claim by default; otherwise a clear does not delete it."""
    run = trigger(airflow, "forgotten", add_hook(sandbox))
    assert run.wait() == [("success", 1)]
    run.clear(keeps_claims=False)
    assert run.wait() == [("success", 2)]
    record = run.read_record()
    assert (record["outcome"], record["redelivery"], run.read_claim()["redelivery"]) == ("delivered", True, True)
    assert [one.delivery_id for one in sandbox.state.list_deliveries()] == [record["delivery_id"]] * 2
    log = airflow.read_log("deliver", "forgotten", "deliver", 2)
    assert ("keep_task_state" in log) is airflow.clear_deletes_claims


def test_clear_of_a_rejected_event_delivers_it_to_the_repaired_receiver(airflow, sandbox):
    sandbox.state.answer_status = 500
    run = trigger(airflow, "rejected", add_hook(sandbox))
    assert run.wait() == [("failed", 1)], "none of the three retries is used"
    claim = run.read_claim()
    assert (claim["state"], claim["record"]["status_code"], claim["redelivery"]) == ("rejected", 500, False)

    sandbox.state.answer_status = 200
    run.clear()
    assert run.wait() == [("success", 2)]
    record = run.read_record()
    assert (record["outcome"], record["status_code"], record["redelivery"]) == ("delivered", 200, True)
    received = [(one.delivery_id, one.answered) for one in sandbox.state.list_deliveries()]
    assert received == [(record["delivery_id"], 500), (record["delivery_id"], 200)]


def drop_first(count: int = 1):
    """Return a handler that closes the first connections without a response, and responds 200 to the others."""
    left = [None] * count

    def answer(connection):
        if left:
            left.pop()
        else:
            connection.sendall(OK)

    return answer


def test_unknown_delivery_is_not_retried_and_a_clear_sends_it_again(airflow):
    with raw_server(drop_first()) as receiver:
        run = trigger(airflow, "unknown", receiver.url)
        assert run.wait() == [("failed", 1)], "none of the three retries is used"
        claim = run.read_claim()
        assert (claim["state"], claim["redelivery"], len(receiver.requests)) == ("unknown", False, 1)

        run.clear()
        assert run.wait() == [("success", 2)]
        record = run.read_record()
        assert (record["outcome"], record["redelivery"]) == ("delivered", True)
        assert [read_delivery_id(one) for one in receiver.requests] == [record["delivery_id"]] * 2


@pytest.mark.parametrize("client", SETTLING_CLIENTS)
def test_first_clear_of_a_settled_delivery_sends_nothing_and_the_second_sends_it(airflow, client):
    with raw_server(drop_first()) as receiver:
        run = trigger(airflow, f"settled_{client}", receiver.url)
        assert run.wait() == [("failed", 1)]
        delivery_id = run.read_claim()["info"]["delivery_id"]

        run.settle(client)
        run.clear()
        assert run.wait() == [("success", 2)]
        record = run.read_record()
        assert (record["outcome"], record["settled"], record["delivery_id"]) == ("delivered", True, delivery_id)
        assert (run.read_claim()["state"], len(receiver.requests)) == ("delivered", 1), "the clear sent nothing"

        run.clear()
        assert run.wait() == [("success", 3)]
        record = run.read_record()
        assert (record["outcome"], record["settled"], record["redelivery"]) == ("delivered", False, True)
        assert [read_delivery_id(one) for one in receiver.requests] == [delivery_id] * 2


def test_clear_of_a_settled_delivery_sends_it_only_if_it_deletes_the_claim(airflow):
    """Airflow 3.4 without a ledger deletes the claim by default; otherwise the clear sends nothing."""
    with raw_server(drop_first()) as receiver:
        run = trigger(airflow, "settled_and_cleared", receiver.url)
        assert run.wait() == [("failed", 1)]
        run.settle(SETTLING_CLIENTS[0])
        run.clear(keeps_claims=False)
        assert run.wait() == [("success", 2)]
        record, is_sent = run.read_record(), airflow.clear_deletes_claims
        assert (record["outcome"], record["settled"], record["redelivery"]) == ("delivered", not is_sent, is_sent)
        assert [read_delivery_id(one) for one in receiver.requests] == [record["delivery_id"]] * (2 if is_sent else 1)


@needs_retry_policy
def test_at_least_once_delivery_honours_retry_after(airflow):
    pauses = deliver_on_last_request(airflow, UNAVAILABLE, name="deploying", dag_id="at_least_once", requests=5)
    assert min(pauses) >= 2
    assert sum(pauses) < 4 * 30, "the pauses of the retry policy would be longer"


def test_at_least_once_delivery_uses_the_retry_delay_of_the_task(airflow):
    pauses = deliver_on_last_request(airflow, SERVER_ERROR, name="paused", dag_id="at_least_once_paused", requests=3)
    assert min(pauses) >= 2


def deliver_on_last_request(airflow, refusal: bytes, *, name: str, dag_id: str, requests: int) -> list[float]:
    """Deliver to a receiver that accepts the last request only, and return the seconds between the requests."""
    times = []

    def answer(connection):
        times.append(time.monotonic())
        connection.sendall(OK if len(times) >= requests else refusal)

    with raw_server(answer) as receiver:
        run = trigger(airflow, name, receiver.url, dag_id=dag_id)
        assert run.wait() == [("success", requests)]
        record = run.read_record()
        assert (record["outcome"], record["attempts"], record["redelivery"]) == ("delivered", requests, True)
        assert [read_delivery_id(one) for one in receiver.requests] == [record["delivery_id"]] * requests
    return [after - before for before, after in itertools.pairwise(times)]


def test_default_guarantee_does_not_retry_a_503(airflow):
    with raw_server(UNAVAILABLE) as receiver:
        run = trigger(airflow, "deploying", receiver.url)
        assert run.wait() == [("failed", 1)]
        assert (run.read_claim()["state"], len(receiver.requests)) == ("rejected", 1)


def test_retry_of_several_endpoints_sends_only_to_the_failed_endpoint(airflow, sandbox):
    url = add_hook(sandbox)
    for n in range(3):
        add_endpoint(airflow, f"several_{n}", f"http://127.0.0.1:{find_closed_port()}/" if n == 1 else url)
    airflow.trigger("several_endpoints", "refused")
    run = Run(airflow, "several_endpoints", "refused")
    assert run.wait() == [("failed", 3)]
    assert Counter(one.delivery_id for one in sandbox.state.list_deliveries()).most_common(1)[0][1] == 1
    assert len(sandbox.state.list_deliveries()) == 2
    log = airflow.read_log("several_endpoints", "refused", "deliver", 3)
    assert "1 of 3 deliveries failed" in log
    assert "not_sent (connection_refused): orders.loaded to several_1" in log


def test_at_least_once_retry_sends_an_unknown_delivery_again(airflow):
    with raw_server(drop_first()) as receiver:
        run = trigger(airflow, "resent", receiver.url, guarantee="at_least_once")
        assert run.wait() == [("success", 2)]
        record = run.read_record()
        assert (record["outcome"], record["redelivery"]) == ("delivered", True)
        assert [read_delivery_id(one) for one in receiver.requests] == [record["delivery_id"]] * 2


def test_invalid_mapped_event_does_not_stop_the_other_events(airflow, sandbox):
    run = trigger(airflow, "events", add_hook(sandbox), dag_id="map_events")
    valid = [0, 1, 2, 4]
    assert run.wait() == [("failed" if n == 3 else "success", 1) for n in range(5)]
    assert run.read_claim(3) is None, "an invalid event is refused before it is claimed"
    records = {n: run.read_record(n) for n in valid}
    assert {n: record["event_id"] for n, record in records.items()} == {n: f"{n:032x}" for n in valid}
    received = Counter(one.delivery_id for one in sandbox.state.list_deliveries())
    assert received == {record["delivery_id"]: 1 for record in records.values()}


def test_failed_mapped_endpoint_is_cleared_without_the_other_endpoints(airflow, sandbox):
    is_repaired = threading.Event()
    with raw_server(lambda connection: connection.sendall(OK if is_repaired.is_set() else SERVER_ERROR)) as receiver:
        url = add_hook(sandbox)
        for n in range(5):
            add_endpoint(airflow, f"mapped_{n}", receiver.url if n == 3 else url)
        airflow.trigger("map_endpoints", "endpoints")
        run = Run(airflow, "map_endpoints", "endpoints")
        assert run.wait() == [("failed" if n == 3 else "success", 1) for n in range(5)]
        labels = {task["map_index"]: task["rendered_map_index"] for task in airflow.list_tasks(run.dag_id, run.run_id)}
        assert labels == {n: f"mapped_{n} {'e' * 32}" for n in range(5)}
        claims = [run.read_claim(n) for n in range(5)]
        assert [claim["state"] for claim in claims] == ["rejected" if n == 3 else "delivered" for n in range(5)]
        assert [claim["info"]["endpoint"] for claim in claims] == [f"mapped_{n}" for n in range(5)]
        ids = [claim["info"]["delivery_id"] for claim in claims]
        others = {one: 1 for n, one in enumerate(ids) if n != 3}
        assert len(others) == 4, "one event has a delivery id for each endpoint"
        assert Counter(one.delivery_id for one in sandbox.state.list_deliveries()) == others

        is_repaired.set()
        run.clear(3)
        assert run.wait() == [("success", 2 if n == 3 else 1) for n in range(5)]
        assert [run.read_record(n)["redelivery"] for n in range(5)] == [n == 3 for n in range(5)]
        assert [read_delivery_id(one) for one in receiver.requests] == [ids[3]] * 2
        assert Counter(one.delivery_id for one in sandbox.state.list_deliveries()) == others


def test_receiver_that_starts_between_two_tries_gets_one_request(airflow):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused, and the port stays reserved
        run = trigger(airflow, "late", f"http://127.0.0.1:{listener.getsockname()[1]}/hook")
        refused = airflow.wait_until(
            "a first try with a refused connection",
            lambda: (claim := run.read_claim()) and claim["state"] == "not_sent" and claim,
        )
        assert refused["record"]["error_class"] == "connection_refused"
        listener.listen()
        listener.settimeout(60)
        with listener.accept()[0] as connection:
            delivery_id = read_delivery_id(read_request(connection))
            connection.sendall(OK)
        ((state, tries),) = run.wait()
        assert state == "success"
        assert tries > 1
        record = run.read_record()
        assert (record["outcome"], record["redelivery"]) == ("delivered", False), "nothing was sent before"
        assert record["delivery_id"] == delivery_id
        listener.settimeout(0.1)
        with pytest.raises(TimeoutError):
            listener.accept()
