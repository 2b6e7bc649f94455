# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Takes the pictures of the pages from a real Airflow: ``make screenshots``.

It needs Chromium. The Airflow is the one of ``make ui``, so the pictures show what a newcomer sees.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright
from rich.console import Console

from airflow_provider_hooks.sandbox.ui import serve_ui

if TYPE_CHECKING:
    from playwright.sync_api import Page

FOLDER = Path(__file__).parent / "images"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
WIDTH, HEIGHT = 1280, 800
PAGES = {
    "deliveries": "plugin/webhook-deliveries",
    "endpoints": "plugin/webhook-endpoints",
    "dag": "dags/show_deliveries/plugin/deliveries-of-dag",
}
"""The pages, and what of their address follows that of Airflow."""


def main() -> int:
    """Write each page in both themes."""
    FOLDER.mkdir(exist_ok=True)
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with (
        TemporaryDirectory() as folder,
        serve_ui(Path(folder) / "airflow", console=Console(), port=0) as ui,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        for theme in ("light", "dark"):
            page = browser.new_page(color_scheme=theme, viewport={"width": WIDTH, "height": HEIGHT})
            page.set_default_timeout(120_000)
            page.add_init_script(f"localStorage.setItem('theme', {theme!r})")
            _log_in(page, ui.address)
            for name, path in PAGES.items():
                page.goto(f"{ui.address}/{path}")
                page.locator("table tbody tr").first.wait_for()
                _take(page, f"{name}-{theme}")
            _take_details(page, ui.address, theme)
        browser.close()
    return 0


def _log_in(page: Page, address: str) -> None:
    page.goto(f"{address}/auth/login/")
    page.fill("input[name=username]", "admin")
    page.fill("input[name=password]", "admin")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "login" not in url)


def _take_details(page: Page, address: str, theme: str) -> None:
    for name, query in {"rejected": "outcome=rejected", "stream": "outcome=not_sent"}.items():
        page.goto(f"{address}/{PAGES['deliveries']}?{query}")
        links = page.locator("#deliveries tbody a[id^='delivery-']")
        links.filter(has_text="event.created" if name == "stream" else "orders.loaded").first.click()
        page.get_by_role("region", name="Delivery", exact=True).wait_for()
        _take(page, f"{name}-{theme}")


def _take(page: Page, name: str) -> None:
    page.wait_for_load_state("networkidle")
    page.screenshot(path=FOLDER / f"{name}.png")


if __name__ == "__main__":
    sys.exit(main())
