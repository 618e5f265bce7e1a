"""The pages that are made from the code are those of this code, and leave nothing out."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar.core.decision import DenyReason
from sidecar.ports import UpstreamError
from tests.docs.pages.errors import errors
from tests.docs.pages.metrics import metrics, metrics_page
from tests.docs.pages.remedies import OF_CLIENTS, OF_UPSTREAM
from tests.docs.pages.settings import RESTART, paths, settings_page, variable_of
from tests.docs.pages.write import PAGES, ROOT
from tests.settings.desk import GOOD, Desk


@pytest.mark.parametrize(("name", "page"), PAGES.items(), ids=PAGES.keys())
def test_a_page_that_is_made_from_the_code_is_current(name: str, page: Callable[[], str]) -> None:
    assert (ROOT / name).read_text("utf-8") == page(), "write it anew: make docs"


def test_each_error_that_a_client_can_see_has_a_remedy_and_no_other_has() -> None:
    assert {(each.status, each.error) for each in errors()} == OF_CLIENTS.keys()
    assert set(OF_UPSTREAM) == set(UpstreamError)


def test_every_reason_stands_behind_exactly_one_error() -> None:
    behind = [reason for each in errors() for reason in each.reasons]

    assert sorted(behind) == sorted((*DenyReason, *UpstreamError))


def test_every_property_of_the_schema_is_a_row_or_a_section_of_the_page() -> None:
    page = settings_page()
    named = set(re.findall(r"^\| `([\w.\[\]]+)`", page, re.MULTILINE))
    headed = set(re.findall(r"^###? ([\w.\[\]]+)", page, re.MULTILINE))

    assert {
        path for path in paths() if path not in named | headed | {f"{h}[]" for h in headed}
    } == set()
    assert len(paths()) > 200


def test_what_needs_a_restart_is_a_setting() -> None:
    known = set(paths())

    assert known >= RESTART


@pytest.mark.parametrize(
    ("path", "text", "read"),
    [
        ("listen.port", "8443", lambda settings: settings.listen.port),
        ("issuers[].realm", "people", lambda settings: settings.issuers[0].realm),
        ("accounts.max_subjects", "7", lambda settings: settings.accounts.max_subjects),
    ],
)
def test_the_variable_of_a_setting_is_the_one_that_sets_it(
    path: str, text: str, read: Callable[[Any], object], tmp_path: Path
) -> None:
    settings = Desk(tmp_path).load(GOOD, **{variable_of(path): text})

    assert json.dumps(read(settings)).strip('"') == text


def test_each_metric_is_under_one_subject_of_the_page() -> None:
    headed = re.findall(r"^### (sidecar_\w+)$", metrics_page(), re.MULTILINE)

    assert sorted(headed) == sorted(metric.name for metric in metrics())
    assert len(headed) > 30
