# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
One table: this package's bulk delivery against the usual alternatives, measured in one run.

Every sender is a separate process on one core, the receiver (nginx answering 204) on the other; the rounds go through
all senders in turn, and the table has medians. ``make bench`` runs it.
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
from dataclasses import dataclass, field
from pathlib import Path

from common import CONNECTIONS, RECEIVER_CORE, SECRET, SENDER_CORE, make_events
from receiver import Receiver, run_nginx
from single_task import describe, measure

HERE = Path(__file__).parent
NEEDED = {"nginx": "nginx-light", "wrk": "wrk"}
HUGE, SMALL, SHARDED = 1_000_000, 10_000, 200_000
OPERATOR, PYCURL, AIOHTTP, GO = "this operator", "bare pycurl multi loop", "aiohttp", "Go net/http"
OPERATOR_TLS, PYCURL_TLS, GO_TLS = f"{OPERATOR}, TLS", f"{PYCURL}, TLS", f"{GO}, TLS"
TARGETS = [
    (OPERATOR, PYCURL, 1.0),
    (OPERATOR_TLS, PYCURL_TLS, 1.0),
    (OPERATOR, AIOHTTP, 4.0),
    (OPERATOR, GO, 1.4),
    (OPERATOR_TLS, GO_TLS, None),
]
"""What is compared with what, and the ratio of the events per second that is wanted at least."""
MOST_MEMORY_RATIO = 1.1
"""How much more memory a million events may take than ten thousand."""


@dataclass
class Sender:
    """One row of the table."""

    name: str
    script: str
    count: int
    tls: bool = False
    operator: bool = False
    results: list[dict] = field(default_factory=list)

    def find_median(self, read) -> float:
        return statistics.median(read(result) for result in self.results)

    @property
    def rates(self) -> list[float]:
        """The events per second of each round."""
        return [result["events"] / result["seconds"] for result in self.results]

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)


class Bench:
    def __init__(self, folder: Path, home: Path, receiver: Receiver) -> None:
        self.folder, self.home, self.receiver = folder, home, receiver
        self.go_program = folder / "send_go"

    def build_go(self) -> str | None:
        """Build the Go sender; return why that cannot be done."""
        if not shutil.which("go"):
            return "Go is not installed (Debian: apt-get install golang-go)"
        done = subprocess.run(
            ["go", "build", "-o", str(self.go_program), str(HERE / "send_go.go")],
            env={**os.environ, "GOCACHE": str(self.folder / "go-cache"), "GOPROXY": "off"},
            capture_output=True,
            text=True,
            check=False,
        )
        return None if done.returncode == 0 else f"the Go sender cannot be built: {done.stderr}"

    def send_go(self, count: int, *, tls: bool) -> subprocess.Popen:
        """Start the Go sender on the core of the other senders."""
        options = [
            *("-url", self.receiver.tls_url if tls else self.receiver.url),
            *("-events", str(make_events(self.folder / f"events-{count}.jsonl", count)), "-count", str(count)),
            *("-key", SECRET, "-connections", str(CONNECTIONS), *(["-ca", self.receiver.ca_file] if tls else [])),
        ]
        return subprocess.Popen(
            ["taskset", "-c", str(SENDER_CORE), str(self.go_program), *options],
            env={**os.environ, "GOMAXPROCS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def send(self, script: str, count: int, *, tls: bool = False, shard: list[int] | None = None, core: int = 0):
        """Start a sender; give its process."""
        url = self.receiver.tls_url if tls else self.receiver.url
        events = make_events(self.folder / f"events-{count}.jsonl", count)
        options = ["--url", url, "--events", str(events), "--count", str(count), "--core", str(core)]
        options += ["--ca", self.receiver.ca_file] if tls else []
        if script == "send_operator.py":
            options += ["--home", str(self.home), "--secret", SECRET]
            options += ["--shard", json.dumps(shard)] if shard else []
        return subprocess.Popen(
            [sys.executable, str(HERE / script), *options],
            env={**os.environ, "AIRFLOW_HOME": str(self.home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, script: str, count: int, **options) -> dict:
        if script == "send_go.go":
            return read_result(self.send_go(count, **options))
        return read_result(self.send(script, count, **options))

    def run_wrk(self) -> float:
        """Return the requests per second of wrk with a constant body: the machine's limit."""
        body = (self.folder / f"events-{SMALL}.jsonl").open().readline().strip()
        script = self.folder / "post.lua"
        script.write_text(f'wrk.method = "POST"\nwrk.body = [==[{body}]==]\n')
        done = subprocess.run(
            [
                "taskset",
                "-c",
                str(SENDER_CORE),
                "wrk",
                "-t1",
                f"-c{CONNECTIONS}",
                "-d4s",
                "-s",
                str(script),
                self.receiver.url,
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        return float(next(line for line in done.stdout.splitlines() if "Requests/sec" in line).split()[1])


def read_result(process: subprocess.Popen) -> dict:
    output, errors = process.communicate(timeout=900)
    lines = [line for line in output.splitlines() if line.startswith('{"events"')]
    assert process.returncode == 0 and lines, output[-2000:] + errors[-3000:]  # noqa: PT018
    return json.loads(lines[-1])


def say(text: str) -> None:
    print(text, flush=True)


def measure_senders(bench: Bench, rounds: int) -> tuple[list[Sender], float]:
    senders = [
        Sender(OPERATOR, "send_operator.py", 200_000, operator=True),
        Sender(PYCURL, "send_pycurl.py", 200_000),
        Sender(GO, "send_go.go", 100_000),
        Sender(AIOHTTP, "send_aiohttp.py", 20_000),
        Sender("requests.Session loop", "send_requests.py", 5_000),
        Sender(OPERATOR_TLS, "send_operator.py", 200_000, tls=True, operator=True),
        Sender(PYCURL_TLS, "send_pycurl.py", 200_000, tls=True),
        Sender(GO_TLS, "send_go.go", 100_000, tls=True),
        Sender("one mapped HttpOperator task an event", "send_http_operator.py", 40),
    ]
    if problem := bench.build_go():
        say(f"Without the rows for Go: {problem}")
        senders = [sender for sender in senders if sender.script != "send_go.go"]
    limits = []
    for number in range(1, rounds + 1):
        for sender in senders:
            started = time.monotonic()
            sender.results.append(bench.run(sender.script, sender.count, tls=sender.tls))
            rate = sender.results[-1]["events"] / sender.results[-1]["seconds"]
            took = time.monotonic() - started
            say(f"round {number}/{rounds}  {sender.name:<40} {rate:>10,.0f} events/s  {took:.0f} s")
        limits.append(bench.run_wrk())
        say(f"round {number}/{rounds}  {'wrk, a constant body':<40} {limits[-1]:>10,.0f} requests/s")
    return senders, statistics.median(limits)


def draw_table(senders: list[Sender], limit: float) -> str:
    ours = {sender.tls: sender.rate for sender in senders if sender.operator}
    lines = [
        "| sender | events/s | CPU µs an event | peak memory, MB | this operator is |",
        "| --- | --- | --- | --- | --- |",
    ]
    for sender in senders:
        cpu = sender.find_median(lambda result: result["cpu"] / result["events"] * 1e6)
        memory = sender.find_median(lambda result: result["memory"]) / 1e6
        ratio = ours[sender.tls] / sender.rate
        shown = f"{memory:,.0f}" if memory else ""
        lines.append(f"| {sender.name} | {sender.rate:,.0f} | {cpu:,.1f} | {shown} | {ratio:,.2f} times |")
    lines.append(
        f"| wrk, a constant body (the machine's limit) | {limit:,.0f} | | | {ours[False] / limit:,.2f} times |"
    )
    return "\n".join(lines)


def describe_ratios(senders: list[Sender]) -> str:
    """Compare senders round by round, so that a machine that becomes slower meanwhile does not decide."""
    by_name = {sender.name: sender for sender in senders}
    lines = []
    for name, other, wanted in TARGETS:
        if other not in by_name:
            lines.append(f"{name} / {other}: not measured")
            continue
        ratios = [ours / theirs for ours, theirs in zip(by_name[name].rates, by_name[other].rates, strict=True)]
        target = f", target: at least {wanted}" if wanted else ""
        line = (
            f"median {statistics.median(ratios):.2f} of {len(ratios)} rounds ({min(ratios):.2f} to {max(ratios):.2f})"
        )
        lines.append(f"{name} / {other}: {line}{target}")
    return "\n".join(lines)


def measure_memory(bench: Bench, rounds: int) -> str:
    """Compare the memory of a million events with that of ten thousand, round by round."""
    ratios = []
    for number in range(1, rounds + 1):
        peaks = {size: bench.run("send_operator.py", size)["memory"] for size in (SMALL, HUGE)}
        ratios.append(peaks[HUGE] / peaks[SMALL])
        line = ", ".join(f"{size:,} events {peak / 1e6:.1f} MB" for size, peak in peaks.items())
        say(f"round {number}/{rounds}  peak memory: {line}")
    line = f"median {statistics.median(ratios):.3f} of {rounds} rounds, target: at most {MOST_MEMORY_RATIO}"
    return f"memory for {HUGE:,} events / {SMALL:,}: {line}"


def measure_sizes(bench: Bench, sizes: list[int]) -> dict[int, dict]:
    runs = {}
    for size in sizes:
        runs[size] = bench.run("send_operator.py", size)
        grown = (runs[size]["memory"] - runs[size]["memory_before"]) / 1e6
        rate = size / runs[size]["seconds"]
        peak = runs[size]["memory"] / 1e6
        say(f"{size:>9,} events: {rate:>8,.0f}/s, peak {peak:,.1f} MB, {grown:,.1f} MB above an idle task")
    return runs


def draw_plot(runs: dict[int, dict], path: Path) -> None:
    import matplotlib as mpl  # noqa: PLC0415  (only this picture needs it)

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    sizes = sorted(runs)
    figure, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(8, 6), constrained_layout=True)
    above.plot(sizes, [size / runs[size]["seconds"] for size in sizes], marker="o", color="#2a6f97")
    above.set(ylabel="events per second", title="Bulk delivery: one task, one core, every guard and claim on")
    below.plot(sizes, [runs[size]["memory"] / 1e6 for size in sizes], marker="o", color="#9b2226", label="peak")
    below.plot(
        sizes, [runs[size]["memory_before"] / 1e6 for size in sizes], linestyle="--", color="#999999", label="idle task"
    )
    below.set(xlabel="events", ylabel="resident memory, MB", xscale="log")
    for axis in (above, below):
        axis.set_ylim(0, axis.get_ylim()[1] * 1.1)
        axis.grid(alpha=0.3)
    below.legend()
    figure.savefig(path, dpi=110)


def measure_shards(folder: Path, home: Path, rounds: int) -> dict[str, float]:
    """
    Return how many times as fast two shards on two cores are as one, by what the one was given.

    The receiver of two shards is on the same two cores. So is it with one shard on one core; the other one
    has the second core for its receiver, which leaves the two shards less than a core each in comparison.
    """
    ratios: dict[str, list[float]] = {"one core": [], "one core and another for its receiver": []}
    with (
        run_nginx(folder / "same", cores=(SENDER_CORE,)) as same,
        run_nginx(folder / "other", cores=(RECEIVER_CORE,)) as other,
        run_nginx(folder / "shared", cores=(SENDER_CORE, RECEIVER_CORE)) as shared,
    ):
        for number in range(1, rounds + 1):
            two = Bench(folder, home, shared)
            cores = (SENDER_CORE, RECEIVER_CORE)
            both = [two.send("send_operator.py", SHARDED, shard=[core, 2], core=core) for core in cores]
            together = SHARDED / max(read_result(process)["seconds"] for process in both)
            for given, receiver in zip(ratios, (same, other), strict=True):
                one = SHARDED / Bench(folder, home, receiver).run("send_operator.py", SHARDED)["seconds"]
                ratios[given].append(together / one)
                line = f"two shards {together:,.0f} events/s, one on {given} {one:,.0f}"
                say(f"round {number}/{rounds}  {line}: {ratios[given][-1]:.2f} times")
    return {given: statistics.median(found) for given, found in ratios.items()}


def make_home(folder: Path) -> Path:
    home = folder / "airflow"
    home.mkdir()
    subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"],
        env={**os.environ, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"},
        check=True,
        capture_output=True,
    )
    return home


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--plot", type=Path, default=HERE.parent / "docs" / "images" / "streams.png")
    parser.add_argument("--parts", default="senders,memory,sizes,shards,single")
    arguments = parser.parse_args()
    missing = [name for name in NEEDED if not shutil.which(name)]
    if missing:
        say(f"Needed, and not there: {', '.join(missing)}. On Debian:")
        say(f"  apt-get install {' '.join(NEEDED[name] for name in missing)}")
        return 1
    parts = arguments.parts.split(",")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        home = make_home(folder)
        make_events(folder / f"events-{SMALL}.jsonl", SMALL)
        with run_nginx(folder / "nginx") as receiver:
            bench = Bench(folder, home, receiver)
            if "senders" in parts:
                senders, limit = measure_senders(bench, arguments.rounds)
                say(f"\n{draw_table(senders, limit)}\n\n{describe_ratios(senders)}\n")
            if "sizes" in parts:
                runs = measure_sizes(bench, [1_000, SMALL, 100_000, HUGE])
                draw_plot(runs, arguments.plot)
            if "memory" in parts:
                say(measure_memory(bench, arguments.rounds) + "\n")
            if "single" in parts:
                say(describe(measure(home, receiver.url, times=40)) + "\n")
        if "shards" in parts:
            for given, ratio in measure_shards(folder, home, arguments.rounds).items():
                say(f"two shards on two cores, the receiver there too: {ratio:.2f} times one on {given}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
