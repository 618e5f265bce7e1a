"""Accounts in files: what is written reads back, whatever it is called."""

import csv
import io
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.cli.account_files import Format, format_of, read_accounts, write_accounts
from sidecar.core.subject import Account, AccountStatus, is_group, is_name
from sidecar.core.wanted_accounts import NotAccounts, WantedAccount

HOSTILE = settings(max_examples=200, derandomize=True, deadline=None)
VISIBLE = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
AWKWARD = [
    "=cmd|'/C'!A0",
    "+1",
    "-1",
    "@SUM(1)",
    "'=1",
    "''",
    "no",
    "null",
    "1e3",
    "2024-01-01",
    "~",
]
SUBJECTS = st.text(VISIBLE, min_size=1, max_size=20) | st.sampled_from(AWKWARD)
NAMES = st.text(max_size=20).filter(is_name) | st.sampled_from(
    ['a "b", c', "'=1", "'tis", "= 1", ": x", "# x", "- x", "null", "Jürgen", "\U0001f600"]
)
GROUP = st.text(VISIBLE | st.just(" "), min_size=1, max_size=8).filter(is_group)
GROUPS = st.lists(GROUP, max_size=4, unique=True).map(tuple)
ACCOUNTS = st.lists(
    st.builds(Account, st.just("id"), SUBJECTS, NAMES, GROUPS, st.sampled_from(AccountStatus)),
    max_size=5,
)
ALICE = Account("1", "alice", "Alice", ("devops", "ops"), AccountStatus.ACTIVE, 5.0, 6.0, "cli")


def wanted(account: Account) -> WantedAccount:
    return WantedAccount(account.subject, account.name, account.groups, account.status)


@pytest.mark.parametrize("form", Format)
@HOSTILE
@given(accounts=ACCOUNTS)
def test_what_is_written_reads_back(form: Format, accounts: list[Account]) -> None:
    text = write_accounts(accounts, form)

    assert read_accounts(text.encode(), form) == [wanted(each) for each in accounts]


@pytest.mark.parametrize("form", Format)
@HOSTILE
@given(name=st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_also_a_name_that_was_written_by_hand(form: Format, name: str) -> None:
    """With line ends and whatever else Redis holds; that it cannot be held is told later."""
    account = Account("1", "a", name, (), AccountStatus.ACTIVE)

    assert read_accounts(write_accounts([account], form).encode(), form) == [wanted(account)]


@HOSTILE
@given(accounts=ACCOUNTS)
def test_no_cell_is_a_formula_for_a_spreadsheet(accounts: list[Account]) -> None:
    text = write_accounts(accounts, Format.CSV)

    for line in csv.reader(io.StringIO(text, newline="")):
        assert all(cell[:1] not in tuple("=+-@\t\r") for cell in line)


def test_a_file_reads_as_people_would_write_it() -> None:
    assert write_accounts([ALICE], Format.CSV) == (
        'subject,name,status,groups\r\nalice,Alice,active,"devops,ops"\r\n'
    )
    assert write_accounts([ALICE], Format.YAML) == (
        "- subject: alice\n  name: Alice\n  status: active\n  groups:\n  - devops\n  - ops\n"
    )
    by_hand = b'\xef\xbb\xbfstatus,subject,groups\nactive,=a,"b, c"\n\ninactive,\'tis,\n'
    assert read_accounts(by_hand, Format.CSV) == [
        WantedAccount("=a", "", ("b", "c")),
        WantedAccount("'tis", status=AccountStatus.INACTIVE),
    ]
    assert read_accounts(b"[]", Format.JSON) == read_accounts(b"# none\n", Format.YAML) == []


@pytest.mark.parametrize(
    ("form", "content", "says"),
    [
        (Format.JSON, b"[", "not JSON"),
        (Format.JSON, b'[{"subject": "a", "subject": "b"}]', "duplicate"),
        (Format.JSON, b"{}", "a list of accounts"),
        (Format.YAML, b"- subject: 7\n  status: active\n", "write it in quotes"),
        (Format.YAML, b"- subject: yes\n  status: active\n", "write it in quotes"),
        (Format.YAML, b"- &a {subject: a, status: active}\n- *a\n", "anchors"),
        (Format.YAML, b"- {subject: a, subject: b, status: active}\n", "is there twice"),
        (Format.YAML, b"- {subject: a, status: active, group: [x]}\n", "'group' is none of"),
        (Format.YAML, b"\x00", "is not YAML"),
        (Format.CSV, b"", "the heading is missing"),
        (Format.CSV, b"a,b\n", "the heading is 'a,b'"),
        (Format.CSV, b"subject,subject,status\n", "the heading is"),
        (Format.CSV, b"subject,status\na\n", "account 1: 1 cells under 2 headings"),
        (Format.CSV, b'subject,status\na,"active\n', "not CSV"),
        (Format.CSV, b"subject,status\na,gone\n", "account 1: the status is 'gone'"),
        (Format.CSV, b"subject\na\n", "account 1: the status is ''"),
        (Format.CSV, b"\xff", "not UTF-8"),
    ],
)
def test_what_is_wrong_is_told(form: Format, content: bytes, says: str) -> None:
    with pytest.raises(NotAccounts, match=says):
        read_accounts(content, form)


@pytest.mark.parametrize("form", Format)
@HOSTILE
@given(
    content=st.binary(max_size=60)
    | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace"))
)
def test_whatever_the_file_is_it_is_read_or_refused(form: Format, content: bytes) -> None:
    with suppress(NotAccounts):
        assert isinstance(read_accounts(content, form), list)


def test_a_files_name_tells_its_format() -> None:
    assert format_of("a.JSON") is Format.JSON
    assert format_of("x/a.yml") is format_of("a.yaml") is Format.YAML
    assert format_of("a.csv") is Format.CSV
    assert format_of("a") is format_of("-") is format_of("json") is None
