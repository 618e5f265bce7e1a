"""Problems of the settings: all at once, each with its place, what is wrong and the remedy."""

from dataclasses import dataclass

from typing_extensions import override


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    ``place`` is the setting (``issuers[0].jwks_url``), ``where`` the line of the file or the
    environment variable that it came from, ``text`` what is wrong and what to do. No secret is
    quoted.
    """

    place: str
    text: str
    where: str = ""

    @override
    def __str__(self) -> str:
        where = f"({self.where})" if self.where else ""
        head = " ".join(filter(None, (self.place, where)))
        return f"{head}: {self.text}" if head else self.text


class SettingsProblems(Exception):
    """The settings cannot be used. ``source`` names the file."""

    def __init__(self, source: str, problems: list[Problem]) -> None:
        super().__init__(source, problems)
        self.source = source
        self.problems = problems

    @override
    def __str__(self) -> str:
        count = len(self.problems)
        lines = [f"{self.source}: {count} problem{'s' if count > 1 else ''}"]
        lines.extend(f"  {problem}" for problem in self.problems)
        return "\n".join(lines)


def place_of(path: tuple[str | int, ...]) -> str:
    """Return a path into the settings as people write it."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
