# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Reads the pages and their API for the tests."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from airflow_provider_hooks.sandbox.ui import RunningUi

DELIVERIES, ENDPOINTS = "/plugin/webhook-deliveries", "/plugin/webhook-endpoints"
DAG_ID = "show_deliveries"
LIST = "Webhook deliveries, newest first"


def find_rows(page: Page) -> Locator:
    return page.get_by_role("table", name=LIST).locator("tbody tr")


def read_ids(page: Page) -> list[int]:
    """Return the numbers of the deliveries in the list, in its order."""
    links = find_rows(page).locator("a[id^='delivery-']")
    return [int(one.removeprefix("delivery-")) for one in links.evaluate_all("found => found.map(one => one.id)")]


def expect_ids(page: Page, ids: list[int]) -> None:
    """Wait until the list has these deliveries and no others, and is not about to change."""
    if not ids:
        expect(page.get_by_text("No delivery matches the filters")).to_be_visible()
        return
    links = (
        page.get_by_role("table", name=LIST).and_(page.locator("[aria-busy=false]")).locator("tbody a[id^='delivery-']")
    )
    pattern = [f"Delivery {one}:" for one in ids]
    expect(links).to_contain_text(pattern)


def list_deliveries(page: Page, ui: RunningUi, query: str = "") -> list[dict]:
    """Return the API's response to the user of a page."""
    answer = page.request.get(f"{ui.address}/service-hooks/api/deliveries?limit=200{query}")
    assert answer.ok, answer.text()
    return answer.json()["deliveries"]


def find_delivery(page: Page, ui: RunningUi, **wanted: object) -> dict:
    """Return the newest delivery whose fields have these values."""
    found = [one for one in list_deliveries(page, ui) if all(one[name] == value for name, value in wanted.items())]
    assert found, f"no delivery has {wanted}"
    return found[0]


def read_attempts(page: Page, ui: RunningUi, number: int) -> list[dict]:
    return page.request.get(f"{ui.address}/service-hooks/api/deliveries/{number}").json()["attempts"]


def list_all_received(ui: RunningUi) -> list[dict]:
    """Return the requests that the receiver of the sandbox got."""
    with urllib.request.urlopen(f"http://{ui.sandbox.address}/deliveries") as answer:
        return json.load(answer)["deliveries"]


def list_received(ui: RunningUi, delivery_id: str) -> list[dict]:
    """Return the requests of a delivery that the receiver of the sandbox got."""
    return [one for one in list_all_received(ui) if one["delivery_id"] == delivery_id]


def wait_for(is_met: Callable[[], bool], *, seconds: float = 300) -> None:
    """Wait for a condition that no page shows."""
    deadline = time.monotonic() + seconds
    while not is_met():
        assert time.monotonic() < deadline, f"the condition was not met within {seconds} s"
        time.sleep(0.5)
