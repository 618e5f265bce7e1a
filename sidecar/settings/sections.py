"""The sections of the settings, but issuers and routes. Times are in seconds."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from sidecar.settings.fields import (
    ClientTls,
    Directory,
    Port,
    ReadableFile,
    Seconds,
    Section,
    ServerTls,
    Strings,
    read_secret,
    split_url,
)
from sidecar.settings.last_use import LastUse
from sidecar.settings.networks import Network, Networks, covers_everybody
from sidecar.settings.store_url import check_store_url, has_hash_tag
from sidecar.settings.upstream_health import Health


class Listen(Section):
    """Where clients come in."""

    host: str = "0.0.0.0"  # noqa: S104 - it is there to be reached
    """Address to listen on."""
    port: Port = 8080
    """Port to listen on; 0 lets the system choose."""
    tls: ServerTls | None = None
    """TLS for clients; without it the listener speaks plain HTTP."""
    insecure_trust_everybody: bool = False
    """Allow `trusted_proxies` to cover everybody: any client may then say where it comes from."""
    trusted_proxies: Networks = Field(default=(), validate_default=True)
    """Networks (CIDR) of the proxies in front, whose X-Forwarded-* count. Nobody's by default."""
    backlog: Annotated[int, Field(ge=1, le=65535)] = 1024
    """Connections that may wait to be accepted."""
    idle_timeout: Seconds = 75.0
    """Seconds until a connection without a request is ended."""
    head_timeout: Seconds = 10.0
    """Seconds that a TLS handshake, and then each request's head, may take from first to last."""
    min_body_rate: Annotated[float, Field(ge=0, le=1_000_000)] = 100.0
    """Bytes a second that a body has to bring; 0 lets clients send as slowly as they like."""
    body_grace: Seconds = 30.0
    """Seconds of waiting over which `min_body_rate` is looked at; less answers with 408."""
    min_read_rate: Annotated[float, Field(ge=0, le=1_000_000)] = 100.0
    """Bytes a second that a client has to take while there is something for it; 0: anything."""
    write_timeout: Seconds = 60.0
    """Seconds of not taking all over which `min_read_rate` is looked at; less, and it is cut."""
    max_connections: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Connections of clients at one time, for each process. Fewer, where its descriptors do not
    suffice for them and for upstream."""
    max_connections_per_peer: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Those of one address, `trusted_proxies` excepted; 0 sets no limit."""
    max_header_bytes: Annotated[int, Field(ge=1024, le=1048576)] = 16384
    """Bytes that the request line, and each header, may have."""
    max_headers: Annotated[int, Field(ge=8, le=1000)] = 128
    """Headers that a request may have."""
    drain_seconds: Annotated[float, Field(ge=0, le=3600)] = 5.0
    """Seconds of serving on after a SIGTERM, unready, so that balancers can look away."""
    shutdown_seconds: Seconds = 30.0
    """Seconds that requests in flight may take to end after that; then they are cut."""

    @field_validator("trusted_proxies")
    @classmethod
    def _trusts_not_everybody(
        cls, networks: tuple[Network, ...], info: ValidationInfo
    ) -> tuple[Network, ...]:
        if covers_everybody(networks) and not info.data.get("insecure_trust_everybody"):
            raise ValueError(
                "trusts everybody; name the proxies' networks"
                " (or set listen.insecure_trust_everybody: true)"
            )
        return networks


class UpstreamTls(ClientTls):
    """TLS to upstream."""

    server_name: str | None = None
    """Name that upstream's certificate has to bear, where it is not the URL's host."""
    insecure_skip_verify: bool = False
    """Accept any certificate: whoever stands between gets every token."""


class Upstream(Section):
    """What stands behind the sidecar."""

    url: str
    """Where it is: scheme, host and port, such as http://127.0.0.1:8009; or unix:/run/x.sock."""
    more_urls: Strings = ()
    """Further addresses of the same. The one with the fewest requests in flight is asked; one that
    cannot be reached is left out for a while."""
    connect_timeout: Seconds = 5.0
    """Seconds to get a connection."""
    first_byte_timeout: Seconds = 75.0
    """Seconds from the request's end to the answer's head. The Hoop gateway takes up to 50."""
    idle_timeout: Seconds = 300.0
    """Seconds without a byte of a body, either way, until it is broken off."""
    max_connections: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """Connections to upstream at one time, streams included."""
    keep_alive: Seconds = 55.0
    """Seconds that an unused connection is kept; less than upstream keeps it."""
    tls: UpstreamTls | None = None
    """How an https upstream is verified; without it by the system's authorities."""
    health: Health | None = None
    """Probe each address, and refuse at once while none is healthy; `health: {}` connects alone."""

    @field_validator("url")
    @classmethod
    def _is_origin(cls, text: str) -> str:
        return _read_origin(text)

    @field_validator("more_urls")
    @classmethod
    def _are_origins(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_read_origin(text) for text in texts)

    @field_validator("tls")
    @classmethod
    def _is_spoken(cls, tls: UpstreamTls | None, info: ValidationInfo) -> UpstreamTls | None:
        urls = (str(info.data.get("url", "https:")), *info.data.get("more_urls", ()))
        if tls is not None and not any(url.startswith("https:") for url in urls):
            raise ValueError("has no effect on http://; set upstream.url to https, or leave it out")
        return tls


def _read_origin(text: str) -> str:
    if text.startswith("unix:"):
        if not text.startswith("unix:/") or "\0" in text:
            raise ValueError("expected unix: and an absolute path, such as unix:/run/gateway.sock")
        return text
    url = split_url(text, ("http", "https"))
    if not url.hostname or url.path.strip("/") or url.query or url.fragment or "@" in url.netloc:
        raise ValueError("expected scheme, host and port alone, such as http://127.0.0.1:8009")
    return text.rstrip("/")


class Accounts(Section):
    """Where the accounts are, and how fresh what is known of them has to be."""

    url: Annotated[str, Field(repr=False)]  # a password may stand in it
    """redis://host:port/db, rediss:// with TLS, unix:///path, or memory:// for development.

    redis+sentinel://host1,host2,host3/SERVICE/0 asks the sentinels for the primary, and
    redis+cluster://host1,host2,host3 the nodes of a Cluster; rediss+sentinel:// and so on with TLS.
    """
    username: str | None = None
    """User of the Redis ACL; without it the default user."""
    password: SecretStr | None = None
    """Password; better in a file."""
    password_file: ReadableFile | None = None
    """File with the password."""
    prefix: Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,64}$", validate_default=True)] = (
        "sidecar:"
    )
    """What all keys begin with."""
    max_staleness: Annotated[float, Field(gt=0.01, le=60)] = 0.5
    """No request is granted on an account status older than this many seconds."""
    heartbeat: Annotated[float, Field(gt=0, le=10, validate_default=True)] = 0.1
    """Seconds between two proofs that every change was heard; at most 2/5 of max_staleness."""
    timeout: Seconds = 1.0
    """Seconds to wait for Redis before the connection is given up."""
    reconnect_spread: Annotated[float, Field(ge=0, le=60)] = 0.0
    """Seconds over which attempts to reconnect to Redis are spread, for thousands of sidecars."""
    read_timeout: Seconds = 0.08
    """Seconds that a request waits for an account that is not at hand; then it gets 503."""
    max_subjects: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    """Subjects whose status is kept in memory."""
    consistency: Literal["pushed", "strict"] = "pushed"
    """strict reads Redis for each decision instead of keeping what Redis pushes."""
    rolled_back: Literal["deny", "accept"] = "deny"
    """When the store lost writes: deny everybody until `sidecar store confirm`, or accept it."""
    state_dir: Directory | None = None
    """Directory in which is kept how far the store was seen, so that a start knows older data."""
    tls: ClientTls | None = None
    """How a rediss:// server is verified; without it by the system's authorities."""
    last_use: LastUse | None = None
    """Record when each account was last used; without it nothing is recorded."""

    @field_validator("url")
    @classmethod
    def _is_store(cls, text: str) -> str:
        check_store_url(text)
        return text

    @field_validator("prefix")
    @classmethod
    def _is_in_one_slot(cls, prefix: str, info: ValidationInfo) -> str:
        if "+cluster://" in info.data.get("url", "") and not has_hash_tag(prefix):
            raise ValueError("expected a hash tag, such as {sidecar}: - a Cluster else scatters it")
        return prefix

    @field_validator("password_file")
    @classmethod
    def _one_password(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        if file is not None and info.data.get("password") is not None:
            raise ValueError("there is a password too; keep one of them")
        if file is not None:
            read_secret(file)
        return file

    @field_validator("heartbeat")
    @classmethod
    def _beats_in_time(cls, heartbeat: float, info: ValidationInfo) -> float:
        # A proof needs two beats (adapters.redis_accounts), and some room for the answers.
        staleness = info.data.get("max_staleness")
        if staleness is not None and heartbeat > staleness * 0.4:
            raise ValueError("expected at most 2/5 of accounts.max_staleness; else it never lasts")
        return heartbeat

    @field_validator("tls")
    @classmethod
    def _is_spoken(cls, tls: ClientTls | None, info: ValidationInfo) -> ClientTls | None:
        if tls is not None and not str(info.data.get("url", "rediss:")).startswith("rediss"):
            raise ValueError(
                "has an effect on rediss:// only; change accounts.url, or leave it out"
            )
        return tls

    @field_validator("last_use")
    @classmethod
    def _can_be_read(cls, last_use: LastUse | None, info: ValidationInfo) -> LastUse | None:
        if last_use is not None and info.data.get("url", "").startswith("memory:"):
            raise ValueError("nobody could read it out of memory://; leave it out")
        return last_use

    def read_password(self) -> str | None:
        """Return the password, from its file where it has one.

        Raises:
            OSError, ValueError: the file is no longer what it was at the start.
        """
        if self.password_file is not None:
            return read_secret(self.password_file)
        return None if self.password is None else self.password.get_secret_value()


class Keys(Section):
    """How the issuers' keys are fetched and for how long they are good."""

    max_age: Seconds = 300.0
    """Seconds after which keys are fetched anew; a removed key is trusted no longer than this."""
    max_stale: Annotated[Seconds, Field(validate_default=True)] = 3600.0
    """Seconds for which keys serve while the provider cannot be reached; then 503."""
    cool_down: Seconds = 30.0
    """Seconds between two fetches that unknown keys may cause."""
    timeout: Seconds = 5.0
    """Seconds that a fetch may take."""
    max_bytes: Annotated[int, Field(ge=1024, le=16_777_216)] = 524_288
    """Bytes that a document may have."""
    max_keys: Annotated[int, Field(ge=1, le=1000)] = 64
    """Keys that a set may have."""
    snapshot_dir: Directory | None = None
    """Directory in which good keys are kept, so that a restart survives a provider's outage."""

    @field_validator("max_stale")
    @classmethod
    def _outlasts(cls, max_stale: float, info: ValidationInfo) -> float:
        if max_stale < info.data.get("max_age", 0):
            raise ValueError("expected at least keys.max_age")
        return max_stale


class Limits(Section):
    """Bounds of a decision, and of all of them together."""

    max_token_bytes: Annotated[int, Field(ge=256, le=65536)] = 8192
    """Bytes that a token may have."""
    decision_budget: Seconds = 5.0
    """Seconds that a decision may wait for keys or Redis."""
    remembered_tokens: Annotated[int, Field(ge=1, le=10_000_000)] = 50_000
    """Tokens whose good signature is remembered."""
    max_in_flight: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Granted requests, streams included, under way in one process; then 503 with Retry-After."""
    max_lag: Annotated[float, Field(ge=0, le=60)] = 0.25
    """Seconds that the event loop may be late; then some requests get 503 at once. 0: any."""
    max_lag_for: Seconds = 1.0
    """Seconds for which it has to be that late, without a break."""


class Log(Section):
    """What is written. Never a token."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Level of the life-cycle log on stderr."""
    decisions: Literal["all", "denied", "none"] = "all"
    """Which decisions are a line on stdout."""
