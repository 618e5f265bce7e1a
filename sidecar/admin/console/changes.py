"""The page of changes: who did what, from the audit trail."""

import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from sidecar.admin.console.backing import Backing
from sidecar.admin.console.entrance import Visit
from sidecar.admin.console.pages import Pages

_PAGE = 50
_ID = re.compile(r"[0-9]{1,18}-[0-9]{1,18}")


class ChangesPage:
    """Shows changes."""

    def __init__(self, backing: Backing, pages: Pages) -> None:
        self._backing = backing
        self._pages = pages

    async def show(self, visit: Visit) -> web.Response:
        """Return the page. Raises StatusUnavailable."""
        asked = visit.query.get("before", "")
        before = asked if _ID.fullmatch(asked) else None
        found = await self._backing.trail.newest(_PAGE + 1, before)
        shown = found[:_PAGE]
        return self._pages.page(
            "changes",
            session=visit.session,
            here="changes",
            records=[(each.record, what_changed(each.record)) for each in shown],
            before=before,
            older=shown[-1].id if len(found) > _PAGE else None,
        )


def what_changed(record: Mapping[str, Any]) -> str:
    """Return in words what a record says beside who did what to whom."""
    if isinstance(record.get("streams"), int):
        return f"{record['streams']} streams cut"
    if "token_id" in record:
        return f"token {record['token_id']}"
    before, after = record.get("before"), record.get("after")
    if not isinstance(after, dict):
        return ""
    if not isinstance(before, dict):
        return f"new, {after.get('status')}"
    return ", ".join(
        f"{name}: {_words(before.get(name))} → {_words(after.get(name))}"
        for name in ("status", "name", "groups")
        if before.get(name) != after.get(name)
    )


def _words(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(each) for each in value) or "none"
    return str(value) or "none"
