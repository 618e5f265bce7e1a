"""The routes of paths that were asked for before: they depend on method and path alone."""

from sidecar.core.access import find_route
from sidecar.core.request import AccessRequest, Ambiguity
from sidecar.core.routes import Route, Routes

# Clients choose paths, so the memory of them is bounded twice.
_MAX_REMEMBERED = 4096
_LONGEST_REMEMBERED = 256


class FoundRoutes:
    """Finds routes, and remembers what was found. Refusals are not remembered."""

    def __init__(self, routes: Routes, tolerated: frozenset[Ambiguity]) -> None:
        self._routes = routes
        self._tolerated = tolerated
        self._found: dict[tuple[str, str], Route] = {}

    def __len__(self) -> int:
        return len(self._found)

    def find(self, request: AccessRequest) -> Route:
        """Return the one route that the request can mean. Raises Denied as ``find_route`` does."""
        name = (request.method, request.path)
        route = self._found.get(name)
        if route is None:
            route = find_route(request, self._routes, self._tolerated)
            if len(request.path) <= _LONGEST_REMEMBERED:
                if len(self._found) >= _MAX_REMEMBERED:
                    self._found.clear()
                self._found[name] = route
        return route
