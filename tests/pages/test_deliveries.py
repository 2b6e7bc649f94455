# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The list of deliveries with its filters, the details of each outcome, and the tabs."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from playwright.sync_api import Page, expect

from airflow_provider_hooks.sandbox.ui import USERS
from tests.pages.views import DAG_ID, DELIVERIES, expect_ids, find_delivery, find_rows, list_deliveries, read_ids

OUTCOMES = ["delivered", "rejected", "not sent", "unknown", "claimed"]


@pytest.mark.parametrize("user", USERS)
def test_a_user_logs_in_and_finds_the_deliveries_in_the_menu(visitors, chromium, ui, user):
    context = chromium.new_context()
    context.set_default_timeout(180_000)
    page = context.new_page()
    visitors[user].log_in(page)
    page.get_by_role("button", name="Browse").click()
    page.get_by_role("menuitem", name="Webhook deliveries").click()
    expect(page.get_by_role("heading", name="Webhook deliveries", level=1)).to_be_visible()
    assert page.url == f"{ui.address}{DELIVERIES}"
    expect(find_rows(page).first).to_be_visible()
    may_change = user != "viewer"
    assert (page.get_by_role("checkbox").count() > 0) is may_change
    assert (page.get_by_role("button", name=re.compile("^Resend")).count() > 0) is may_change
    context.close()


def test_the_list_shows_each_outcome_newest_first(open_page, ui):
    page = open_page("admin", DELIVERIES)
    expect(find_rows(page).first).to_be_visible()
    assert read_ids(page) == [one["id"] for one in list_deliveries(page, ui)]
    badges = find_rows(page).locator(".shp-badge").all_inner_texts()
    assert {one.strip() for one in badges} == {*OUTCOMES, "stream"}
    times = find_rows(page).locator("time").evaluate_all("found => found.map(one => one.dateTime)")
    assert times == sorted(times, reverse=True)


def choose(page: Page, name: str) -> None:
    page.get_by_role("group", name="Outcome").get_by_role("button", name=name, exact=True).click()


def search(page: Page, **fields: str) -> None:
    for label, text in fields.items():
        page.get_by_label(label.replace("_", " "), exact=True).fill(text)
    page.get_by_role("button", name="Search").click()


def choose_time(page: Page, period: str) -> None:
    page.get_by_label("Time", exact=True).select_option(label=period)


FILTERS = {
    **{
        outcome: (
            lambda page, one, outcome=outcome: choose(page, outcome),
            lambda one, wanted, outcome=outcome: one["outcome"] == outcome.replace(" ", "_"),
            lambda one, outcome=outcome: {"outcome": outcome.replace(" ", "_")},
        )
        for outcome in OUTCOMES
    },
    "endpoint": (
        lambda page, one: search(page, Endpoint="partner_failing"),
        lambda one, wanted: one["endpoint"] == "partner_failing",
        lambda one: {"endpoint": "partner_failing"},
    ),
    "event type": (
        lambda page, one: search(page, Event_type="orders.checked"),
        lambda one, wanted: one["event_type"] == "orders.checked",
        lambda one: {"type": "orders.checked"},
    ),
    "dag": (
        lambda page, one: search(page, Dag_id=DAG_ID),
        lambda one, wanted: one["dag_id"] == DAG_ID,
        lambda one: {"dag": DAG_ID},
    ),
    "event id": (
        lambda page, one: search(page, Event_or_delivery_id=one["event_id"]),
        lambda one, wanted: one["event_id"] == wanted["event_id"],
        lambda one: {"q": one["event_id"]},
    ),
    "delivery id": (
        lambda page, one: search(page, Event_or_delivery_id=one["delivery_id"]),
        lambda one, wanted: one["delivery_id"] == wanted["delivery_id"],
        lambda one: {"q": one["delivery_id"]},
    ),
    "beginning of a delivery id": (
        lambda page, one: search(page, Event_or_delivery_id=one["delivery_id"][:12]),
        lambda one, wanted: one["delivery_id"] == wanted["delivery_id"],
        lambda one: {"q": one["delivery_id"][:12]},
    ),
    "last day": (
        lambda page, one: choose_time(page, "Last 24 hours"),
        lambda one, wanted: True,
        lambda one: {"period": "day"},
    ),
    "nothing": (
        lambda page, one: search(page, Event_or_delivery_id="no-such-event"),
        lambda one, wanted: False,
        lambda one: {"q": "no-such-event"},
    ),
}


@pytest.mark.parametrize("name", FILTERS)
def test_filter_is_in_the_url_and_survives_reload_and_back(open_page, ui, name):
    act, matches, query = FILTERS[name]
    page = open_page("editor", DELIVERIES)
    expect(find_rows(page).first).to_be_visible()
    rows = list_deliveries(page, ui)
    one = find_delivery(page, ui, outcome="rejected")
    everything, chosen = [row["id"] for row in rows], [row["id"] for row in rows if matches(row, one)]
    act(page, one)
    expect_ids(page, chosen)
    assert dict(parse_qsl(urlsplit(page.url).query)) == query(one)
    page.reload()
    expect_ids(page, chosen)
    page.go_back()
    expect_ids(page, everything)
    page.go_forward()
    expect_ids(page, chosen)
    page.get_by_role("button", name="Clear filters").first.click()
    expect_ids(page, everything)
    assert urlsplit(page.url).query == ""


def test_custom_period_has_a_begin_and_an_end(open_page, ui):
    page = open_page("viewer", DELIVERIES)
    expect(find_rows(page).first).to_be_visible()
    ids = read_ids(page)
    choose_time(page, "Custom…")
    for begin, end, expected in (
        ("2020-01-01T00:00", "2020-01-02T00:00", []),
        ("2020-01-01T00:00", "2100-01-01T00:00", ids),
        ("2100-01-01T00:00", "", []),
    ):
        page.locator("#filter-from").fill(begin)
        page.locator("#filter-to").fill(end)
        page.get_by_role("button", name="Search").click()
        expect_ids(page, expected)


def test_several_outcomes_are_chosen_together(open_page, ui):
    page = open_page("viewer", DELIVERIES)
    rows = list_deliveries(page, ui)
    choose(page, "All failed")
    expect_ids(page, [one["id"] for one in rows if one["outcome"] in ("rejected", "not_sent", "unknown")])
    choose(page, "unknown")
    expect_ids(page, [one["id"] for one in rows if one["outcome"] in ("rejected", "not_sent")])
    choose(page, "All outcomes")
    expect_ids(page, [one["id"] for one in rows])


DETAILS = {
    "delivered": (
        {"task_id": "delivered"},
        "delivered (HTTP 200): orders.loaded to warehouse",
        None,
        "HTTP 200",
    ),
    "rejected": (
        {"task_id": "rejected", "origin": "task"},
        "rejected (HTTP 500): orders.loaded to partner_failing",
        "The receiver failed; its response and its own log say why.",
        "HTTP 500",
    ),
    "not_sent": (
        {"task_id": "not_sent"},
        "not_sent (connection_refused): orders.checked to partner_offline",
        "No server listens there: check host and port of the connection, and the receiver.",
        "connection refused",
    ),
    "unknown": (
        {"task_id": "unknown"},
        "unknown (timeout): orders.checked to partner_silent",
        "Ask the receiver whether it has the event: if so, mark it as received; if not, resend it.",
        "timeout",
    ),
    "claimed": (
        {"task_id": "being_sent"},
        "open: orders.checked to partner_slow",
        "It is being sent, or its process ended before the outcome was stored.",
        None,
    ),
}


@pytest.mark.parametrize("outcome", DETAILS)
def test_details_show_what_happened_and_what_to_do(open_page, ui, outcome):
    wanted, sentence, advice, status = DETAILS[outcome]
    page = open_page("admin", DELIVERIES)
    one = find_delivery(page, ui, **wanted)
    page.locator(f"#delivery-{one['id']}").click()
    summary = page.get_by_role("region", name="What happened")
    expect(summary.get_by_role("heading").first).to_contain_text(sentence)
    assert page.url == f"{ui.address}{DELIVERIES}?delivery={one['id']}"
    if advice is None:
        assert summary.get_by_text("What to do").count() == 0
    else:
        expect(summary.get_by_role("listitem").filter(has_text=advice)).to_be_visible()
    attempts = page.get_by_role("region", name="Attempts")
    if status is not None:
        expect(attempts.get_by_role("listitem").first).to_contain_text(status)
        expect(attempts.get_by_role("heading", name="Attempt 1, try 1")).to_be_visible()
    request = page.get_by_role("region", name="Request")
    expect(request).to_contain_text("POST http://127.0.0.1:")
    expect(request).to_contain_text("webhook-signature")
    assert re.search(r"webhook-signature\s*\*\*\*", request.inner_text()), request.inner_text()
    assert "v1," not in request.inner_text()
    payload = page.get_by_role("region", name="Payload", exact=True)
    expect(payload).to_contain_text('"orders": 12')
    about = page.get_by_role("region", name="Delivery", exact=True)
    for text in (one["event_id"], one["delivery_id"], one["endpoint"], one["event_type"], one["source"]):
        expect(about).to_contain_text(text)
    page.go_back()
    expect(find_rows(page).first).to_be_visible()


@pytest.mark.parametrize("link", ["Task log", "Task", "Run ", "Dag "])
def test_details_link_to_the_pages_of_airflow(open_page, ui, link):
    page = open_page("viewer", DELIVERIES)
    one = find_delivery(page, ui, task_id="rejected", origin="task")
    page.goto(f"{ui.address}{DELIVERIES}?delivery={one['id']}")
    page.get_by_role("region", name="Delivery", exact=True).get_by_role(
        "link", name=link, exact=link[-1] != " "
    ).click()
    expected = {
        "Task log": "/tasks/rejected?try_number=1",
        "Task": "/tasks/rejected/details",
        "Run ": f"/runs/{one['run_id']}",
        "Dag ": f"/dags/{DAG_ID}",
    }[link]
    page.wait_for_url(lambda url: expected in unquote(url))
    expect(page.get_by_text(DAG_ID).first).to_be_visible()


@pytest.mark.parametrize("origin", ["command", "callback"])
def test_delivery_without_a_task_shows_how_to_send_it_again(open_page, ui, origin):
    page = open_page("admin", DELIVERIES)
    one = find_delivery(page, ui, origin=origin)
    page.goto(f"{ui.address}{DELIVERIES}?delivery={one['id']}")
    summary = page.get_by_role("region", name="What happened")
    expect(summary).to_contain_text("Resend: run this command where Airflow's own commands run")
    expect(summary).to_contain_text(f"airflow service-hooks deliveries resend {one['id']}")
    assert summary.get_by_role("button", name="Resend…").count() == 0


def test_tabs_show_the_deliveries_of_a_dag_a_run_and_a_task(open_page, ui):
    page = open_page("viewer", f"/dags/{DAG_ID}")
    rows = [one for one in list_deliveries(page, ui) if one["dag_id"] == DAG_ID]
    run_id = rows[0]["run_id"]
    for place, matches in {
        f"/dags/{DAG_ID}": lambda one: True,
        f"/dags/{DAG_ID}/runs/{run_id}": lambda one: one["run_id"] == run_id,
        f"/dags/{DAG_ID}/runs/{run_id}/tasks/rejected": lambda one: one["task_id"] == "rejected",
    }.items():
        page.goto(f"{ui.address}{place}")
        page.get_by_role("link", name="Deliveries", exact=True).click()
        expect_ids(page, [one["id"] for one in rows if matches(one)])
        first = page.locator("a[id^='delivery-']").first
        first.click()
        expect(page.get_by_role("region", name="What happened")).to_be_visible()
        page.get_by_role("link", name="← Deliveries").click()
        expect_ids(page, [one["id"] for one in rows if matches(one)])


def test_tab_of_a_dag_without_deliveries_shows_a_message(open_page):
    page = open_page("viewer", "/dags/example_own_events")
    page.get_by_role("link", name="Deliveries", exact=True).click()
    expect(page.get_by_text("No webhook deliveries", exact=True)).to_be_visible()


def test_a_stream_shows_its_counts_and_the_events_that_failed(open_page, ui):
    page = open_page("viewer", DELIVERIES)
    one = find_delivery(page, ui, kind="stream")
    page.goto(f"{ui.address}{DELIVERIES}?delivery={one['id']}")
    stream = page.get_by_role("region", name="Stream", exact=True)
    expect(stream).to_contain_text(re.compile(r"delivered\s*495"))
    expect(stream).to_contain_text(re.compile(r"not sent\s*5\s*\(1\.0 %\)"))
    table = page.get_by_role("table", name="Failed events of the stream")
    expect(table.locator("tbody tr")).to_have_count(5)
    expect(table.locator("tbody tr").nth(1)).to_contain_text(re.compile(r"^100.*message: is missing"))
    page.get_by_label("Outcome").select_option("rejected")
    expect(page.get_by_text("No such event")).to_be_visible()
    page.get_by_label("Outcome").select_option("not_sent")
    expect(table.locator("tbody tr")).to_have_count(5)
