# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The page of endpoints: their health, the actions of a user, and the hooks of registries."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from tests.pages.views import DELIVERIES, ENDPOINTS, expect_ids, list_all_received, list_deliveries
from tests.versions import needs_variable_list

REGISTERS = "example_ensure_service_hooks"


def find_row(page: Page, endpoint: str) -> Locator:
    rows = page.get_by_role("table", name="Endpoints").locator("tbody tr")
    return rows.filter(has=page.get_by_role("link", name=endpoint, exact=True))


def test_endpoints_show_their_health(open_page, ui):
    page = open_page("admin", DELIVERIES)
    page.get_by_role("link", name="Endpoints", exact=True).click()
    page.wait_for_url(f"{ui.address}{ENDPOINTS}")
    warehouse, failing = find_row(page, "warehouse"), find_row(page, "partner_failing")
    expect(warehouse).to_contain_text("100 %")
    expect(failing).to_contain_text(re.compile(r"0 %\s*0 of \d"))
    expect(failing).to_contain_text("never")
    expect(warehouse.get_by_role("img", name="Deliveries to warehouse over time")).to_be_visible()
    page.get_by_label("Period").select_option("168")
    page.wait_for_url(f"{ui.address}{ENDPOINTS}?hours=168")
    failing.get_by_role("link", name="partner_failing").click()
    rows = [one["id"] for one in list_deliveries(page, ui) if one["endpoint"] == "partner_failing"]
    expect_ids(page, rows)


def test_an_endpoint_is_paused_with_a_reason_and_resumed(open_page, ui):
    reason = "moves to <b>another</b> host"
    page = open_page("admin", ENDPOINTS)
    row = find_row(page, "partner_offline")
    row.get_by_role("button", name="Pause partner_offline").click()
    dialog = page.get_by_role("alertdialog", name="Pause partner_offline")
    pause = dialog.get_by_role("button", name="Pause", exact=True)
    expect(pause).to_be_disabled()
    dialog.get_by_label("Reason").fill(reason)
    pause.click()
    expect(row).to_contain_text("paused")
    expect(row).to_contain_text(reason)
    page.reload()
    expect(row).to_contain_text(reason)
    row.get_by_role("button", name="Resume partner_offline").click()
    expect(row.get_by_role("button", name="Pause partner_offline")).to_be_visible()
    page.reload()
    expect(row.get_by_role("button", name="Pause partner_offline")).to_be_visible()
    assert reason not in row.inner_text()
    log = page.request.get(f"{ui.address}/api/v2/eventLogs?limit=100").json()["event_logs"]
    assert {"service_hooks_pause", "service_hooks_resume"} <= {one["event"] for one in log}


def test_an_endpoint_is_tested_without_an_event(open_page, ui, other_dag):
    page = open_page("admin", ENDPOINTS)
    row = find_row(page, "slack_alerts")
    before = list_all_received(ui)
    row.get_by_role("button", name="Test slack_alerts").click()
    expect(row.get_by_role("status")).to_contain_text(re.compile(r"reach|answer|connect", re.IGNORECASE))
    assert list_all_received(ui) == before


def test_a_connection_of_the_environment_is_tested_by_a_command(open_page, watch):
    watch.expected = ("404 (Not Found)",)
    page = open_page("admin", ENDPOINTS)
    row = find_row(page, "warehouse")
    row.get_by_role("button", name="Test warehouse").click()
    expect(row.get_by_role("status")).to_contain_text("airflow connections test warehouse")


@needs_variable_list
def test_a_registry_shows_the_hooks_of_the_platform(open_page, ui, run_dag):
    assert run_dag(REGISTERS) == "success"
    page = open_page("admin", ENDPOINTS)
    page.get_by_role("button", name="Show hooks of akinon_registry").click()
    table = page.get_by_role("table", name="Hooks of akinon_registry")
    expect(table.locator("tbody tr")).not_to_have_count(0)
    expect(table.locator("tbody tr").first).to_contain_text("yes")
    page.get_by_role("button", name="Hide hooks of akinon_registry").click()
    expect(table).to_have_count(0)


def test_a_viewer_sees_no_endpoints(open_page, watch, ui):
    watch.expected = ("403 (Forbidden)",)
    page = open_page("viewer", DELIVERIES)
    expect(page.locator("a[id^='delivery-']").first).to_be_visible()
    assert page.get_by_role("link", name="Endpoints", exact=True).count() == 0
    page.goto(f"{ui.address}{ENDPOINTS}")
    expect(page.get_by_role("alert").filter(has_text="Your role does not allow this (HTTP 403)")).to_be_visible()
    assert page.locator("table").count() == 0
    answer = page.request.post(f"{ui.address}/service-hooks/api/endpoints/warehouse/pause", data={"reason": "none"})
    assert answer.status == 403, answer.text()
