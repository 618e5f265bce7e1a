"""The gateway's service accounts: their JSON, and the judgement of what is posted about them.

Words, fields, order and statuses are the Hoop gateway's own, so that its clients cannot tell.
"""

import hashlib
import hmac
import json
from dataclasses import dataclass
from uuid import NAMESPACE_URL, uuid5

ORGANISATION_ID = str(uuid5(NAMESPACE_URL, "organisation/default"))
_STATUSES = ("active", "inactive")


class Refused(Exception):
    """The gateway's answer to what it does not do: a status and ``{"message": ...}``."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message


@dataclass(slots=True)
class GatewayAccount:
    """A service account as the gateway keeps it; ``status`` is ``active`` or ``inactive``."""

    subject: str
    name: str = ""
    groups: tuple[str, ...] = ()
    status: str = "active"

    @property
    def id(self) -> str:
        """The id that the gateway derives from the subject, in every organisation the same."""
        return str(uuid5(NAMESPACE_URL, f"serviceaccount/{self.subject}"))

    @property
    def role(self) -> str:
        """The role that the groups give: ``admin``, ``auditor`` or ``standard``."""
        return next((role for role in ("admin", "auditor") if role in self.groups), "standard")

    @property
    def is_active(self) -> bool:
        return self.status == "active"

    def read(self) -> dict[str, object]:
        """Return the object of the service accounts' endpoints."""
        return {
            "id": self.id,
            "org_id": ORGANISATION_ID,
            "subject": self.subject,
            "name": self.name,
            "status": self.status,
            "groups": list(self.groups),
        }

    def userinfo(self) -> dict[str, object]:
        """Return the object of ``/api/userinfo``, in the gateway's order of fields."""
        return {
            "id": self.subject,
            "name": self.name,
            "email": self.subject,  # a service account has no other
            "status": self.status,
            "verified": True,
            "role": self.role,
            "slack_id": "",
            "picture": "",
            "groups": list(self.groups),
            "is_admin": self.role == "admin",
            "is_multitenant": False,
            "tenancy_type": "selfhosted",
            "org_id": ORGANISATION_ID,
            "org_name": "default",
            "org_license": "",
            "feature_ask_ai": "unavailable",
            "webapp_users_management": "on",
            # Keyed with the empty string, as in every gateway that is built without the key.
            "intercom_hmac_digest": hmac.new(
                b"", self.subject.encode(), hashlib.sha256
            ).hexdigest(),
            "default_protection_profile": None,
            "show_origin_survey": False,
            "show_setup_checklist": self.role == "admin",
        }


def read_account(body: bytes) -> GatewayAccount:
    """Read what was posted or put.

    Raises:
        Refused: 400 for what is not an account, 422 for a status that does not exist.
    """
    if not body.strip():
        raise Refused(400, "EOF")
    try:
        posted = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, "invalid character looking for beginning of value") from None
    if not isinstance(posted, dict):
        raise Refused(400, "json: cannot unmarshal value into Go value of type ServiceAccount")
    subject, name, status = (_text(posted, field) for field in ("subject", "name", "status"))
    missing = [
        f"Key: 'ServiceAccount.{field}' Error:"
        f"Field validation for '{field}' failed on the 'required' tag"
        for field, value in (("Subject", subject), ("Status", status))
        if not value
    ]
    if missing:
        raise Refused(400, "\n".join(missing))
    if status not in _STATUSES:
        raise Refused(422, f"wrong status value {json.dumps(status)}")
    return GatewayAccount(subject, name, _groups(posted), status)


def _text(posted: dict[str, object], field: str) -> str:
    value = posted.get(field)
    if value is None:  # Go leaves the empty string where a member is null or absent
        return ""
    if not isinstance(value, str):
        raise _wrong_type(field, "string")
    return value


def _groups(posted: dict[str, object]) -> tuple[str, ...]:
    value = posted.get("groups")
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(group, str) for group in value):
        raise _wrong_type("groups", "[]string")
    return tuple(value)


def _wrong_type(field: str, kind: str) -> Refused:
    return Refused(
        400,
        f"json: cannot unmarshal value into Go struct field ServiceAccount.{field} of type {kind}",
    )
