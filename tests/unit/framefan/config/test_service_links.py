"""Variables that a cluster makes of a service called like us, beside those that a person set."""

from __future__ import annotations

import pytest

from framefan.config.configure import configure
from framefan.config.options import Options
from framefan.errors import UsageError
from framefan.settings.run import Settings


@pytest.fixture(autouse=True)
def _runtime(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def settings(variables: dict[str, str]) -> Settings:
    return configure((), Options(), variables)[0]


def service(name: str, ports: dict[str, int], protocol: str = "tcp") -> dict[str, str]:
    """The variables that Kubernetes gives all containers beside such a Service."""
    first = next(iter(ports.values()))
    made = {f"{name}_SERVICE_HOST": "10.0.0.1", f"{name}_SERVICE_PORT": str(first)}
    made[f"{name}_PORT"] = f"{protocol}://10.0.0.1:{first}"
    for port_name, port in ports.items():
        head = f"{name}_PORT_{port}_{protocol.upper()}"
        made |= {f"{name}_SERVICE_PORT_{port_name}": str(port)} if port_name else {}
        made |= {head: f"{protocol}://10.0.0.1:{port}", f"{head}_PROTO": protocol}
        made |= {f"{head}_PORT": str(port), f"{head}_ADDR": "10.0.0.1"}
    return made


LINK = {
    "FRAMEFAN_NAME": "/web/framefan",
    "FRAMEFAN_PORT": "tcp://172.17.0.2:8765",
    "FRAMEFAN_PORT_8765_TCP": "tcp://172.17.0.2:8765",
    "FRAMEFAN_PORT_8765_TCP_ADDR": "172.17.0.2",
    "FRAMEFAN_ENV_PATH": "/usr/bin",
}


@pytest.mark.parametrize(
    "variables",
    [
        service("FRAMEFAN", {"": 8765}),
        service("FRAMEFAN", {"HTTP": 8765, "METRICS_2": 9090}),
        service("FRAMEFAN", {"": 53}, "udp"),
        service("FRAMEFAN_WEB", {"HTTP": 80}),
        service("FRAMEFAN_LIMITS", {"": 80}),
        service("FRAMEFAN_PORT", {"": 80}),
        service("FRAMEFAN", {"": 1}) | service("FRAMEFAN_WEB", {"": 2}),
        LINK,
    ],
)
def test_variables_of_kubernetes_do_not_prevent_the_start(variables: dict[str, str]) -> None:
    assert settings(variables) == settings({})
    assert settings(variables | {"FRAMEFAN_WORKERS": "3"}).workers == 3
    with pytest.raises(UsageError, match="FRAMEFAN_WROKERS"):
        settings(variables | {"FRAMEFAN_WROKERS": "3"})


def test_a_port_that_a_person_said_beside_them_counts() -> None:
    assert settings(service("FRAMEFAN", {"": 80}) | {"FRAMEFAN_PORT": "9000"}).port == 9000
