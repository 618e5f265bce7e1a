"""Tracing with OpenTelemetry, an extra: nothing else imports its libraries."""
