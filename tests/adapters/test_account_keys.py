import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from sidecar.adapters.account_keys import AccountKeys
from sidecar.core.subject import SubjectKey
from sidecar.ports import Change

KEYS = AccountKeys()
REALMS = st.from_regex(r"[a-z0-9-]{1,10}", fullmatch=True)
VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1)


@given(REALMS, VISIBLE)
def test_an_account_key_reads_back_as_its_subject_whatever_that_holds(
    realm: str, subject: str
) -> None:
    key = KEYS.account(SubjectKey(realm, subject))

    assert KEYS.read_change(key) == Change(realm=realm, subject=subject)
    assert KEYS.subject_of(key, realm) == subject


@given(REALMS, VISIBLE)
def test_a_revoked_token_reads_back_as_its_jti(realm: str, token_id: str) -> None:
    assert KEYS.read_change(KEYS.revoked(realm, token_id)) == Change(realm=realm, token_id=token_id)


def test_a_realm_key_changes_every_token_of_the_realm() -> None:
    assert KEYS.read_change(KEYS.realm("corp")) == Change(realm="corp")


def test_foreign_keys_change_nothing() -> None:
    assert KEYS.read_change("other:account:corp:alice") is None
    assert KEYS.read_change("sidecar:cache:corp:alice") is None


def test_the_layout_of_the_keys_is_the_documented_one() -> None:
    """Any writer may use it: a plain ``redis-cli HSET`` revokes."""
    assert KEYS.account(SubjectKey("default", "api-user")) == "sidecar:account:default:api-user"
    assert KEYS.realm("default") == "sidecar:realm:default"
    assert KEYS.revoked("default", "j-1") == "sidecar:revoked:default:j-1"
    assert KEYS.last_seen("default") == "used:sidecar:seen:default"
    assert KEYS.uses("default") == "used:sidecar:uses:default"


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=64))
def test_what_nobody_has_to_hear_of_is_never_below_the_prefix(prefix: str) -> None:
    """A push comes for every key that begins with the prefix, also for `u`, or `used:used:`."""
    keys = AccountKeys(prefix)

    assert not keys.last_seen("corp").startswith(prefix)
    assert not keys.uses("corp").startswith(prefix)


@pytest.mark.parametrize("prefix", ["{sidecar}:", "u{x}:", "a{b}{c}:", "{used}"])
def test_a_cluster_keeps_it_in_the_slot_of_the_accounts(prefix: str) -> None:
    keys = AccountKeys(prefix)
    names = (prefix, keys.account(SubjectKey("r", "s")), keys.last_seen("r"), keys.uses("r"))

    assert len({key_slot(name.encode()) for name in names}) == 1


def test_a_prefix_with_glob_characters_is_searched_for_literally() -> None:
    assert AccountKeys("a*b:").accounts_of("corp") == "a\\*b:account:corp:*"
