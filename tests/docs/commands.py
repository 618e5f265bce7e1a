"""Which commands of the documents a test cannot run, and why; and what is known of the others."""

import re

from tests.docs.markdown import Block

# A block with a line that matches is not run. It is still looked at: its syntax, and that
# every `sidecar` command in it has the options that it is given.
NOT_RUN: dict[str, str] = {
    r"^make (?:demo|test|docs)\b": "the targets of the Makefile: CI runs them by themselves",
    r"\bpip install\b": "installs packages from a registry",
    r"^(?:[A-Z_]+=\S+ )*docker\b": "needs a Docker engine",
    r"^(?:kubectl|helm)\b": "needs a cluster, or a program of its own",
    r"^(?:sudo|apt-get|systemctl|install) ": "changes the machine, as its administrator",
    r"/var/log/sidecar/": "reads the logs of a sidecar that has served for days",
    r"https://login\.microsoftonline\.com|\.okta\.com|\.auth0\.com|amazoncognito\.com": (
        "asks a tenant of an identity provider"
    ),
    r"https://keycloak\.example\.com|https://oauth\.id\.jumpcloud\.com|^gcloud\b": (
        "asks an identity provider that is not here"
    ),
    r"https://login\.example\.com": "asks a provider that stands for yours",
}

# Commands that go on until they are ended: they run beside those that follow.
STAYS = re.compile(
    r"^sidecar (?:run|watch)\b(?!.*--once)|^curl .*(?:-N|--no-buffer)\b", re.MULTILINE
)

# What a command ends with where that is no success, or what it is refused with: the comment
# behind it says so, as in `# ... ends with 1` or `# 401`.
_EXPECTED = re.compile(r"# (?:.*\bends with (?P<code>\d+)$|(?P<status>[45]\d\d)\b)", re.MULTILINE)
_REFUSED_BY_HTTP = 22


def why_not_run(block: Block) -> str | None:
    """Return why a block cannot be run here; None where it is run."""
    for line in block.text.splitlines():
        for pattern, reason in NOT_RUN.items():
            if re.search(pattern, line.strip()):
                return reason
    return None


def stays(block: Block) -> bool:
    """Say whether the block's command goes on until it is ended."""
    return STAYS.search(block.text) is not None


def failures_of(block: Block) -> list[str]:
    """Return what the block says of its failing commands: an exit code, or curl's with a status."""
    return [
        found["code"] or f"{_REFUSED_BY_HTTP} {found['status']}"
        for found in _EXPECTED.finditer(block.text)
    ]
