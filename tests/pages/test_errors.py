# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The pages while they load, when the API fails, and with text that contains a script."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from playwright.sync_api import Route, expect

from tests.pages.views import DELIVERIES, ENDPOINTS, find_delivery, list_deliveries
from tests.servers import raw_server

ERRORS = {
    "ledger does not answer": (
        {"status": 503, "json": {"detail": "The ledger does not answer."}},
        ["cannot be read now (HTTP 503)", "The ledger does not answer.", "airflow service-hooks ledger check"],
    ),
    "network error": (None, ["Airflow's API server cannot be reached", "Check your network connection"]),
    "fault": ({"status": 500, "body": "Internal Server Error"}, ["Something went wrong (HTTP 500)"]),
    "proxy": ({"status": 200, "body": "<h1>Proxy</h1>"}, ["The answer is not JSON"]),
}
ROUTE = "**/service-hooks/api/**"


@pytest.mark.parametrize(
    "path", [DELIVERIES, ENDPOINTS, f"{DELIVERIES}?delivery=1", "/dags/show_deliveries/plugin/deliveries-of-dag"]
)
@pytest.mark.parametrize("fault", ERRORS)
def test_error_is_explained_and_can_be_retried(open_page, watch, fault, path):
    answer, texts = ERRORS[fault]
    watch.expected = ("Failed to load resource",)
    page = open_page("admin")
    page.route(ROUTE, lambda route: route.abort() if answer is None else route.fulfill(**answer))
    page.goto(page.url.rstrip("/") + path)
    alert = page.get_by_role("alert").filter(has_text=texts[0])
    for text in texts:
        expect(alert).to_contain_text(text)
    page.unroute(ROUTE)
    alert.get_by_role("button", name="Try again").click()
    expect(alert).to_have_count(0)
    expect(page.locator(".shp-page table, .shp-page dl").first).to_be_visible()


def test_an_ended_session_leads_to_the_login_and_back(open_page, watch, ui, visitors):
    watch.expected = ("Failed to load resource",)
    page = open_page("editor", f"{DELIVERIES}?outcome=rejected")
    one = find_delivery(page, ui, outcome="rejected", origin="task")
    expect(page.locator(f"#delivery-{one['id']}")).to_be_visible()
    page.context.clear_cookies()
    page.get_by_role("button", name="Refresh").click()
    alert = page.get_by_role("alert").filter(has_text="Your session has ended (HTTP 401)")
    alert.get_by_role("button", name="Log in").click()
    for field in ("username", "password"):
        page.locator(f"input[name={field}]").fill("editor")
    page.keyboard.press("Enter")
    expect(page.locator(f"#delivery-{one['id']}")).to_be_visible()
    assert page.url == f"{ui.address}{DELIVERIES}?outcome=rejected"


def test_list_shows_a_loading_message(open_page):
    page = open_page("viewer")

    def hold(route: Route) -> None:
        """Leave the request without a response."""

    page.route(ROUTE, hold)
    page.goto(page.url.rstrip("/") + DELIVERIES)
    expect(page.get_by_role("status").filter(has_text="Loading deliveries…")).to_be_visible()
    page.unroute(ROUTE)  # which lets the held requests go on
    expect(page.locator("a[id^='delivery-']").first).to_be_visible()


def test_a_list_without_deliveries_differs_from_an_error(open_page, ui):
    page = open_page("viewer")
    empty = {"deliveries": [], "next_cursor": None, "store": "ledger", "notes": [], "may_see_endpoints": False}
    page.route(ROUTE, lambda route: route.fulfill(json=empty))
    page.goto(page.url.rstrip("/") + DELIVERIES)
    expect(page.get_by_text("No webhook deliveries yet")).to_be_visible()
    page.goto(f"{ui.address}{DELIVERIES}?outcome=rejected")
    expect(page.get_by_text("No delivery matches the filters")).to_be_visible()
    assert page.get_by_role("alert").filter(has_text="HTTP").count() == 0


SCRIPT = "window.hacked = 1"
MARKUP = (
    f'<script>{SCRIPT}</script><img src="x" onerror="{SCRIPT}"><svg onload="{SCRIPT}"></svg>'
    f'<a href="javascript:{SCRIPT}">here</a><iframe srcdoc="<script>parent.{SCRIPT}</script>"></iframe>'
)
"""What each of these would do as HTML: set a flag of the page."""


def test_text_of_receivers_and_events_is_not_executed(open_page, ui, watch):
    body = MARKUP.encode()
    response = b"HTTP/1.1 500 Error\r\nContent-Type: text/html; note=%b\r\nContent-Length: %d\r\n\r\n%b"
    with raw_server(response % (body, len(body), body)) as receiver:
        connection = {"conn_type": "service_hook", "host": receiver.url, "extra": {"scheme": "none"}}
        environment = {**ui.environment, "AIRFLOW_CONN_HOSTILE": json.dumps(connection)}
        command = [sys.executable, "-m", "airflow", "service-hooks", "deliver", "hostile", "--message", MARKUP]
        subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=600
        )
        assert len(receiver.requests) == 1
    page = open_page("admin", DELIVERIES)
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url))
    page.on("dialog", lambda dialog: watch.note(f"a dialog opened: {dialog.message}"))
    one = find_delivery(page, ui, endpoint="hostile")
    page.goto(f"{ui.address}{DELIVERIES}?q={one['id']}")
    page.locator(f"#delivery-{one['id']}").click()
    for region in ("Response body of attempt 1", "Text of the payload"):
        block = page.locator("pre").and_(page.get_by_role("region", name=region, exact=True))
        expect(block).to_contain_text("<script>")
        expect(block).to_contain_text("window.hacked = 1")
    expect(page.get_by_role("region", name="Attempts").locator("dd", has_text="note=<script>")).to_be_visible()
    shown = page.locator(".shp-page")
    for made in ("script", "img", "iframe", "a[href^='javascript:']", "[onload]", "[onerror]"):
        assert shown.locator(made).count() == 0, made
    page.wait_for_load_state("networkidle")
    assert page.evaluate("window.hacked") is None
    assert [url for url in loaded if url.endswith("/x")] == []


def test_text_of_the_api_is_not_rendered_as_markup(open_page, ui):
    """Every text of every response is markup here, also those that a receiver cannot set."""
    page = open_page("admin")
    with_markup = {}

    def put_markup(value: object) -> object:
        if isinstance(value, dict):
            return {name: put_markup(one) for name, one in value.items()}
        if isinstance(value, list):
            return [put_markup(one) for one in value]
        return MARKUP if isinstance(value, str) else value

    def answer(route: Route) -> None:
        real = route.fetch()
        with_markup[route.request.url] = put_markup(real.json())
        route.fulfill(json=with_markup[route.request.url])

    rows = list_deliveries(page, ui)
    stream = next(one["id"] for one in rows if one["kind"] == "stream")
    page.route(ROUTE, answer)
    for path in (DELIVERIES, ENDPOINTS, f"{DELIVERIES}?delivery={rows[0]['id']}", f"{DELIVERIES}?delivery={stream}"):
        page.goto(ui.address + path)
        expect(page.locator(".shp-page")).to_contain_text("<script>")
        page.wait_for_load_state("networkidle")
        assert page.evaluate("window.hacked") is None
        for made in ("script", "img", "iframe", "a[href^='javascript:']"):
            assert page.locator(".shp-page").locator(made).count() == 0, (path, made)
    assert len(with_markup) >= 4
