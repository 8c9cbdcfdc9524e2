"""The doctor on limits: each is compared with what the run will need."""

from __future__ import annotations

import re

import pytest

from framefan.base import host
from framefan.commands.doctor import resource_checks as doctor_limits
from framefan.commands.doctor.findings import Finding, Level
from framefan.config.configure import configure
from framefan.config.options import Options
from framefan.ipc.tryout import PredictorFacts
from framefan.settings.run import CameraSettings, Settings
from framefan.settings.secret import SourceText

MIB = 1 << 20
LIGHT = PredictorFacts(0.01, 40 * MIB, 4, 500 * MIB, uses_device=False)


def settings(*sources: str, **options: object) -> Settings:
    return configure(sources, Options(**options), {})[0]


@pytest.fixture(autouse=True)
def limits(monkeypatch) -> dict[str, int]:
    """A roomy machine; what a test puts in here is its limit."""
    told: dict[str, int] = {}
    monkeypatch.setattr(host, "soft_limit", told.get)
    monkeypatch.setattr(host, "available_bytes", lambda: told.get("memory", 1 << 40))
    monkeypatch.setattr(host, "thread_room", lambda: told.get("threads"))
    monkeypatch.setattr(host, "cores", lambda: told.get("cores", 4))
    monkeypatch.setattr(host, "descriptor_limit", lambda: told.get("descriptors", 1 << 20))
    return told


def found(
    run: Settings, tried: PredictorFacts | None = LIGHT, **sizes: tuple[int, int]
) -> list[Finding]:
    """What is not well."""
    known = {"default": tried} if tried else {}
    return [each for each in doctor_limits.limits(run, sizes, known) if each.level is not Level.OK]


def test_a_roomy_machine_has_nothing_to_say() -> None:
    assert found(settings()) == []
    assert found(settings(), None) == []


def test_memory_counts_rings_and_workers_and_says_both_numbers(limits) -> None:
    limits["memory"] = 560 * MIB
    (finding,) = found(settings("demo?size=160x120", "rtsp://h/x"))
    assert finding.level is Level.PROBLEM
    sizes = {
        name: int(size) for name, size in re.findall(r"(\w+) (\d+) MiB(?! stay)", finding.text)
    }
    total, there = sizes.pop("about"), sizes.pop("of")
    assert there == 560
    assert sizes == {"rings": 30, "workers": 80, "cameras": 120, "rest": 100}
    assert total == sum(sizes.values())
    limits["memory"] = 600 * MIB
    assert found(settings("demo?size=160x120", "rtsp://h/x")) == []
    assert found(settings("demo?size=160x120", "rtsp://h/x"), cam1=(3840, 2160))


def test_a_size_limit_makes_rings_smaller() -> None:
    large = CameraSettings(name="a", source=SourceText("rtsp://h/x"))
    small = CameraSettings(name="a", source=SourceText("rtsp://h/x"), max_size="640x360")
    assert doctor_limits.picture_size(large, None) == (1920, 1080)
    assert doctor_limits.picture_size(large, (3840, 2160)) == (3840, 2160)
    assert doctor_limits.picture_size(small, (3840, 2160)) == (640, 360)


def test_a_worker_that_would_be_replaced_for_its_size() -> None:
    heavy = PredictorFacts(0.01, 5 << 30, 4, 500 * MIB, uses_device=False)
    (finding,) = found(settings(), heavy)
    assert "5120 MiB and is replaced above 4096 MiB" in finding.text


@pytest.mark.parametrize(
    ("name", "limit", "subject", "cure"),
    [
        ("AS", 400 * MIB, "memory", "ulimit -v unlimited"),
        ("FSIZE", MIB, "file size", "ulimit -f unlimited"),
        ("threads", 20, "processes", "`ulimit -u` (or TasksMax=, --pids-limit) by 6"),
        ("NOFILE", 40, "descriptors", "ulimit -n 44"),
        ("descriptors", 128, "descriptors", "ulimit -Hn 10128"),
    ],
)
def test_a_limit_below_what_is_needed_is_a_problem(limits, name, limit, subject, cure) -> None:
    limits[name] = limit
    (finding,) = found(settings())
    assert (finding.level, finding.subject) == (Level.PROBLEM, subject)
    assert cure in finding.cure


def test_fewer_clients_than_may_come_are_a_warning(limits) -> None:
    limits["descriptors"] = 1024
    (finding,) = found(settings())
    assert finding.level is Level.WARN
    assert "896 clients" in finding.text


def test_more_workers_than_cores_are_a_warning(limits) -> None:
    limits["cores"] = 1
    assert found(settings()) == [], "the default on the smallest machine"
    (finding,) = found(settings(workers=3))
    assert finding.level is Level.WARN
    assert "3 on 1 cores" in finding.text


def test_gateways_share_the_clients_and_each_has_descriptors_of_its_own(limits) -> None:
    limits["descriptors"] = 4096
    assert found(settings(gateways=4)) == [], "a little more than a quarter each"
    limits["descriptors"] = 1024
    (finding,) = found(settings(gateways=4))
    assert "3584 clients" in finding.text


def test_more_gateways_than_cores_are_a_warning(limits) -> None:
    limits["cores"] = 2
    (finding,) = found(settings(gateways=3))
    assert (finding.level, finding.subject) == (Level.WARN, "gateways")
    assert "3 on 2 cores" in finding.text
