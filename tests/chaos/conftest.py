"""Prints the figures of the trials after the tests."""

import pytest

from tests.chaos.figures import FIGURES, table


def pytest_configure(config: pytest.Config) -> None:
    config.stash.setdefault(FIGURES, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rows = terminalreporter.config.stash.get(FIGURES, [])
    if rows:
        terminalreporter.section("chaos")
        for line in table(rows):
            terminalreporter.write_line(line)
