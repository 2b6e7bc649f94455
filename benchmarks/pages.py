# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The page of deliveries with a large ledger: ``python -m benchmarks.pages [--deliveries 1000000]``, from the checkout.

The ledger is on a real PostgreSQL; Airflow's API server is real, with passwords; the browser is Chromium. Measured are
the time until the first rows are on the screen, and the time of each request to the API, for an admin, who sees all
deliveries, and for a viewer, whose Dags are named in each query.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

import psycopg2
import requests
from playwright.sync_api import sync_playwright

from airflow_provider_hooks.ledger.database import Database, read_target
from airflow_provider_hooks.ledger.history import Filters, list_deliveries
from airflow_provider_hooks.ledger.schema import migrate
from airflow_provider_hooks.sandbox.local_airflow import find_port, inherit_environment, read_health, start_airflow
from benchmarks.ledger_size import DAGS, TABLES, fill
from tests.system.postgres import run_postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

TIMES = 20
USERS = {"admin": "admin", "viewer": "viewer"}
START_SECONDS = 600
AUTOVACUUM_SECONDS = 300
ADD_DAGS = f"""
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.utils.session import create_session

with create_session() as session:
    session.add(DagBundleModel(name="benchmark"))
    session.flush()
    session.add_all(DagModel(dag_id=f"dag_{{number}}", bundle_name="benchmark") for number in range({DAGS}))
"""
WATCH = """
const state = globalThis.measured = { from: 0, shown: null };
addEventListener("click", event => Object.assign(state, { from: event.timeStamp, shown: null }), true);
new MutationObserver(() => {
    if (state.shown !== null || !document.querySelector("#deliveries tbody tr")) return;
    state.shown = 0;
    requestAnimationFrame(() => requestAnimationFrame(() => { state.shown = performance.now(); }));
}).observe(document, { childList: true, subtree: true });
"""
"""Notes when the frame after the first rows is drawn: the frame with the rows is then on the screen."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deliveries", type=int, default=1_000_000)
    options = parser.parse_args()
    with run_postgres() as server, tempfile.TemporaryDirectory() as home:
        url = urlsplit(server.url.replace("+psycopg2", ""))
        connection = {
            "conn_type": "postgres",
            "host": url.hostname,
            "port": url.port,
            "login": url.username,
            "schema": url.path[1:],
        }
        database = Database(read_target("benchmark", password=None, extra={}, **connection))
        migrate(database)
        started = time.perf_counter()
        with psycopg2.connect(host=url.hostname, port=url.port, user=url.username, dbname=url.path[1:]) as filling:
            filling.autocommit = True
            fill(database, filling, options.deliveries)
        print(f"{options.deliveries:,} deliveries stored in {time.perf_counter() - started:.0f} s", flush=True)
        wait_for_autovacuum(database)
        queries = list_queries(database)
        with run_api_server(Path(home), connection) as address:
            for user in USERS:
                measure_api(address, user, queries)
            for user in USERS:
                measure_browser(address, user)
        database.close()


def wait_for_autovacuum(database: Database) -> None:
    """Wait until PostgreSQL has looked at the tables that were filled at once, as it has at tables that grew."""
    deadline = time.monotonic() + AUTOVACUUM_SECONDS
    pending = "SELECT count(*) FROM pg_stat_user_tables WHERE n_live_tup > 0 AND last_autoanalyze IS NULL"
    while database.run(f"{pending} AND relname IN ('{TABLES[0]}', '{TABLES[1]}', '{TABLES[2]}')")[0][0]:
        if time.monotonic() > deadline:
            print("autovacuum has not finished")
            return
        time.sleep(1)


@contextmanager
def run_api_server(home: Path, connection: dict[str, object]) -> Iterator[str]:
    """Run Airflow's API server, with a Dag for each of the ledger, and yield its address."""
    port = find_port()
    address = f"http://127.0.0.1:{port}"
    environment = {
        **inherit_environment(home),
        "AIRFLOW__API__BASE_URL": address,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in USERS.items()),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__SERVICE_HOOKS__LEDGER_CONN_ID": "ledger",
        "AIRFLOW_CONN_LEDGER": json.dumps(connection),
    }
    (home / "passwords.json").write_text(json.dumps({name: name for name in USERS}))
    log = home / "log"
    with log.open("ab") as output:
        for command in (["-m", "airflow", "db", "migrate"], ["-c", ADD_DAGS]):
            subprocess.run(
                [sys.executable, *command],
                env=environment,
                stdout=output,
                stderr=output,
                check=True,
                timeout=START_SECONDS,
            )
    with start_airflow("api-server", environment=environment, log=log):
        deadline = time.monotonic() + START_SECONDS
        while read_health(address) is None:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.5)
        yield address


def list_queries(database: Database) -> dict[str, dict[str, object]]:
    """Return each filter and search of the page, as the query of the API."""
    middle = datetime.now(timezone.utc) - timedelta(days=45)
    page = list_deliveries(database, filters=Filters(until=middle), limit=1)
    (one,) = page.deliveries
    day = (datetime.now(timezone.utc) - timedelta(days=1)).isoformat()
    return {
        "first page": {},
        "page far back": {"after": page.next_cursor},
        "outcome delivered": {"outcome": "delivered"},
        "outcome rejected": {"outcome": "rejected"},
        "all failed": {"outcome": ["rejected", "not_sent", "unknown"]},
        "endpoint": {"endpoint": "endpoint_0"},
        "endpoint with few": {"endpoint": "endpoint_39"},
        "endpoint without any": {"endpoint": "none"},
        "event type": {"event_type": "orders.type_3"},
        "Dag": {"dag_id": "dag_7"},
        "run of a Dag": {"dag_id": one.dag_id, "run_id": one.run_id},
        "last day": {"since": day},
        "custom period": {"since": (middle - timedelta(days=1)).isoformat(), "until": middle.isoformat()},
        "endpoint, type, failed": {
            "endpoint": "endpoint_0",
            "event_type": "orders.type_3",
            "outcome": ["rejected", "not_sent", "unknown"],
        },
        "search: event id": {"q": one.event_id},
        "search: delivery id": {"q": one.delivery_id},
        "search: its beginning": {"q": str(one.delivery_id)[:10]},
        "search: number": {"q": one.id},
        "search: nothing": {"q": "no-such-event"},
    }


def measure_api(address: str, user: str, queries: dict[str, dict[str, object]]) -> None:
    """Print the time of each query, from the request to the last byte of the response, on a connection that is open."""
    session = requests.Session()
    login = session.post(f"{address}/auth/token", json={"username": user, "password": user}, timeout=START_SECONDS)
    session.headers["Authorization"] = f"Bearer {login.json()['access_token']}"
    print(f"\nLoad average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"API, {user}: {TIMES} requests each, 50 rows, ms{'':11}{'median':>8}{'slowest':>9}{'rows':>6}")
    for name, query in queries.items():
        path = f"{address}/service-hooks/api/deliveries?{urlencode({'limit': 50, **query}, doseq=True)}"
        session.get(path, timeout=START_SECONDS)
        times = []
        for _ in range(TIMES):
            started = time.perf_counter()
            answer = session.get(path, timeout=START_SECONDS)
            times.append((time.perf_counter() - started) * 1000)
        rows = len(answer.json()["deliveries"])
        print(f"  {name:48}{statistics.median(times):8.1f}{max(times):9.1f}{rows:6}", flush=True)


def measure_browser(address: str, user: str) -> None:
    """Print the time until the first rows are on the screen."""
    chromium = shutil.which("chromium")
    assert chromium, "Chromium is needed"
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        context = browser.new_context(viewport={"width": 1400, "height": 900})
        context.set_default_timeout(START_SECONDS * 1000)
        page = context.new_page()
        page.goto(f"{address}/")
        page.fill("input[name=username]", user)
        page.fill("input[name=password]", user)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{address}/")
        page.add_init_script(WATCH)
        print(f"\nLoad average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        print(f"Chromium, {user}: until the first of 50 rows are on the screen, ms{'median':>8}{'slowest':>9}")
        loads = [load(page, address) for _ in range(TIMES + 1)]
        show("whole page load, files cached by the browser", loads[1:])
        opened = [open_softly(page) for _ in range(TIMES + 1)][1:]
        show("from a click within Airflow (Browse → Webhook deliveries)", [one for one, _, _ in opened])
        show("  of it until the page requests the rows", [one for _, one, _ in opened])
        show("  of it until their response has arrived", [one for _, _, one in opened])
        filtered = [click_filter(page) for _ in range(TIMES + 1)]
        show("from a click on a filter", filtered[1:])
        browser.close()


def show(name: str, times: list[float]) -> None:
    print(f"  {name:62}{statistics.median(times):8.0f}{max(times):9.0f}", flush=True)


def read_shown(page: Page) -> float:
    page.wait_for_function("measured.shown > 0")
    return float(page.evaluate("measured.shown - measured.from"))


def load(page: Page, address: str) -> float:
    page.goto(f"{address}/plugin/webhook-deliveries")
    return read_shown(page)


def open_softly(page: Page) -> tuple[float, float, float]:
    """Go to Airflow's list of Dags and back to the deliveries, by clicks that load no page; return the times."""
    page.get_by_role("link", name="Dags", exact=True).first.click()
    page.wait_for_selector("#deliveries", state="detached")
    page.wait_for_load_state("networkidle")
    page.get_by_role("button", name="Browse").click()
    page.get_by_role("menuitem", name="Webhook deliveries").click()
    shown = read_shown(page)
    requested, responded = page.evaluate(
        """() => {
            const isRows = one => one.name.includes("/service-hooks/api/deliveries?");
            const last = performance.getEntriesByType("resource").filter(isRows).at(-1);
            return [last.startTime - measured.from, last.responseEnd - measured.from];
        }"""
    )
    return shown, float(requested), float(responded)


def click_filter(page: Page) -> float:
    """Choose an outcome, and return the time until its rows have replaced the others."""
    if "outcome=" in page.url:
        with page.expect_response("**/service-hooks/api/deliveries?*"):
            page.locator("#outcome-all").click()
    page.wait_for_selector("#deliveries [aria-busy=false]")
    page.wait_for_load_state("networkidle")
    page.evaluate(
        """() => {
            const first = document.querySelector("#deliveries tbody tr a").id;
            const watch = () => {
                const row = document.querySelector("#deliveries tbody tr a");
                if (row === null || row.id === first) requestAnimationFrame(watch);
                else measured.filtered = performance.now();
            };
            addEventListener("click", () => requestAnimationFrame(watch), { once: true });
            measured.filtered = 0;
        }"""
    )
    page.locator("#outcome-rejected").click()
    page.wait_for_function("measured.filtered > 0")
    return float(page.evaluate("measured.filtered - measured.from"))


if __name__ == "__main__":
    main()
