# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Each page in both themes: no serious finding of axe-core, dark where it must be, and not wider than its window."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from airflow_provider_hooks.sandbox.ui import RunningUi
from tests.pages.views import DAG_ID, DELIVERIES, ENDPOINTS, find_delivery, find_rows

THEMES = ("light", "dark")
SERIOUS = ("serious", "critical")
PAGE = ".shp-page"
DIALOG = "[role=alertdialog]"
HAS_NO_TRANSITION = """() => document.getAnimations().every(
    one => one.playState !== "running" || one.effect.getTiming().iterations === Infinity
)"""
Show = Callable[[Page, RunningUi], None]


def show_details(**wanted: object) -> Show:
    def show(page: Page, ui: RunningUi) -> None:
        one = find_delivery(page, ui, **wanted)
        page.goto(f"{ui.address}{DELIVERIES}?delivery={one['id']}")
        expect(
            page.get_by_role("region", name="Attempts").or_(page.get_by_role("region", name="Stream", exact=True)).first
        ).to_be_visible()

    return show


def show_list(page: Page, ui: RunningUi) -> None:
    page.goto(ui.address + DELIVERIES)
    expect(find_rows(page).first).to_be_visible()


def show_no_match(page: Page, ui: RunningUi) -> None:
    page.goto(f"{ui.address}{DELIVERIES}?q=no-such-event")
    expect(page.get_by_text("No delivery matches the filters")).to_be_visible()


def show_tab(page: Page, ui: RunningUi) -> None:
    page.goto(f"{ui.address}/dags/{DAG_ID}")
    page.get_by_role("link", name="Deliveries", exact=True).click()
    expect(find_rows(page).first).to_be_visible()


def show_failed_events(page: Page, ui: RunningUi) -> None:
    show_details(kind="stream")(page, ui)
    expect(page.get_by_role("table", name="Failed events of the stream")).to_be_visible()


def show_endpoints(page: Page, ui: RunningUi) -> None:
    page.goto(ui.address + ENDPOINTS)
    expect(page.get_by_role("table", name="Endpoints")).to_be_visible()


def show_hooks(page: Page, ui: RunningUi) -> None:
    show_endpoints(page, ui)
    page.get_by_role("button", name="Show hooks of akinon_registry").click()
    expect(
        page.get_by_text("The platform has no hooks").or_(page.get_by_role("table", name="Hooks of akinon_registry"))
    ).to_be_visible()


def show_pause(page: Page, ui: RunningUi) -> None:
    show_endpoints(page, ui)
    page.get_by_role("button", name="Pause warehouse").click()
    expect(page.get_by_role("alertdialog")).to_be_visible()


def show_resend(page: Page, ui: RunningUi) -> None:
    show_list(page, ui)
    page.get_by_label("Select all deliveries of this page").check()
    page.get_by_role("button", name="Resend ", exact=False).first.click()
    expect(page.get_by_role("alertdialog")).to_contain_text("cleared, nothing downstream")


def show_mark(page: Page, ui: RunningUi) -> None:
    show_list(page, ui)
    one = find_delivery(page, ui, task_id="being_sent")
    page.get_by_label(f"Select delivery {one['id']}", exact=True).check()
    page.get_by_role("button", name="Mark 1 as received").click()
    expect(page.get_by_role("alertdialog")).to_contain_text("Nothing is sent now")


def show_error(page: Page, ui: RunningUi) -> None:
    page.route("**/service-hooks/api/**", lambda route: route.fulfill(status=503, json={"detail": "down"}))
    page.goto(ui.address + DELIVERIES)
    expect(page.get_by_role("alert").filter(has_text="HTTP 503")).to_be_visible()


PAGES: dict[str, Show] = {
    "list": show_list,
    "no match": show_no_match,
    "tab": show_tab,
    "delivered": show_details(task_id="delivered"),
    "rejected": show_details(task_id="rejected", origin="task"),
    "unknown": show_details(task_id="unknown"),
    "command": show_details(origin="command"),
    "stream": show_failed_events,
    "endpoints": show_endpoints,
    "hooks": show_hooks,
    "pause": show_pause,
    "resend": show_resend,
    "mark": show_mark,
    "error": show_error,
}
IN_A_DIALOG = ("pause", "resend", "mark")
FITTING = [name for name in PAGES if name != "tab"]
"""Airflow itself makes the pages of a Dag, and so its tabs, 1280 px wide in a narrower window."""


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_serious(open_page, watch, ui, name, theme):
    watch.expected = ("status of 503",) if name == "error" else ()
    page = open_page("admin", theme=theme)
    PAGES[name](page, ui)
    page.wait_for_function(HAS_NO_TRANSITION)
    found = Axe().run(page, context=DIALOG if name in IN_A_DIALOG else PAGE).response
    assert found["passes"] or found["violations"]
    faults = [
        (one["id"], one["impact"], [node["html"][:200] for node in one["nodes"]][:3])
        for one in found["violations"]
        if one["impact"] in SERIOUS
    ]
    assert faults == []


def test_the_dark_theme_is_dark(open_page, ui):
    for theme in THEMES:
        page = open_page("viewer", theme=theme)
        show_list(page, ui)
        assert (
            measure_lightness(page, "background-color") > 0.9
            if theme == "light"
            else measure_lightness(page, "background-color") < 0.2
        )
        assert measure_lightness(page, "color") < 0.3 if theme == "light" else measure_lightness(page, "color") > 0.7


def measure_lightness(page: Page, prop: str) -> float:
    """Return how light a color of the table is, 0 to 1; a background is that of the element behind it that has one."""
    return page.evaluate(
        """prop => {
            const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
            let element = document.querySelector(".shp-table");
            const read = () => {
                context.clearRect(0, 0, 1, 1);
                context.fillStyle = getComputedStyle(element).getPropertyValue(prop);
                context.fillRect(0, 0, 1, 1);
                return [...context.getImageData(0, 0, 1, 1).data];
            };
            let color = read();
            while (color[3] < 255 && element.parentElement) {
                element = element.parentElement;
                color = read();
            }
            return (color[0] + color[1] + color[2]) / 3 / 255;
        }""",
        prop,
    )


@pytest.mark.parametrize(("width", "scale"), [(700, 2), (360, 1)], ids=["200 % of 1400 px", "360 px"])
@pytest.mark.parametrize("name", FITTING)
def test_no_page_is_wider_than_its_window(open_page, watch, ui, name, width, scale):
    watch.expected = ("status of 503",) if name == "error" else ()
    page = open_page("admin", width=width, scale=scale)
    PAGES[name](page, ui)
    assert find_wide(page, DIALOG if name in IN_A_DIALOG else PAGE) == []


def find_wide(page: Page, selector: str) -> list[str]:
    """Return the elements that scroll horizontally: the document, or one around the page; tables may scroll."""
    return page.evaluate(
        """selector => {
            const page = document.querySelector(selector);
            const found = [];
            for (let one = page; one; one = one.parentElement) {
                const isRoot = one === document.documentElement;
                const scrolls = isRoot || ["auto", "scroll"].includes(getComputedStyle(one).overflowX);
                const isWide = one.scrollWidth > one.clientWidth + 1;
                if (scrolls && isWide) found.push(`${one.className}: ${one.scrollWidth} > ${one.clientWidth}`);
            }
            const { right } = page.getBoundingClientRect();
            if (right > innerWidth + 1) found.push(`the page ends at ${right} of ${innerWidth}`);
            return found;
        }""",
        selector,
    )
