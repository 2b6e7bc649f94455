# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The pages in a real Chromium, on a real Airflow with a delivery of every outcome.

Airflow and Chromium start once in a session. A page of a test has the session of one user; when the test ends, the page
must have reported no error.
"""

from __future__ import annotations

import io
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, BrowserContext, Error, Page, expect, sync_playwright
from rich.console import Console

from airflow_provider_hooks._runtime.compat import has_provider_commands
from airflow_provider_hooks.sandbox.ui import USERS, RunningUi, serve_ui

WIDTH, HEIGHT = 1400, 900
WAIT_MS = 120_000
"""How long a page may take on a busy machine."""
RUN_SECONDS = 600
CHROMIUM = shutil.which("chromium")
PAGES_PATH = "/service-hooks/page/"
"""Where the code of the pages is; the stack of an error names it."""
LEFT_A_STREAM = "BodyStreamBuffer was aborted"
"""What Chromium reports if a page of Airflow is left while it reads a stream of task states."""

expect.set_options(timeout=WAIT_MS)


@pytest.hookimpl(tryfirst=True)  # before items are deselected by their markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningUi]:
    """A running Airflow with the sandbox, as ``make ui`` starts them."""
    if not has_provider_commands():
        pytest.skip("the pages need Airflow 3.2")
    home = tmp_path_factory.mktemp("pages") / "airflow"
    with serve_ui(home, console=Console(file=io.StringIO()), port=0) as running:
        yield running


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, which refuses to run as root with its sandbox."""
    assert CHROMIUM is not None, "chromium is not installed: make test-pages installs it"
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@dataclass(kw_only=True)
class Visitor:
    """
    A user of one Airflow, with a browser.

    :param address: of Airflow
    :param password: by default the name, as in the Airflow of ``make ui``
    """

    chromium: Browser
    address: str
    name: str
    password: str
    state: object = None
    """The cookies of the session, once the user has logged in."""

    def open_context(self, *, theme: str = "light", width: int = WIDTH, scale: float = 1) -> BrowserContext:
        """Return a window of the browser, in which the user is logged in."""
        if self.state is None:
            context = self._make_context()
            self.log_in(context.new_page())
            self.state = context.storage_state()
            context.close()
        context = self._make_context(
            storage_state=self.state,
            color_scheme=theme,
            viewport={"width": width, "height": HEIGHT},
            device_scale_factor=scale,
        )
        context.add_init_script(f"localStorage.setItem('theme', {theme!r})")
        return context

    def _make_context(self, **options) -> BrowserContext:
        context = self.chromium.new_context(**{"viewport": {"width": WIDTH, "height": HEIGHT}, **options})
        context.set_default_timeout(WAIT_MS)
        return context

    def log_in(self, page: Page) -> None:
        """Log in by the form that Airflow shows; then Airflow shows its home."""
        page.goto(f"{self.address}/")
        page.locator("input[name=username]").fill(self.name)
        page.locator("input[name=password]").fill(self.password)
        page.locator("input[name=password]").press("Enter")
        page.wait_for_url(f"{self.address}/")


@dataclass
class Watch:
    """The errors that the pages of a test report."""

    expected: tuple[str, ...] = ()
    """Parts of the errors that the test provokes."""
    errors: list[str] = field(default_factory=list)

    def follow(self, page: Page) -> None:
        page.on("console", lambda message: self.note(message.text) if message.type == "error" else None)
        page.on("pageerror", self.note_page_error)

    def note_page_error(self, error: Error) -> None:
        """Note an unhandled error, except for Airflow's own when a user leaves the page of a Dag."""
        if LEFT_A_STREAM not in str(error) or PAGES_PATH in (error.stack or ""):
            self.note(f"{error}\n{error.stack}")

    def note(self, error: str) -> None:
        if not any(part in error for part in self.expected):
            self.errors.append(error)


@pytest.fixture(scope="session")
def visitors(ui: RunningUi, chromium: Browser) -> dict[str, Visitor]:
    return {name: Visitor(chromium=chromium, address=ui.address, name=name, password=name) for name in USERS}


@pytest.fixture
def watch() -> Iterator[Watch]:
    watched = Watch()
    yield watched
    assert watched.errors == []


@pytest.fixture(scope="session")
def run_dag(ui: RunningUi) -> Callable[[str], str]:
    """Return a function that runs a Dag to its end, and returns the state of the run."""
    login = requests.post(f"{ui.address}/auth/token", json={"username": "admin", "password": "admin"}, timeout=WAIT_MS)
    headers = {"Authorization": f"Bearer {login.json()['access_token']}"}

    def run_dag(dag_id: str) -> str:
        dag = f"{ui.address}/api/v2/dags/{dag_id}"
        for method, url, body in (
            ("PATCH", dag, {"is_paused": False}),
            ("POST", f"{dag}/dagRuns", {"dag_run_id": f"of-a-test-{time.time_ns()}", "logical_date": None}),
        ):
            answer = requests.request(method, url, json=body, headers=headers, timeout=WAIT_MS)
            assert answer.ok, answer.text
        run = f"{dag}/dagRuns/{answer.json()['dag_run_id']}"
        deadline = time.monotonic() + RUN_SECONDS
        while (state := requests.get(run, headers=headers, timeout=WAIT_MS).json()["state"]) in ("queued", "running"):
            assert time.monotonic() < deadline, f"{dag_id} is {state} after {RUN_SECONDS} s"
            time.sleep(0.5)
        return state

    return run_dag


@pytest.fixture(scope="session")
def other_dag(run_dag: Callable[[str], str]) -> str:
    """A second Dag with a delivery, of the callback of a task that failed; its connection is in Airflow's database."""
    dag_id = "example_slack_alert"
    assert run_dag(dag_id) == "failed"
    return dag_id


Open = Callable[..., Page]


@pytest.fixture
def open_page(visitors: dict[str, Visitor], watch: Watch) -> Iterator[Open]:
    """Return a function that opens a page for a user: ``open_page("viewer", "/plugin/webhook-deliveries")``."""
    contexts: list[BrowserContext] = []

    def open_page(user: str | Visitor, path: str = "/", **options) -> Page:
        visitor = user if isinstance(user, Visitor) else visitors[user]
        contexts.append(visitor.open_context(**options))
        page = contexts[-1].new_page()
        watch.follow(page)
        page.goto(f"{visitor.address}{path}")
        return page

    yield open_page
    for context in contexts:
        context.close()
