# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Makes the pictures of the docs: ``make screenshots``.

It needs Chromium and Graphviz. The pictures of the pages come from the Airflow of ``make ui``, and those of the
tutorial from an Airflow with the Dag and the settings of ``docs/tutorial.md``. The diagrams are drawn from
``docs/diagrams``.
``screenshots.py diagrams``, ``pages`` or ``tutorial`` makes these only.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright
from rich.console import Console

from airflow_provider_hooks.sandbox.local_airflow import (
    DemoError,
    find_port,
    inherit_environment,
    read_health,
    run_airflow,
    start_airflow,
)
from airflow_provider_hooks.sandbox.server import Sandbox, serve_sandbox
from airflow_provider_hooks.sandbox.ui import serve_ui

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from playwright.sync_api import Browser, Page

FOLDER = Path(__file__).parent / "images"
DIAGRAMS = Path(__file__).parent / "diagrams"
TUTORIAL = Path(__file__).parent / "tutorial.md"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
WIDTH, HEIGHT = 1280, 800
LIST_HEIGHT, RECEIVER_WIDTH = 480, 1000
SANDBOX_PORT = int(os.environ.get("SANDBOX_PORT", "8099"))
"""By default the one that the tutorial names; the page of the sandbox shows it."""
WAIT_SECONDS = 300
PAGES = {
    "deliveries": "plugin/webhook-deliveries",
    "endpoints": "plugin/webhook-endpoints",
    "dag": "dags/show_deliveries/plugin/deliveries-of-dag",
}
"""The pages, and what of their address follows that of Airflow."""


def main(arguments: list[str]) -> int:
    """Make the pictures of the parts that the arguments name; by default of all."""
    parts = {"diagrams": draw_diagrams, "pages": take_pages, "tutorial": take_tutorial}
    FOLDER.mkdir(exist_ok=True)
    for name in arguments or parts:
        parts[name]()
    return 0


# The diagrams


def draw_diagrams() -> None:
    """Draw each diagram with Graphviz."""
    dot = shutil.which("dot")
    if dot is None:
        sys.exit("dot is not installed: install Graphviz, such as by apt-get install graphviz")
    for path in sorted(DIAGRAMS.glob("*.dot")):
        picture = FOLDER / f"{path.stem}.svg"
        subprocess.run([dot, "-Tsvg", f"-o{picture}", str(path)], check=True)  # noqa: S603  (our own file)


# The browser


@contextmanager
def _open_browser() -> Iterator[Browser]:
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


def _open_page(browser: Browser, *, theme: str = "light", width: int = WIDTH, height: int = HEIGHT) -> Page:
    page = browser.new_page(color_scheme=theme, viewport={"width": width, "height": height})
    page.set_default_timeout(120_000)
    page.add_init_script(f"localStorage.setItem('theme', {theme!r})")
    return page


def _take(page: Page, name: str, *, is_whole: bool = False) -> None:
    page.wait_for_load_state("networkidle")
    page.screenshot(path=FOLDER / f"{name}.png", full_page=is_whole)


# The pages


def take_pages() -> None:
    """Write each page in both themes."""
    with (
        TemporaryDirectory() as folder,
        serve_ui(Path(folder) / "airflow", console=Console(), port=0) as ui,
        _open_browser() as browser,
    ):
        for theme in ("light", "dark"):
            page = _open_page(browser, theme=theme)
            _log_in(page, ui.address)
            for name, path in PAGES.items():
                page.goto(f"{ui.address}/{path}")
                page.locator("table tbody tr").first.wait_for()
                _take(page, f"{name}-{theme}")
            _take_details(page, ui.address, theme)


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


# The tutorial


@dataclass(frozen=True, kw_only=True)
class _Tutorial:
    """The Airflow and the sandbox of the tutorial, while they run."""

    address: str
    """Of Airflow's API server."""
    sandbox: Sandbox
    environment: Mapping[str, str] = field(repr=False)
    log: Path

    def run(self, *arguments: str) -> None:
        """Run a command of Airflow; raises ``DemoError`` if it fails."""
        run_airflow(arguments, title=f"airflow {arguments[0]}", environment=self.environment, log=self.log)

    def connect(self, path: str) -> None:
        """Make the connection lead to a path of the receiver, as the commands of the tutorial do."""
        url = f"http://{self.sandbox.address}/receiver/{path}"
        password = self.environment["SANDBOX_SECRET"]
        extra = '{"scheme": "standard_webhooks"}'
        of_type, of_url = ("--conn-type", "service_hook"), ("--conn-host", url)
        self.run("connections", "add", "partner", *of_type, *of_url, "--conn-password", password, "--conn-extra", extra)

    def count(self) -> int:
        """Return how many requests the receiver got."""
        return len(self.sandbox.state.list_deliveries())


def take_tutorial() -> None:
    """Do what the tutorial says, and write the pictures of its steps."""
    with TemporaryDirectory() as folder, _open_browser() as browser, ExitStack() as stack:
        tutorial = _start_tutorial(stack, Path(folder))
        _wait(lambda: _succeeds(tutorial, "dags", "details", "orders"))
        receiver = _open_page(browser, width=RECEIVER_WIDTH, height=LIST_HEIGHT)
        page = _open_page(browser, height=LIST_HEIGHT)

        tutorial.connect("standard_webhooks")
        tutorial.run("dags", "trigger", "orders")
        _wait(lambda: tutorial.count() == 1)
        _open_list(page, tutorial.address, outcome="delivered")
        page.goto(f"{tutorial.address}/{PAGES['deliveries']}")
        page.locator("#deliveries tbody tr").first.wait_for()
        _take(page, "tutorial-delivered")
        receiver.goto(f"http://{tutorial.sandbox.address}/")
        _take(receiver, "tutorial-sandbox", is_whole=True)

        tutorial.run("connections", "delete", "partner")
        tutorial.connect("standard_webhooks/answer/503")
        tutorial.run("dags", "trigger", "orders")
        _wait(lambda: tutorial.count() == 2)  # noqa: PLR2004
        page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
        _open_list(page, tutorial.address, outcome="rejected")
        page.locator("#deliveries tbody a[id^='delivery-']").first.click()
        page.get_by_role("button", name="Resend…").wait_for()
        _take(page, "tutorial-rejected")

        tutorial.run("connections", "delete", "partner")
        tutorial.connect("standard_webhooks")
        page.get_by_role("button", name="Resend…").click()
        dialog = page.get_by_role("alertdialog")
        dialog.get_by_role("button", name="Resend", exact=True).click()
        dialog.get_by_role("button", name="Close").first.click()
        _wait(lambda: tutorial.count() == 3)  # noqa: PLR2004
        page.get_by_role("heading", name="delivered").first.wait_for()
        _take(page, "tutorial-resent")
        receiver.reload()
        _take(receiver, "tutorial-redelivery", is_whole=True)


def _start_tutorial(stack: ExitStack, folder: Path) -> _Tutorial:
    """Start the receiver and an Airflow with the Dag and the settings that the text of the tutorial has."""
    text = TUTORIAL.read_text()
    (dag,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    settings = dict(re.findall(r"^export (\w+)=(\S+)$", text, re.MULTILINE))
    home, log = folder / "airflow", folder / "airflow.log"
    (home / "dags").mkdir(parents=True)
    (home / "dags" / "orders.py").write_text(dag)
    api, *logs = (find_port() for _ in range(3))
    address = f"http://127.0.0.1:{api}"
    environment = {
        **inherit_environment(home),
        **settings,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS": f"127.0.0.1:{SANDBOX_PORT}",
        # Not those of an Airflow that runs already.
        "AIRFLOW__API__BASE_URL": address,
        "AIRFLOW__API__PORT": str(api),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(logs[0]),
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(logs[1]),
    }
    secrets = (settings["SANDBOX_SECRET"],)
    sandbox = stack.enter_context(serve_sandbox(port=SANDBOX_PORT, receiver_secrets=secrets))
    stack.enter_context(start_airflow("standalone", environment=environment, log=log))
    _wait(lambda: read_health(address) is not None)
    return _Tutorial(address=address, sandbox=sandbox, environment=environment, log=log)


def _open_list(page: Page, address: str, *, outcome: str) -> None:
    """Open the list of the deliveries with an outcome when there is one."""
    row = page.locator("#deliveries tbody a[id^='delivery-']").first

    def has_row() -> bool:
        page.goto(f"{address}/{PAGES['deliveries']}?outcome={outcome}")
        page.wait_for_load_state("networkidle")
        return row.is_visible()

    _wait(has_row)


def _succeeds(tutorial: _Tutorial, *arguments: str) -> bool:
    try:
        tutorial.run(*arguments)
    except DemoError:
        return False
    return True


def _wait(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so after {WAIT_SECONDS} s")
        time.sleep(2)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
