# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The routes of deliveries: permissions, filters, and the details of one delivery."""

from __future__ import annotations

import pytest
from airflow import settings
from fastapi.routing import APIRoute
from sqlalchemy import event

from airflow_provider_hooks.admin.stored import LedgerDeliveries
from airflow_provider_hooks.ledger.claims import LedgerClaimStore, make_claim_key
from airflow_provider_hooks.ledger.history import Delivery, find_delivery
from airflow_provider_hooks.stream.claims import StreamClaim
from airflow_provider_hooks.ui import deliveries, endpoints
from airflow_provider_hooks.ui.models import DeliveryRow
from tests.ledger.deliveries import make_stream
from tests.ledger.test_retention import TASK
from tests.ui.conftest import ROLES
from tests.versions import needs_pages, needs_task_state_store

CHANGES = [
    ("POST", "/api/dags/a_dag/resend"),
    ("POST", "/api/dags/a_dag/mark-received"),
    ("POST", "/api/endpoints/an_endpoint/pause"),
    ("POST", "/api/endpoints/an_endpoint/resume"),
]


def list_ids(client, query: str = "") -> list[int]:
    response = client.get(f"/api/deliveries{query}")
    assert response.status_code == 200, response.text
    return [one["id"] for one in response.json()["deliveries"]]


def test_every_route_refuses_a_user_who_is_not_logged_in(log_in):
    client = log_in(None)
    routes = [one for router in (deliveries.router, endpoints.router) for one in router.routes]
    paths = {(method, f"/api{one.path}") for one in routes if isinstance(one, APIRoute) for method in one.methods}
    assert len(paths) == 10
    for method, path in [*paths, ("GET", "/api/openapi.json"), ("GET", "/page/1/main.js")]:
        named = path.format(delivery_id=1, dag_id="a_dag", connection_id="an_endpoint")
        assert client.request(method, named, json={}).status_code == 401, path


def test_the_api_describes_itself_without_pages_of_documentation(log_in):
    client = log_in("a_viewer")
    described = client.get("/api/openapi.json").json()
    assert "/api/deliveries/{delivery_id}" in described["paths"]
    assert all(one["summary"] for path in described["paths"].values() for one in path.values())
    assert [client.get(path).status_code for path in ("/docs", "/redoc", "/openapi.json")] == [404, 404, 404]


def test_a_row_has_every_field_of_a_delivery():
    assert set(DeliveryRow.model_fields) == {*Delivery.__struct_fields__, "source", "may_edit"}


@pytest.mark.parametrize(
    ("user", "visible"),
    [
        ("an_admin", ["a_dag", "another_dag", "a_deleted_dag", None]),
        ("an_editor", ["a_dag", "another_dag"]),
        ("a_viewer", ["a_dag", "another_dag"]),
        ("of_one_dag", ["a_dag"]),
    ],
)
def test_a_user_sees_deliveries_of_the_dags_that_the_user_may_read(log_in, filled, user, visible):
    rows = {dag_id: filled.add(dag_id=dag_id) for dag_id in ("a_dag", "another_dag", "a_deleted_dag")}
    rows[None] = filled.add(origin="command", dag_id=None, run_id=None, task_id=None, map_index=None)
    client = log_in(user)
    assert set(list_ids(client)) == {rows[one] for one in visible}
    for dag_id, row in rows.items():
        for path in (f"/api/deliveries/{row}", f"/api/resend-plan?id={row}"):
            assert client.get(path).status_code == (200 if dag_id in visible else 404), (dag_id, path)


def test_viewer_and_user_of_another_dag_cannot_change_deliveries(log_in, filled):
    mine, other = filled.add("unknown"), filled.add("unknown", dag_id="another_dag")
    for user, dag_id, row in (
        ("a_viewer", "a_dag", mine),
        ("of_one_dag", "another_dag", other),
    ):
        for action in ("resend", "mark-received"):
            response = log_in(user).post(f"/api/dags/{dag_id}/{action}", json={"ids": [row]})
            assert response.status_code == 403, response.text
    # The path names a Dag that the user may edit, and the row is of another one, which the user may not even see.
    response = log_in("of_one_dag").post("/api/dags/a_dag/mark-received", json={"ids": [other]})
    assert response.status_code == 404
    response = log_in("an_editor").post("/api/dags/a_dag/mark-received", json={"ids": [other]})
    assert (response.status_code, response.json()["detail"]) == (
        409,
        f"Nothing was changed. {other}: does not belong to Dag a_dag",
    )
    for row in (mine, other):
        assert find_delivery(filled.database, str(row)).delivery.state == "unknown"


def test_rows_show_whether_the_user_may_change_them(log_in, filled):
    filled.add(), filled.add(dag_id="another_dag")
    shown = {
        user: {one["dag_id"]: one["may_edit"] for one in log_in(user).get("/api/deliveries").json()["deliveries"]}
        for user in ROLES
    }
    assert shown == {
        "an_admin": {"a_dag": True, "another_dag": True},
        "an_editor": {"a_dag": True, "another_dag": True},
        "a_viewer": {"a_dag": False, "another_dag": False},
        "of_one_dag": {"a_dag": True},
    }


@needs_pages
def test_a_page_of_many_dags_needs_no_more_queries_than_a_page_of_one(log_in, filled):
    client, counts = log_in("an_admin"), []

    def count(*arguments):
        counts[-1] += 1

    for number in range(2):
        filled.add(dag_id=f"dag_{number}")
    event.listen(settings.engine, "before_cursor_execute", count)
    try:
        for limit in (1, 1, 2):  # the first request fills caches
            counts.append(0)
            assert len(list_ids(client, f"?limit={limit}")) == limit
    finally:
        event.remove(settings.engine, "before_cursor_execute", count)
    assert counts[1] == counts[2]


@pytest.mark.parametrize(("method", "path"), CHANGES)
@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_cross_site_form_is_refused(log_in, filled, method, path, content_type):
    response = log_in("an_admin").request(
        method, path, content=b'{"ids": [1], "reason": "r"}', headers={"Content-Type": content_type}
    )
    assert response.status_code == 415


def test_filters_choose_by_every_column_and_search(log_in, filled):
    first = filled.add("rejected", at="2026-01-01T00:00:00+00:00", endpoint="partner", event_type="orders.loaded")
    second = filled.add("unknown", at="2026-01-02T00:00:00+00:00", event_id="order-7", map_index=3, task_id="other")
    third = filled.add("delivered", at="2026-01-03T00:00:00+00:00", dag_id="another_dag", run_id="another_run")
    client = log_in("an_admin")
    for query, expected in {
        "": [third, second, first],
        "?outcome=rejected&outcome=unknown": [second, first],
        "?endpoint=partner": [first],
        "?event_type=orders.loaded&outcome=delivered": [third],
        "?dag_id=another_dag": [third],
        "?run_id=another_run": [third],
        "?task_id=other&map_index=3": [second],
        "?since=2026-01-02T00:00:00Z": [third, second],
        "?until=2026-01-02T00:00:00": [first],
        "?q=order-7": [second],
        f"?q={first}": [first],
        "?q=00000002": [third],
        "?q=0000": [],
        "?q=nothing": [],
        "?q=%20order-7%20&outcome=rejected": [],
    }.items():
        assert list_ids(client, query) == expected, query


def test_pages_follow_each_other_without_a_gap(log_in, filled):
    rows = [filled.add(at=f"2026-01-01T00:00:{second:02}+00:00") for second in range(5)]
    client, found, after = log_in("an_admin"), [], ""
    for size in (2, 2, 1):
        page = client.get(f"/api/deliveries?limit=2{after}").json()
        assert len(page["deliveries"]) == size
        found += [one["id"] for one in page["deliveries"]]
        after = f"&after={page['next_cursor']}"
    assert (found, page["next_cursor"]) == (rows[::-1], None)


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "since=yesterday", "map_index=x", "after=x"])
def test_a_parameter_that_cannot_be_used_is_named(log_in, filled, query):
    response = log_in("an_admin").get(f"/api/deliveries?{query}")
    assert response.status_code in (400, 422)
    assert query.partition("=")[0] in response.text


def test_details_of_a_delivery_have_advice_actions_and_links(log_in, filled):
    row = filled.add("unknown")
    shown = log_in("an_admin").get(f"/api/deliveries/{row}").json()
    assert shown["what_happened"] == "unknown (timeout): orders.loaded to an_endpoint"
    assert shown["what_to_do"][-1].startswith("Ask the receiver whether it has the event")
    assert shown["mark_received"] == {
        "is_possible": True,
        "reason": None,
        "command": f"airflow service-hooks deliveries mark-delivered {row}",
    }
    assert shown["resend"]["is_possible"] is False
    assert "no longer exists" in shown["resend"]["reason"]
    assert [one["record"]["outcome"] for one in shown["attempts"]] == ["unknown"]
    assert shown["payload"]["note"].startswith("The payload is not stored")
    assert shown["links"] == {
        "task_instance": "dags/a_dag/runs/a_run/tasks/a_task",
        "run": "dags/a_dag/runs/a_run",
        "dag": "dags/a_dag",
    }


@pytest.mark.parametrize(
    ("outcome", "reason", "is_open"),
    [
        ("delivered", None, False),
        ("delivered", "its task instance is running; wait until it has finished", True),
        ("claimed", None, True),
    ],
    ids=["finished", "task still running", "claimed"],
)
def test_delivery_is_open_while_it_or_its_task_runs(log_in, filled, monkeypatch, outcome, reason, is_open):
    monkeypatch.setattr("airflow_provider_hooks.ui.details.explain_running", lambda delivery: reason)
    row = filled.add(outcome)
    assert log_in("an_admin").get(f"/api/deliveries/{row}").json()["is_open"] is is_open


def test_ids_in_links_are_percent_encoded(log_in, filled):
    row = filled.add(dag_id="../../x?y#z", run_id="//evil.example", task_id="a/b", map_index=4)
    links = log_in("an_admin").get(f"/api/deliveries/{row}").json()["links"]
    assert links["task_instance"] == "dags/..%2F..%2Fx%3Fy%23z/runs/%2F%2Fevil.example/tasks/a%2Fb/mapped/4"


def test_a_delivery_is_marked_as_received_once(log_in, filled):
    row, client = filled.add("unknown"), log_in("an_editor")
    for _ in range(2):
        response = client.post("/api/dags/a_dag/mark-received", json={"ids": [row, row]})
        assert (response.status_code, response.json()) == (200, {"marked": [row]})
    assert find_delivery(filled.database, str(row)).delivery.state == "settled"


def test_no_delivery_is_marked_if_one_cannot_be_marked(log_in, filled):
    row, delivered = filled.add("unknown"), filled.add("delivered")
    response = log_in("an_editor").post("/api/dags/a_dag/mark-received", json={"ids": [row, delivered]})
    assert response.status_code == 409
    assert f"{delivered}: was delivered, so there is nothing to mark" in response.json()["detail"]
    assert find_delivery(filled.database, str(row)).delivery.state == "unknown"


@pytest.mark.parametrize("body", [{}, {"ids": []}, {"ids": ["x"]}, {"ids": list(range(201))}])
def test_a_change_of_no_delivery_or_of_too_many_is_refused(log_in, filled, body):
    for action in ("resend", "mark-received"):
        assert log_in("an_admin").post(f"/api/dags/a_dag/{action}", json=body).status_code == 422


def test_stream_is_shown_with_counts_and_a_disallowed_folder_is_not_read(log_in, filled):
    LedgerClaimStore(filled.database, make_claim_key("s"), StreamClaim, origin=TASK).acquire(
        None, make_stream("claimed")
    )
    client = log_in("an_admin")
    (row,) = list_ids(client)
    shown = client.get(f"/api/deliveries/{row}").json()
    assert (shown["request"], shown["is_open"]) == (None, True), "a stream has many requests"
    shown = shown["stream"]
    assert (shown["outcomes"]["delivered"], shown["is_done"], shown["records"]) == (9, False, "r")
    events = client.get(f"/api/deliveries/{row}/events").json()
    assert events["events"] == []
    assert "shown_records_paths" in events["note"]


def test_unusable_ledger_is_reported_in_one_sentence(log_in, filled, monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW__SERVICE_HOOKS__LEDGER_CONN_ID", "missing_ledger")
    monkeypatch.setenv("AIRFLOW_CONN_MISSING_LEDGER", f'{{"conn_type": "sqlite", "host": "{tmp_path}/none.db"}}')
    response = log_in("an_admin").get("/api/deliveries")
    assert (response.status_code, "Traceback" in response.text) == (503, False)
    assert "airflow service-hooks ledger migrate" in response.json()["detail"]


def test_delivery_without_a_task_shows_the_resend_command(log_in, filled):
    origin = {"origin": "callback", "dag_id": "a_dag", "task_id": None, "map_index": None}
    row, other = filled.add("rejected", **origin), filled.add("rejected", **origin)
    filled.add_payload(f"{0:08x}-0000-5000-8000-000000000000", at="2026-01-01T00:00:00+00:00")
    client, command = log_in("an_admin"), f"airflow service-hooks deliveries resend {row}"
    refused = client.get(f"/api/resend-plan?id={row}&id={other}").json()["refused"]
    assert [(one["id"], one["command"]) for one in refused] == [(row, command), (other, None)]
    assert "its payload is not stored" in refused[1]["reason"]
    shown = [client.get(f"/api/deliveries/{one}").json()["resend"] for one in (row, other)]
    assert [one["is_possible"] for one in shown] == [True, False]
    assert shown[0]["command"] == command
    response = client.post("/api/dags/a_dag/resend", json={"ids": [row]})
    assert response.status_code == 409


def test_failed_change_lists_the_completed_changes(log_in, filled, monkeypatch):
    first, second = filled.add("unknown"), filled.add("unknown")
    mark = LedgerDeliveries.store_state

    def mark_the_first(self, details, **given):
        return details.delivery.id == first and mark(self, details, **given)

    monkeypatch.setattr(LedgerDeliveries, "store_state", mark_the_first)
    response = log_in("an_admin").post("/api/dags/a_dag/mark-received", json={"ids": [first, second]})
    assert response.status_code == 409
    assert f"{second}: another process or user changed the claim" in response.json()["detail"]
    assert response.json()["detail"].endswith(f"Done before: {first}.")


@needs_task_state_store
def test_list_without_a_ledger_reads_the_task_state_store_with_a_note(log_in, stored_claim):
    client = log_in("an_admin")
    page = client.get("/api/deliveries").json()
    assert page["store"] == "task_state_store"
    assert page["notes"][0].startswith("This deployment has no ledger")
    assert page["notes"][0].endswith("set [service_hooks] ledger_conn_id.")
    (row,) = page["deliveries"]
    assert (row["outcome"], row["dag_id"], row["endpoint"]) == ("unknown", "a_dag", "an_endpoint")
    shown = client.get(f"/api/deliveries/{row['id']}").json()
    assert [one["record"]["outcome"] for one in shown["attempts"]] == ["unknown"]
    for query, expected in {
        f"?q={row['delivery_id'][:8]}": [row["id"]],
        f"?q={row['event_id']}&map_index=-1&task_id=a_task": [row["id"]],
        "?task_id=another_task": [],
        "?outcome=rejected": [],
    }.items():
        assert list_ids(client, query) == expected, query
    assert log_in("an_admin").get("/api/endpoints").json()["notes"][0].startswith("The health of endpoints is read")
    assert log_in("an_editor").post("/api/dags/a_dag/mark-received", json={"ids": [row["id"]]}).status_code == 200
    assert client.get("/api/deliveries").json()["deliveries"][0]["state"] == "settled"
