"""How problems read."""

import pickle

from sidecar.settings import Problem, SettingsProblems


def test_a_problem_says_place_origin_and_remedy() -> None:
    assert str(Problem("a.b", "is missing")) == "a.b: is missing"
    assert str(Problem("a.b", "is missing", "line 3")) == "a.b (line 3): is missing"
    assert str(Problem("", "is no YAML", "line 3")) == "(line 3): is no YAML"
    assert str(Problem("", "is no file")) == "is no file"


def test_a_count_and_every_problem_on_a_line_of_its_own() -> None:
    two = SettingsProblems("x.yaml", [Problem("a", "b"), Problem("c", "d", "C")])

    assert str(two) == "x.yaml: 2 problems\n  a: b\n  c (C): d"
    assert str(SettingsProblems("x", [Problem("a", "b")])) == "x: 1 problem\n  a: b"


def test_problems_travel_between_processes() -> None:
    copy = pickle.loads(pickle.dumps(SettingsProblems("x", [Problem("a", "b")])))  # noqa: S301

    assert copy.problems == [Problem("a", "b")]
