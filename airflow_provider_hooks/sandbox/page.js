// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The airflow-provider-hooks authors
"use strict";

// The order of the counts in the data-state attribute of the page.
const COUNTS = ["received", "verified", "delivered", "duplicates", "registered"];
const INTERVAL = 1000;

// Replace the deliveries by those of the current page; what is open stays open. The server escapes every value.
async function reload() {
  const page = new DOMParser().parseFromString(await (await fetch("/")).text(), "text/html");
  for (const one of document.querySelectorAll("details")) {
    const same = page.getElementById(one.id);
    if (same) same.open = one.open;
  }
  document.title = page.title;
  document.querySelector("main").replaceWith(document.adoptNode(page.querySelector("main")));
}

async function update() {
  try {
    const counts = await (await fetch("/deliveries?limit=0")).json();
    const state = COUNTS.map((name) => counts[name]).join(",");
    if (state !== document.querySelector("main").dataset.state) await reload();
    document.documentElement.classList.add("is-live");
  } catch {
    document.documentElement.classList.remove("is-live");
  }
  setTimeout(update, INTERVAL);
}

update();
