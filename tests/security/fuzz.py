# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Runs every property for its share of the time and reports how often: ``python tests/security/fuzz.py --seconds 600``.

Whatever made a property fail is kept under ``.hypothesis/fuzz`` and is tried first the next time.
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
"""Executions between two looks at the clock."""
PROGRESS_SECONDS = 15


@dataclass(kw_only=True)
class Run:
    """What came of running one property."""

    name: str
    executions: int = 0
    seconds: float = 0.0
    failure: str | None = None

    def describe(self) -> str:
        rate = self.executions / self.seconds if self.seconds else 0.0
        failures = 0 if self.failure is None else 1
        return f"{self.name:<28} {self.executions:>10} {self.seconds:>8.1f} {rate:>8.0f} {failures:>8}"


def run_property(name: str, one: Property, *, seconds: float) -> Run:
    """Run a property until its time is over or it fails; a failure is shrunk, which may take longer."""
    run = Run(name=name)
    started = shown = time.monotonic()
    run.failure = run_examples(one, run)
    while run.failure is None and time.monotonic() - started < seconds:
        run.failure = run_round(one, run)
        run.seconds = time.monotonic() - started
        if time.monotonic() - shown > PROGRESS_SECONDS:
            shown = time.monotonic()
            say(f"  {name}: {run.executions} executions")
    run.seconds = time.monotonic() - started
    return run


def run_examples(one: Property, run: Run) -> str | None:
    """Try what is known to be hard; return what was found."""
    for number, example in enumerate(one.examples):
        run.executions += 1
        try:
            one.check(**example)
        except Exception as error:  # noqa: BLE001  (whatever is raised is what was looked for)
            return f"{describe_failure(error)}\nin number {number} of its examples"
    return None


def run_round(one: Property, run: Run) -> str | None:
    """Draw anew some hundred times; return what was found, in its smallest form."""

    # Explaining a failure would trace every line that runs, and it is the example that is wanted.
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
    @given(drawn=one.strategy)
    def holds(drawn: dict[str, object]) -> None:
        run.executions += 1
        one.check(**drawn)

    try:
        holds()
    except Exception as error:  # noqa: BLE001  (whatever is raised is what was looked for)
        return describe_failure(error)
    return None


def describe_failure(error: Exception) -> str:
    """Say what was raised where, and hypothesis' own note of the example; all in characters that can be shown."""
    trace, place = error.__traceback__, "?"
    while trace is not None:
        code = trace.tb_frame.f_code
        place = f"{Path(code.co_filename).name}:{trace.tb_lineno} in {code.co_name}"
        trace = trace.tb_next
    told = "\n".join([f"{type(error).__name__}: {error}"[:500], f"at {place}", *getattr(error, "__notes__", ())])
    return "".join(one if one == "\n" or (one.isascii() and one.isprintable()) else ascii(one)[1:-1] for one in told)


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="for all properties together (default: 600)")
    parser.add_argument("--only", metavar="NAME", choices=sorted(PROPERTIES), help="run this property alone")
    return parser.parse_args()


def report(runs: list[Run]) -> int:
    """Show the table and the failures; return the exit code."""
    say(f"\n{'property':<28} {'executions':>10} {'seconds':>8} {'per s':>8} {'failures':>8}")
    for run in runs:
        say(run.describe())
    failed = [run for run in runs if run.failure is not None]
    executions, seconds = sum(run.executions for run in runs), sum(run.seconds for run in runs)
    say(f"\n{executions} executions of {len(runs)} properties in {seconds:.0f} s; {len(failed)} failed")
    for run in failed:
        say(f"\n{run.name} failed:\n{run.failure}")
    return 1 if failed else 0


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201  (a script that people run)


def main() -> int:
    warnings.simplefilter("ignore", HypothesisWarning)  # some draws are large, which is meant
    options = read_arguments()
    names = [options.only] if options.only else list(PROPERTIES)
    say(f"Fuzzing {len(names)} properties for {options.seconds:.0f} s with hypothesis")
    runs = []
    for name in names:
        say(f"{name} ...")
        runs.append(run_property(name, PROPERTIES[name], seconds=options.seconds / len(names)))
    return report(runs)


if __name__ == "__main__":
    sys.exit(main())
