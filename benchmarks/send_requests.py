# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""A loop over one ``requests.Session``."""

from __future__ import annotations

import requests
from common import measured, prepare_by_hand, read_arguments, read_lines


def main() -> None:
    arguments = read_arguments()
    delivered = 0
    with measured(arguments), requests.Session() as session:
        for line in read_lines(arguments):
            headers, body = prepare_by_hand(line)
            answer = session.post(arguments.url, data=body, headers=headers, timeout=10, verify=arguments.ca or True)
            delivered += answer.status_code == 204
    assert delivered == arguments.count


if __name__ == "__main__":
    main()
