# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Resend and mark as received: the scheduler runs what was cleared, and the sandbox counts what arrives."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from airflow_provider_hooks.sandbox.ui import RunningUi
from tests.pages.views import (
    DAG_ID,
    DELIVERIES,
    find_delivery,
    find_rows,
    list_deliveries,
    list_received,
    read_attempts,
    wait_for,
)

COUNT_CLICKS = "window.clicks = 0; addEventListener('click', event => { window.clicks += event.isTrusted }, true)"


def test_a_rejected_delivery_is_sent_again_within_five_clicks(open_page, ui):
    page = open_page("editor", "/")
    one = find_delivery(page, ui, task_id="rejected", origin="task")
    attempts = read_attempts(page, ui, one["id"])
    before = list_received(ui, one["delivery_id"])
    page.evaluate(COUNT_CLICKS)
    page.get_by_role("button", name="Browse").click()
    page.get_by_role("menuitem", name="Webhook deliveries").click()
    page.get_by_role("button", name=f"Resend delivery {one['id']}").click()
    dialog = page.get_by_role("alertdialog", name="Resend 1 delivery")
    expect(dialog).to_contain_text("1 task instance is cleared, nothing downstream.")
    expect(dialog).to_contain_text(f"sends {one['id']}")
    if dialog.get_by_role("checkbox").count() > 0:  # the callback of the task has sent a delivery too
        dialog.get_by_text("again too").click()
    dialog.get_by_role("button", name="Resend", exact=True).click()
    expect(dialog).to_contain_text("1 task instance cleared; the deliveries are sent when they run:")
    assert page.evaluate("window.clicks") <= 5
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_have_count(0)

    wait_for(lambda: len(list_received(ui, one["delivery_id"])) > len(before))
    again = list_received(ui, one["delivery_id"])[len(before) :]
    assert [request["redelivery"] for request in again] == [True]
    assert before[0]["redelivery"] is False
    wait_for(lambda: len(read_attempts(page, ui, one["id"])) > len(attempts))
    page.goto(f"{ui.address}{DELIVERIES}?delivery={one['id']}")
    number = len(attempts) + 1
    shown = page.get_by_role("region", name="Attempts").get_by_role(
        "heading", name=re.compile(f"^Attempt {number}, try")
    )
    expect(shown).to_be_visible()
    assert "service_hooks_resend" in list_audited(page, ui)


def test_an_unknown_delivery_that_is_marked_as_received_is_not_sent_again(open_page, ui):
    page = open_page("editor", DELIVERIES)
    one = find_delivery(page, ui, task_id="unknown")
    before = list_received(ui, one["delivery_id"])
    page.locator(f"#delivery-{one['id']}").click()
    page.get_by_role("button", name="Mark as received…").click()
    dialog = page.get_by_role("alertdialog", name="Mark 1 delivery as received")
    expect(dialog).to_contain_text("Only do this if the receiver has the event. Nothing is sent now.")
    dialog.get_by_role("button", name="Mark as received").click()
    expect(dialog).to_contain_text(f"Marked as received: {one['id']}")
    behind_the_dialog = page.locator('section[aria-label="What happened"]')
    expect(behind_the_dialog).to_contain_text("marked as delivered by a user")
    dialog.get_by_role("button", name="Close").click()
    summary = page.get_by_role("region", name="What happened")
    expect(summary).to_contain_text("marked as delivered by a user")
    assert summary.get_by_role("button", name="Mark as received…").count() == 0
    page.get_by_role("link", name="← Webhook deliveries").click()
    expect(find_rows(page).filter(has=page.locator(f"#delivery-{one['id']}"))).to_contain_text("marked by a user")
    assert "service_hooks_mark_received" in list_audited(page, ui)

    task = clear(page, ui, one)
    wait_for(lambda: read_task(page, ui, task)["state"] in ("success", "failed"))
    assert (read_task(page, ui, task)["state"], read_task(page, ui, task)["try_number"]) == ("success", 2)
    assert list_received(ui, one["delivery_id"]) == before


def test_details_are_refreshed_while_the_task_instance_is_running(open_page, ui):
    page = open_page("editor", "/")
    one = find_delivery(page, ui, task_id="rejected", origin="task")
    responses = []

    def respond(route):
        response = route.fetch()
        content = response.json()
        if not responses:
            reason = "its task instance is running; wait until it has finished"
            content |= {"is_open": True, "resend": {**content["resend"], "is_possible": False, "reason": reason}}
        responses.append(content)
        route.fulfill(response=response, json=content)

    page.route(f"**/deliveries/{one['id']}", respond)
    page.goto(f"{ui.address}{DELIVERIES}?delivery={one['id']}")
    summary = page.get_by_role("region", name="What happened")
    expect(summary).to_contain_text("Resend is not possible: its task instance is running")
    expect(summary.get_by_role("button", name="Resend…")).to_be_visible(timeout=15_000)


def clear(page: Page, ui: RunningUi, one: dict) -> str:
    """Clear the task instance of a delivery as Airflow's own page does; return its path in the REST API."""
    body = {
        "dry_run": False,
        "dag_run_id": one["run_id"],
        "task_ids": [one["task_id"]],
        "only_failed": False,
        "reset_dag_runs": True,
    }
    answer = page.request.post(f"{ui.address}/api/v2/dags/{DAG_ID}/clearTaskInstances", data=body)
    assert answer.ok, answer.text()
    assert answer.json()["total_entries"] == 1
    return f"/api/v2/dags/{DAG_ID}/dagRuns/{one['run_id']}/taskInstances/{one['task_id']}"


def read_task(page: Page, ui: RunningUi, path: str) -> dict:
    return page.request.get(ui.address + path).json()


def list_audited(page: Page, ui: RunningUi) -> set[str]:
    return {one["event"] for one in page.request.get(f"{ui.address}/api/v2/eventLogs?limit=1000").json()["event_logs"]}


def test_selected_deliveries_are_named_before_anything_changes(open_page, ui):
    page = open_page("editor", DELIVERIES)
    expect(find_rows(page).first).to_be_visible()
    editable = [one for one in list_deliveries(page, ui) if one["may_edit"]]
    claimed, delivered = (find_delivery(page, ui, task_id=name) for name in ("being_sent", "delivered"))
    for one in (claimed, delivered):
        page.get_by_label(f"Select delivery {one['id']}", exact=True).check()
    expect(page.get_by_text("2 selected")).to_be_visible()
    page.get_by_role("button", name="Mark 1 as received").click()
    dialog = page.get_by_role("alertdialog", name="Mark 1 delivery as received")
    expect(dialog).to_contain_text(f"1 delivery is marked as received: {claimed['id']}")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    page.get_by_label("Select all deliveries of this page").check()
    page.get_by_role("button", name=f"Resend {len(editable)}", exact=True).click()
    dialog = page.get_by_role("alertdialog", name=f"Resend {len(editable)} deliveries")
    expect(dialog).to_contain_text("are cleared, nothing downstream.")
    expect(dialog).to_contain_text("Left out:")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)
    assert {one["id"] for one in list_deliveries(page, ui) if one["may_edit"]} == {one["id"] for one in editable}


def test_refused_resend_shows_the_reason(open_page, watch, ui):
    watch.expected = ("409 (Conflict)",)
    page = open_page("editor", DELIVERIES)
    one = find_delivery(page, ui, task_id="not_sent")
    reason = f"Nothing was changed. {one['id']}: its claim has changed"
    page.route("**/resend", lambda route: route.fulfill(status=409, json={"detail": reason}))
    page.get_by_role("button", name=f"Resend delivery {one['id']}").click()
    dialog = page.get_by_role("alertdialog")
    dialog.get_by_role("button", name="Resend", exact=True).click()
    expect(dialog.get_by_role("alert").filter(has_text="HTTP 409")).to_contain_text(reason)


@pytest.mark.parametrize("task_id", ["rejected", "unknown", "being_sent"])
def test_viewer_cannot_change_deliveries(open_page, ui, task_id):
    page = open_page("viewer", DELIVERIES)
    one = find_delivery(page, ui, task_id=task_id, origin="task")
    before = page.request.get(f"{ui.address}/service-hooks/api/deliveries/{one['id']}").json()
    page.locator(f"#delivery-{one['id']}").click()
    summary = page.get_by_role("region", name="What happened")
    expect(summary).to_contain_text("Your role allows you to read this delivery, not to change it.")
    assert summary.get_by_role("button").count() == 0
    for action in ("resend", "mark-received"):
        url = f"{ui.address}/service-hooks/api/dags/{DAG_ID}/{action}"
        answer = page.request.post(url, data={"ids": [one["id"]]})
        assert answer.status == 403, answer.text()
    after = page.request.get(f"{ui.address}/service-hooks/api/deliveries/{one['id']}").json()
    assert after["delivery"] == before["delivery"]
