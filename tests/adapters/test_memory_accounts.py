from dataclasses import replace

from sidecar.adapters.memory_accounts import MemoryAccounts, SoleLeader
from sidecar.core.subject import Account, AccountStatus, Standing, SubjectKey
from sidecar.ports import Change

ALICE = SubjectKey("corp", "alice")
ACCOUNT = Account("1", "alice", "Alice", (), AccountStatus.ACTIVE)


async def test_what_is_written_is_at_hand_and_heard() -> None:
    accounts = MemoryAccounts()
    heard: list[Change] = []
    accounts.watch(heard.append)
    assert accounts.is_live()
    assert accounts.look_up(ALICE, None) == Standing(None)

    assert await accounts.put(ALICE, ACCOUNT, expected=None)

    assert accounts.look_up(ALICE, "j") == await accounts.read(ALICE, "j") == Standing(ACCOUNT)
    assert await accounts.get(ALICE) == ACCOUNT
    assert heard == [Change("corp", "alice")]


async def test_a_write_on_top_of_anothers_change_is_refused() -> None:
    accounts = MemoryAccounts()
    await accounts.put(ALICE, ACCOUNT, expected=None)

    assert not await accounts.put(ALICE, replace(ACCOUNT, name="x"), expected=None)


async def test_a_realm_lists_its_own_and_forgets_the_deleted() -> None:
    accounts = MemoryAccounts()
    await accounts.put(ALICE, ACCOUNT, expected=None)
    await accounts.put(SubjectKey("other", "bob"), ACCOUNT, expected=None)

    assert await accounts.list("corp") == [ACCOUNT]
    assert await accounts.delete(ALICE)
    assert not await accounts.delete(ALICE)
    assert await accounts.list("corp") == []


async def test_revocations_are_at_hand_and_heard() -> None:
    accounts = MemoryAccounts()
    await accounts.put(ALICE, ACCOUNT, expected=None)
    heard: list[Change] = []
    accounts.watch(heard.append)

    await accounts.revoke_token("corp", "j", 10.0)
    assert await accounts.set_realm_not_before("corp", 100.0) == 100.0
    assert await accounts.set_realm_not_before("corp", 50.0) == 100.0
    assert await accounts.read_realm_not_before("corp") == 100.0

    assert accounts.look_up(ALICE, "j") == Standing(ACCOUNT, 100.0, token_revoked=True)
    assert accounts.look_up(ALICE, "k") == await accounts.read(ALICE, None)
    assert accounts.look_up(ALICE, None) == Standing(ACCOUNT, 100.0)
    assert heard == [Change("corp", token_id="j"), Change("corp"), Change("corp")]


async def test_a_deleted_account_is_unknown_and_its_revoked_tokens_stay_revoked() -> None:
    accounts = MemoryAccounts()
    await accounts.put(ALICE, replace(ACCOUNT, not_before=100.0), expected=None)
    await accounts.delete(ALICE)
    assert accounts.look_up(ALICE, None) == Standing(None)

    stored = await accounts.put(ALICE, ACCOUNT, expected=None)

    assert stored == replace(ACCOUNT, not_before=100.0)
    assert await accounts.get(ALICE) == stored


async def test_the_only_process_leads_always() -> None:
    leader = SoleLeader()
    await leader.campaign()
    await leader.resign()

    assert leader.is_leading()
