"""The life-cycle log: one JSON object a line on stderr, credentials taken out."""

import json
import logging
import logging.config
from datetime import UTC, datetime

from typing_extensions import override

from sidecar.observability.redaction import redact

_MEMBERS = {"level": "levelname", "logger": "name"}


class JsonFormatter(logging.Formatter):
    """One record as one line of JSON: ts (RFC 3339, UTC), level, logger, message, exception."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        line = {"ts": timestamp(record.created)}
        line |= {member: str(getattr(record, name)) for member, name in _MEMBERS.items()}
        line["message"] = redact(record.getMessage())
        if record.exc_info:
            line["exception"] = redact(self.formatException(record.exc_info))
        return json.dumps(line)


def timestamp(moment: float) -> str:
    """Return epoch seconds as RFC 3339 in UTC with milliseconds."""
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def configure(level: str) -> None:
    """Set the process's logging up: ``level`` for our own loggers, warnings of everybody else."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"json": {"()": JsonFormatter}},
            "handlers": {
                "stderr": {"class": "logging.StreamHandler", "formatter": "json"},
            },
            "root": {"level": "WARNING", "handlers": ["stderr"]},
            "loggers": {"sidecar": {"level": level.upper()}},
        }
    )
