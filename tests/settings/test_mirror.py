"""Following the gateway's changes is asked for, and needs no more than that."""

from tests.settings.desk import GOOD, Desk, changed


def test_nothing_is_followed_by_default(desk: Desk) -> None:
    assert desk.load(GOOD).mirror is None


def test_asking_for_it_is_enough(desk: Desk) -> None:
    mirror = desk.load(changed(mirror={})).mirror

    assert mirror is not None
    assert (mirror.realm, mirror.admin_groups) == ("default", ("admin",))
