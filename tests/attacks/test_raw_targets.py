"""Targets on which programs disagree, sent raw: nobody without a token gets one to upstream.

And what is granted goes on octet for octet: no program between the decision and upstream has had
an opinion on it.
"""

import random

import pytest

from sidecar.core.request import Ambiguity
from sidecar.core.routes import Route
from tests.attacks.test_header_names import Client
from tests.fakes.front import running_front
from tests.fakes.recording_upstream import recording_upstream
from tests.fakes.world import World

PROTECTED = (Route("all", "/**"),)
# Ways past a rule for "/admin", and ways of writing what servers then make one of.
TRICKS = r"""
/admin /admin/ /Admin /ADMIN /admin/. /admin/./ /./admin /./admin/./ //admin //admin// ///admin
/admin/..;/ /..;/admin /.;/admin /;/admin //;//admin /admin; /admin;x=1 /admin;/x /;x=1/admin
/admin..;/ /%2e/admin /%2e%2e/admin /.%2e/admin /%252e%252e/admin /%2fadmin /%2Fadmin
/x%2f..%2fadmin /x/../admin /x/..%2fadmin /x/%2e%2e/admin /x/..%5cadmin /x\..\admin /admin\
/admin%5c /admin%20 /admin%09 /admin%0a /admin%0d%0aX:%20y /admin%00 /admin%00.js /admin%23
/admin#x /admin%3f /admin? /admin?? /admin/?x /admin?x=/../public /admin.json /admin.css
/admin.html /admin/x.js /admin/* /admin/~ /admin~ /%61dmin /%61%64%6d%69%6e /%2561dmin /adm%69n
/%c0%afadmin /%c0%ae%c0%ae/admin /%e0%80%afadmin /%ef%bc%8fadmin /%u002fadmin /admin%u0000
/adm%C4%B1n /admin%c2%a0 /admin% /admin%2 /admin%zz /x@admin /admin:80 /admin&x /admin, /!admin
""".split()  # noqa: SIM905 - a table
PIECES = r"""
/ // /. /.. /..; /; ; ;a=b %2e %2E %2f %2F %5c %5C %00 %09 %20 %23 %25 %252f %3b %3f %0a %0d
%c0%af %C3%A9 %7e %41 ? ?x # . .. ... ~ * ! $ & ' ( ) + , = : @ x admin ADMIN
""".split()  # noqa: SIM905 - a table
MADE = 200


def targets() -> list[str]:
    chance = random.Random(19)  # noqa: S311
    made: dict[str, None] = {}
    while len(made) < MADE:
        target = "/admin" + "".join(chance.choices(PIECES, k=chance.randint(1, 5)))
        if target not in TRICKS:
            made[target] = None
    return [*TRICKS, *made]


@pytest.mark.parametrize("tolerated", [frozenset(), frozenset(Ambiguity)], ids=["strict", "lax"])
async def test_a_target_goes_on_as_it_came_and_only_with_a_token(
    tolerated: frozenset[Ambiguity], capsys: pytest.CaptureFixture[str]
) -> None:
    wrong, granted = [], 0
    world = World(routes=PROTECTED, tolerated=tolerated)
    async with (
        recording_upstream() as upstream,
        running_front(upstream.url, world=world) as front,
    ):
        client = Client(front)
        bearer = front.bearer()
        for target in targets():
            upstream.forget()
            bare = f"GET {target} HTTP/1.1\r\nHost: sidecar.example\r\n".encode()
            status = await client.ask(bare + b"\r\n")
            if status not in (400, 401) or upstream.requests:
                wrong.append(f"{target}, no token: {status}")
            status = await client.ask(bare + bearer + b"\r\n\r\n")
            heard = [each.target for each in upstream.requests]
            if heard != ([target] if status == 200 else []) or status not in (200, 400):
                wrong.append(f"{target}: {status}, upstream heard {heard}")
            wrong += upstream.problems
            granted += status == 200
        client.close()

    with capsys.disabled():
        print(f"\ntargets: {granted} of {len(targets())} granted as they came")  # noqa: T201
    assert not wrong, "\n".join(wrong)
    assert len(TRICKS) == 75
    assert len(set(targets())) == 75 + MADE
    assert 20 < granted < len(targets())
