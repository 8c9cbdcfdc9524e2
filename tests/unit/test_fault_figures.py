"""The figures of long chaos runs keep the worst of all, and never lose a failure."""

from __future__ import annotations

from fault_figures import together


def _report(**changes: object) -> dict[str, object]:
    fault = {"name": "worker killed", "recovery_s": 0.5, "limit_s": 2.0, "p99_ms": 20.0}
    told = {"seed": 1, "seconds": 1800.0, "results": 10, "passed": True, "wrong": [], "late": []}
    told |= {"faults": [fault], "growth": {"pool": 5}, "descriptors": {"pool": 0}}
    return told | changes


def test_the_worst_of_all_runs_is_kept() -> None:
    worse = {"name": "worker killed", "recovery_s": 1.5, "limit_s": 2.0, "p99_ms": 10.0}
    found = together(
        [
            _report(),
            _report(
                faults=[worse],
                growth={"pool": 9},
                wrong=["torn"],
                late=["late"],
                descriptors={"pool": 1},
                passed=False,
            ),
        ]
    )
    assert found["faults"]["worker killed"] == {
        "times": 2,
        "longest_s": 1.5,
        "p99_ms": 20,
        "limit_s": 2.0,
    }
    assert (found["wrong"], found["late"], found["descriptors"]) == (1, 1, 1)
    assert found["growth"] == {"pool": 9}
    assert [run["passed"] for run in found["runs"]] == [True, False]
