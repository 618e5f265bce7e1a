"""Why the admin API refuses somebody."""

from enum import StrEnum, unique


@unique
class AdminRefusal(StrEnum):
    """The value is a metric label; the client is told the status alone."""

    NO_CREDENTIALS = "no_credentials"
    BAD_CREDENTIALS = "bad_credentials"
    NOT_ADMIN = "not_admin"
    TOO_MANY_ATTEMPTS = "too_many_attempts"
    CROSS_SITE = "cross_site"
    UNAVAILABLE = "unavailable"
