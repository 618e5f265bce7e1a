"""A file is read strictly, and whatever is wrong with it says where."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sidecar.settings import SettingsProblems, load
from sidecar.settings.yaml_file import Document, read_yaml, read_yaml_file
from tests.settings.desk import Desk


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("upstream: {url: a\n", "is not YAML: expected ',' or '}', but got '<stream end>'"),
        ("a: b\n c: d", "(line 2, column 3): is not YAML: mapping values are not allowed here"),
        ("- a\n- b\n", "expected a mapping of names to values"),
        ("just text", "expected a mapping of names to values"),
        ("workers: 1\nworkers: 2\n", "workers (line 2): is there twice; keep one of them"),
        ("log:\n  level: info\n  level: debug\n", "log.level (line 3): is there twice"),
        ("a: &x {b: 1}\nc: *x\n", "anchors"),
        ("a: &x [*x]\n", "anchors"),
        ("? [a]\n: b\n", "a name has to be a text"),
        ("a: " + "[" * 50 + "]" * 50, "nesting"),
        ("a: " + "[" * 5000, "is not YAML"),
        ("a: b\n--- \nc: d\n", "is not YAML"),
        ("<<: {workers: 2}\n", "<< (line 1): is no setting"),
        ("\x00", "is not YAML"),
        ("x" * 1048577, "larger than 1048576 bytes"),
    ],
)
def test_a_file_that_is_no_mapping_says_where(desk: Desk, text: str, says: str) -> None:
    assert any(says in problem for problem in desk.problems(text))


@pytest.mark.parametrize(
    "value",
    [
        "2001-99-99",
        "!!int ''",
        "!!float ''",
        "!!bool maybe",
        "!!timestamp x",
        "!!binary \u00e4",
        "!!python/name:os.system x",
        "!mine x",
        "9" * 5000,
    ],
)
def test_a_value_that_is_not_what_it_looks_like_says_where(desk: Desk, value: str) -> None:
    said = desk.problems(f"# a comment\nworkers: {value}\n")

    assert (
        "workers (line 2): is not what it looks like; write it in quotes, without a tag" in said[0]
    )


@pytest.mark.parametrize(
    "secret", ["*hunter2", "!hunter2 x", "!hunter2!x y", "&hunter2 [", "@hunter2", "%hunter2"]
)
def test_a_password_that_is_no_yaml_is_not_quoted(desk: Desk, secret: str) -> None:
    said = desk.problems(f"accounts:\n  url: redis://a\n  password: {secret}\n")

    assert said
    assert "hunter2" not in repr(said)


def test_each_setting_has_its_line(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("a: 1\nb:\n  - c: 2\n    d: 3\n")
    document = read_yaml_file(file)

    assert document.values == {"a": 1, "b": [{"c": 2, "d": 3}]}
    assert document.lines == {("a",): 1, ("b",): 2, ("b", 0, "c"): 3, ("b", 0, "d"): 4}


def test_a_text_may_be_used_twice(tmp_path: Path) -> None:
    """An anchor on a single value cannot grow."""
    file = tmp_path / "a.yaml"
    file.write_text("a: &x text\nb: *x\n")

    assert read_yaml_file(file).values == {"a": "text", "b": "text"}


@pytest.mark.parametrize("name", ["nowhere.yaml", "."])
def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsProblems, match="cannot be read: "):
        load(tmp_path / name, {})


def test_an_empty_file_lacks_what_must_be_there(desk: Desk) -> None:
    said = desk.problems("")

    assert [problem.partition(":")[0] for problem in said] == [
        "upstream",
        "accounts",
        "issuers",
        "routes",
    ]


@given(st.binary(max_size=200))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_octets_are_refused(desk: Desk, octets: bytes) -> None:
    desk.file.write_bytes(octets)
    with pytest.raises(SettingsProblems):
        load(desk.file, {})


@given(st.text("{}[]:,&*!|>'\"%@#-?<a1 \n\t\u00e4", max_size=60))
def test_any_text_of_yaml_signs_is_read_or_is_a_problem(text: str) -> None:
    document = Document()
    value = read_yaml(text, document)

    assert all(str(problem) for problem in document.problems)
    assert value is None or isinstance(value, str | int | float | list | dict)
