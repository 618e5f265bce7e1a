from hypothesis import given
from hypothesis import strategies as st

from sidecar.fronts.hop_by_hop import END_TO_END, HOP_BY_HOP, read_options


def test_options_of_all_lines_are_read_without_case_and_blanks() -> None:
    options = read_options([b"keep-alive, X-Auth-Subject", b" \tTE ,,", b""])

    assert options == {b"keep-alive", b"x-auth-subject", b"te"}


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_any_octets_are_read_as_options_without_blanks_or_capitals(lines: list[bytes]) -> None:
    for option in read_options(lines):
        assert option
        assert option == option.strip(b" \t").lower()
        assert b"," not in option


def test_no_name_is_both_hop_by_hop_and_end_to_end() -> None:
    assert not HOP_BY_HOP & END_TO_END
    assert all(name == name.lower() for name in HOP_BY_HOP | END_TO_END)
