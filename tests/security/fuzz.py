# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Runs every property for an equal share of the time and reports the executions.

Usage: ``python -m tests.security.fuzz --seconds 600``.

Input that made a property fail is stored in ``.hypothesis/fuzz`` and is tried first by the next run.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.database import DirectoryBasedExampleDatabase
from hypothesis.errors import HypothesisWarning

from tests.security.properties import PROPERTIES
from tests.security.properties_data import Property

DATABASE = Path(__file__).resolve().parents[2] / ".hypothesis" / "fuzz"
ROUND = 300
"""Executions between two checks of the time."""
PROGRESS_SECONDS = 15


@dataclass(kw_only=True)
class Run:
    """The result of running one property."""

    name: str
    executions: int = 0
    seconds: float = 0.0
    failure: str | None = None

    def describe(self) -> str:
        rate = self.executions / self.seconds if self.seconds else 0.0
        failures = 0 if self.failure is None else 1
        return f"{self.name:<28} {self.executions:>10} {self.seconds:>8.1f} {rate:>8.0f} {failures:>8}"


def run_property(name: str, tested: Property, *, seconds: float) -> Run:
    """Run a property until its time is over or it fails; shrinking a failure may take additional time."""
    run = Run(name=name)
    started = shown = time.monotonic()
    run.failure = run_examples(tested, run)
    while run.failure is None and time.monotonic() - started < seconds:
        run.failure = run_round(tested, run)
        run.seconds = time.monotonic() - started
        if time.monotonic() - shown > PROGRESS_SECONDS:
            shown = time.monotonic()
            print_line(f"  {name}: {run.executions} executions")
    run.seconds = time.monotonic() - started
    return run


def run_examples(tested: Property, run: Run) -> str | None:
    """Check the examples of a property; return the failure, if any."""
    for number, example in enumerate(tested.examples):
        run.executions += 1
        try:
            tested.check(**example)
        except Exception as error:  # noqa: BLE001  (any exception is a finding)
            return f"{describe_failure(error)}\nin example {number}"
    return None


def run_round(tested: Property, run: Run) -> str | None:
    """Draw new input a few hundred times; return the failure in its smallest form, if any."""

    # Without the explain phase, which traces every line: only the example is needed.
    @settings(
        max_examples=ROUND,
        deadline=None,
        derandomize=False,
        database=DirectoryBasedExampleDatabase(DATABASE / run.name),
        phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.target, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )
    @given(drawn=tested.strategy)
    def check_drawn(drawn: dict[str, object]) -> None:
        run.executions += 1
        tested.check(**drawn)

    try:
        check_drawn()
    except Exception as error:  # noqa: BLE001  (any exception is a finding)
        return describe_failure(error)
    return None


def describe_failure(error: Exception) -> str:
    """Return the error, its place and the example of hypothesis as printable text."""
    trace, place = error.__traceback__, "?"
    while trace is not None:
        code = trace.tb_frame.f_code
        place = f"{Path(code.co_filename).name}:{trace.tb_lineno} in {code.co_name}"
        trace = trace.tb_next
    text = "\n".join([f"{type(error).__name__}: {error}"[:500], f"at {place}", *getattr(error, "__notes__", ())])
    return "".join(one if one == "\n" or (one.isascii() and one.isprintable()) else ascii(one)[1:-1] for one in text)


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="for all properties together (default: 600)")
    parser.add_argument("--only", metavar="NAME", choices=sorted(PROPERTIES), help="run only this property")
    return parser.parse_args()


def report(runs: list[Run]) -> int:
    """Print the table and the failures; return the exit code."""
    print_line(f"\n{'property':<28} {'executions':>10} {'seconds':>8} {'per s':>8} {'failures':>8}")
    for run in runs:
        print_line(run.describe())
    failed = [run for run in runs if run.failure is not None]
    executions, seconds = sum(run.executions for run in runs), sum(run.seconds for run in runs)
    print_line(f"\n{executions} executions of {len(runs)} properties in {seconds:.0f} s; {len(failed)} failed")
    for run in failed:
        print_line(f"\n{run.name} failed:\n{run.failure}")
    return 1 if failed else 0


def print_line(text: str) -> None:
    print(text, flush=True)  # noqa: T201  (a command-line script)


def main() -> int:
    warnings.simplefilter("ignore", HypothesisWarning)  # some draws are large by design
    options = read_arguments()
    names = [options.only] if options.only else list(PROPERTIES)
    print_line(f"Fuzzing {len(names)} properties for {options.seconds:.0f} s with hypothesis")
    runs = []
    for name in names:
        print_line(f"{name} ...")
        runs.append(run_property(name, PROPERTIES[name], seconds=options.seconds / len(names)))
    return report(runs)


if __name__ == "__main__":
    sys.exit(main())
