"""The OpenAPI document says what the table answers, and can be read by who has not signed in."""

from typing import Any

from tests.admin.office import Office


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [each for member in value.values() for each in references(member)]
    if isinstance(value, list):
        return [each for member in value for each in references(member)]
    return []


async def described(office: Office) -> dict[str, Any]:
    code, document = await office.ask("GET", "/api/openapi.json", credentials=None)
    assert code == 200
    assert isinstance(document, dict)
    return document


async def test_every_operation_is_described_and_no_other() -> None:
    office = Office()
    async with office.listening():
        document = await described(office)

    assert document["openapi"] == "3.1.0"
    told = {
        (method.upper(), path): each["operationId"]
        for path, operations in document["paths"].items()
        for method, each in operations.items()
    }
    rows = [row for row in office.api.operations.rows if row.name != "describe"]
    assert told == {(row.method, row.path): row.name for row in rows}
    assert len(set(told.values())) == len(told)


async def test_its_references_lead_somewhere_and_its_parameters_are_the_paths() -> None:
    office = Office()
    async with office.listening():
        document = await described(office)

    names = {each.removeprefix("#/components/schemas/") for each in references(document)}
    assert names <= document["components"]["schemas"].keys()
    for path, operations in document["paths"].items():
        for each in operations.values():
            inside = {one["name"] for one in each["parameters"] if one["in"] == "path"}
            assert {f"{{{name}}}" in path for name in inside} <= {True}
            assert path.count("{") == len(inside)


async def test_each_write_says_what_it_reads_and_every_refusal_that_there_may_be() -> None:
    async with Office().listening() as office:
        document = await described(office)

    create = document["paths"]["/api/serviceaccounts"]["post"]
    assert create["requestBody"]["required"]
    assert {"201", "400", "401", "403", "409", "413", "415", "422", "429", "503"} <= create[
        "responses"
    ].keys()
    decisions = document["paths"]["/api/decisions"]["get"]["responses"]["200"]["content"]
    assert decisions.keys() == {"application/json", "text/event-stream"}


async def test_every_operation_asks_who_it_is() -> None:
    office = Office()
    async with office.listening():
        for row in office.api.operations.rows:
            if row.name != "describe":
                path = row.path.replace("{subject}", "a").replace("{realm}", "corp")
                assert (await office.ask(row.method, path, {}, credentials=None))[0] == 401
