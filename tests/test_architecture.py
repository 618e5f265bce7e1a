"""The shape of the code is kept by tests, like everything else that must hold."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "sidecar").rglob("*.py"))
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 40

# Longer functions, each with its reason.
LONG_FUNCTIONS: dict[str, str] = {}

# Modules that are tested in another file than one of their own name.
TESTED_ELSEWHERE = {
    "sidecar/core/dialect.py": "tests/fronts/forward_auth/test_original.py",
    "sidecar/fronts/head_check.py": "tests/fronts/test_request_head.py",
    "sidecar/ports.py": "tests/test_authorize.py",  # Protocols and values without behaviour
    "sidecar/verification.py": "tests/test_authorize.py",
    "sidecar/adapters/view_policy.py": "tests/adapters/test_redis_accounts.py",  # values
    "sidecar/wanted.py": "tests/test_turns.py",  # values
    "sidecar/rules.py": "tests/test_authorize.py",  # values without behaviour
    "sidecar/core/protection.py": "tests/core/test_decision.py",
    "sidecar/decision_services.py": "tests/test_status_lists.py",
    "sidecar/__main__.py": "tests/e2e/test_main_job.py",
    "sidecar/observability/silent.py": "tests/observability/test_decision_log.py",
    "sidecar/admin/small_listener.py": "tests/admin/test_listener.py",
    "sidecar/admin/answers.py": "tests/admin/test_api.py",
    "sidecar/admin/audit.py": "tests/admin/test_api.py",
    "sidecar/admin/bodies.py": "tests/admin/test_revocation_endpoint.py",
    "sidecar/admin/console/backing.py": "tests/admin/console/test_console.py",
    "sidecar/admin/console/entrance.py": "tests/admin/console/test_console.py",
    "sidecar/admin/console/pages.py": "tests/admin/console/test_console.py",
    "sidecar/app/console_facts.py": "tests/app/test_administering.py",
    "sidecar/admin/desk.py": "tests/admin/test_worker_desks.py",
    "sidecar/admin/reading.py": "tests/admin/test_api.py",
    "sidecar/admin/realms.py": "tests/admin/test_api.py",
    "sidecar/admin/schemas.py": "tests/admin/test_api.py",
    "sidecar/admin/service_accounts.py": "tests/admin/test_api.py",
    "sidecar/admin/streams.py": "tests/admin/test_api.py",
    "sidecar/core/connections.py": "tests/fronts/test_admission.py",
    "sidecar/observability/connections.py": "tests/observability/test_metrics.py",
    "sidecar/observability/exposition.py": "tests/observability/test_metrics.py",
    "sidecar/core/public_key.py": "tests/adapters/test_jwks.py",
    "sidecar/core/admin_refusal.py": "tests/admin/test_gatekeeper.py",
    "sidecar/app/auditing.py": "tests/app/test_administering.py",
    "sidecar/app/process.py": "tests/e2e/test_workers.py",
    "sidecar/app/running.py": "tests/app/test_parts.py",
    "sidecar/app/storing.py": "tests/app/test_revoking.py",
    "sidecar/app/mirroring.py": "tests/e2e/test_mirror.py",
    "sidecar/app/worker.py": "tests/e2e/test_workers.py",
    "sidecar/app/supervisor.py": "tests/e2e/test_workers.py",
    "sidecar/app/serving.py": "tests/e2e/test_main_job.py",
    "sidecar/app/observing.py": "tests/e2e/test_main_job.py",
    "sidecar/app/asking.py": "tests/cli/test_explain.py",
    "sidecar/cli/account_plans.py": "tests/cli/test_declared_accounts.py",
    "sidecar/cli/report_shown.py": "tests/cli/test_report.py",
    "sidecar/cli/common.py": "tests/cli/test_main.py",
    "sidecar/adapters/redis_client.py": "tests/adapters/test_redis_store.py",
    "sidecar/adapters/bounded_fetch.py": "tests/adapters/test_provider_client.py",
    "sidecar/adapters/redis_push.py": "tests/adapters/test_redis_accounts.py",
    "sidecar/settings/header_names.py": "tests/settings/test_model.py",
    "sidecar/settings/workers.py": "tests/settings/test_model.py",
    "sidecar/stream_guard.py": "tests/test_streams.py",
    "sidecar/fronts/reverse_proxy/upstream/address.py": (
        "tests/fronts/reverse_proxy/upstream/test_addresses.py"
    ),
    "sidecar/fronts/listener.py": "tests/fronts/reverse_proxy/test_server.py",
    "sidecar/fronts/reverse_proxy/upstream/carriage.py": (
        "tests/fronts/reverse_proxy/upstream/test_connection.py"
    ),
}


def functions(file: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_files_and_functions_stay_small(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= MAX_FILE_LINES
    too_long = {
        f"{file.relative_to(ROOT)}:{name}": lines
        for name, lines in functions(file)
        if lines > MAX_FUNCTION_LINES and f"{file.relative_to(ROOT)}:{name}" not in LONG_FUNCTIONS
    }
    assert too_long == {}


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_module_has_its_test(file: Path) -> None:
    name = file.relative_to(ROOT)
    if file.name == "__init__.py":
        return
    parts = name.parts[1:-1]
    own = Path("tests", *parts, f"test_{file.name}")
    assert (ROOT / TESTED_ELSEWHERE.get(str(name), own)).exists()


def test_the_repository_names_no_registry_and_no_path_of_a_machine() -> None:
    for lock in (ROOT / "lock").iterdir():
        lines = lock.read_text().splitlines()
        assert not [
            line
            for line in lines
            if line.lstrip().startswith(("-", "http:", "https:"))
            and not line.lstrip().startswith("--hash=")
        ]
