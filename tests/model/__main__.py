# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Explore every configuration in full and print a table: ``make test-model``."""

from __future__ import annotations

import argparse
import sys

from tests.model.protocols import LIMITS, WEAKENED, explore_configuration, explore_variant, list_configurations

_COLUMNS = "{:<14} {:<46} {:<14} {:>6} {:>9} {:>12} {:>13} {:>10} {:>7}"
_TITLES = ("store", "processes", "policy", "faults", "states", "steps", "interleavings", "violations", "s")


def main() -> int:
    """Explore and print; return 1 if the real protocol violates an invariant, or a weakened one does not."""
    parser = argparse.ArgumentParser(prog="tests.model", description=__doc__)
    parser.add_argument("--faults", type=int, default=2, help="how many faults can happen (2)")
    parser.add_argument("--bounded", action="store_true", help="explore only what 'make test' explores")
    arguments = parser.parse_args()
    has_failed = False
    print(_COLUMNS.format(*_TITLES))
    is_full = not arguments.bounded
    for configuration in list_configurations(faults=arguments.faults, is_full=is_full):
        found = explore_configuration(configuration)
        print(
            _COLUMNS.format(
                configuration.place.name,
                configuration.name,
                configuration.policy,
                configuration.faults,
                found.states,
                found.transitions,
                f"{found.interleavings:.2e}",
                found.violations,
                f"{found.seconds:.1f}",
            ),
            flush=True,
        )
        if found.problem:
            has_failed = True
            print(found.describe())
    for title, variants in (("Without a part of the protocol", WEAKENED), ("Known limits", LIMITS)):
        print(f"\n{title}")
        for variant in variants:
            found = explore_variant(variant)
            has_failed = has_failed or not (found.problem or "").startswith(variant.violates)
            print(f"\n{variant.name} ({found.states} states, {found.seconds:.1f} s)\n{found.describe()}", flush=True)
    return int(has_failed)


if __name__ == "__main__":
    sys.exit(main())
