import logging
from pathlib import Path

import pytest

from sidecar.adapters.key_snapshot import KeySnapshot, Snapshot

ISSUER = "https://idp.example/../../etc"


def modes_of(directory: Path) -> list[int]:
    return [file.stat().st_mode for file in directory.iterdir()]


async def test_what_is_saved_comes_back_for_its_issuer_alone(tmp_path: Path) -> None:
    snapshot = KeySnapshot(tmp_path)
    await snapshot.save(ISSUER, b'{"keys":[]}', 12.5)
    await snapshot.save(ISSUER, b'{"keys":[1]}', 13.5)

    assert await snapshot.load(ISSUER) == Snapshot(b'{"keys":[1]}', 13.5)
    assert await snapshot.load("https://other.example") is None
    assert [mode & 0o077 for mode in modes_of(tmp_path)] == [0]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "[" * 200_000,
        '{"issuer":"x"}',
        '{"issuer":"https://idp.example/../../etc"}',
        '{"issuer":"https://idp.example/../../etc","document":"{}","fetched_at":' + "9" * 400 + "}",
        '{"issuer":"https://idp.example/../../etc","document":"\\ud800","fetched_at":1.0}',
        "\x00",
    ],
    ids=lambda content: content[:40] or "empty",
)
async def test_a_file_that_is_broken_or_another_issuers_is_passed_over(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    snapshot = KeySnapshot(tmp_path)
    await snapshot.save(ISSUER, b"{}", 1.0)
    snapshot._file(ISSUER).write_text(content)

    with caplog.at_level(logging.WARNING):
        assert await snapshot.load(ISSUER) is None
    assert "cannot be read" in caplog.text


async def test_a_directory_that_cannot_be_written_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    snapshot = KeySnapshot(tmp_path / "nowhere")

    await snapshot.save(ISSUER, b"{}", 1.0)

    assert "could not be saved" in caplog.text


async def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    snapshot = KeySnapshot(tmp_path)
    snapshot._file(ISSUER).mkdir()

    await snapshot.save(ISSUER, b"{}", 1.0)

    assert len(modes_of(tmp_path)) == 1
