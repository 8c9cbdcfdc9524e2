"""What examples/deploy gives to Prometheus and Grafana fits what a run serves, and raises alarm."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faults import limits
from prometheus_client.parser import text_string_to_metric_families
from runs import Run
from system_packages import promtool
from waiting import wait_until
from websockets.sync.client import connect

TESTS = Path(__file__).parents[1]
DEPLOY = TESTS.parent / "examples" / "deploy"
ALERTS = DEPLOY / "alerts.yml"
DASHBOARD = json.loads((DEPLOY / "dashboard.json").read_text())
FRAMES = 80
OF_PROMETHEUS = {"job", "instance", "le"}
OF_SEVERAL = {"predictor"}
"""Labels of a run with several predictors; without them a metric is one group, as is right."""
NOT_OF_STATUS = {
    *("build_info", "camera_state_changes_total", "loop_lag_worst_seconds", "table_age_seconds"),
    *("process_resident_bytes", "worker_busy_ratio"),
    *(f"{name}_seconds_{part}" for name in ("stage", "loop_lag")
      for part in ("bucket", "count", "sum")),
    *("outcomes_lost_total", "previews_total", "deliveries_missed_total"),  # there may be none
}  # fmt: skip
"""What passes between two questions, and what `/api/status` does not hold."""
YARD = """
import time
import numpy as np
def yard():
    for _ in range(150):
        yield np.full((90, 160), 90, np.uint8)
        time.sleep(0.03)
"""
"""Nothing moves there; it ends."""
PREDICTOR = """
seen = 0
def predict(image):
    global seen
    seen += 1
    return 1 / (seen % 3)
"""
Page = dict[str, dict[str, set[str]]]
"""Of each metric its labels, and of each label the values that were there."""


def expressions_of_the_dashboard() -> list[str]:
    """As Prometheus gets them: each variable has a value."""
    texts = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    return [re.sub(r"\$\w+", ".*", text.replace("$__rate_interval", "1m")) for text in texts]


def variables_of_the_dashboard() -> list[str]:
    queries = [each["query"] for each in DASHBOARD["templating"]["list"]]
    texts = [query["query"] for query in queries if isinstance(query, dict)]
    return [re.sub(r"\$\w+", ".*", text) for text in texts]


def expressions_of_the_alerts() -> list[str]:
    """The blocks behind `expr:`; the file is read as text, no YAML library is at hand."""
    text = ALERTS.read_text()
    return re.findall(r"^ {8}expr: (.*?)(?=^ {8}\w)", text, re.M | re.S)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Something of each kind has happened in it, and nothing more does."""
    predictor = tmp_path_factory.mktemp("predictor") / "odd.py"
    predictor.write_text(PREDICTOR)
    (predictor.parent / "yard.py").write_text(YARD)
    options = ("--gateways", "2", "--predictor", f"{predictor}:predict", "--workers", "1")
    options += ("--gate", "motion")  # in the demo something moves all the time
    cameras = (
        f"cam=demo?size=160x120&fps=20&frames={FRAMES}",
        "gate=rtsp://127.0.0.1:1/live",
        f"yard=py:{predictor.parent}/yard.py:yard",
    )
    with Run(*cameras, *options, env=limits(state_every_s=0.1)) as run:
        with connect(run.ws, proxy=None) as client:
            client.recv(timeout=20)
        os.kill(run.pid_of("capture"), signal.SIGKILL)  # a change into `live` that all hear of
        wait_until(lambda: b'state="live"' in _changes(run), 30, "a camera that is live again")
        wait_until(lambda: b'reason="still"' in _changes(run), 30, "a closed gate")
        for name in ("cam", "yard"):
            wait_until(lambda name=name: run.camera(name).state == "ended", 30)
        wait_until(lambda: b"framefan_closes_total{" in _metrics(run))
        yield run


@pytest.fixture(scope="module")
def page(run: Run) -> Page:
    found: Page = defaultdict(lambda: defaultdict(set))
    for name, labels in samples(run):
        for label, value in labels:
            found[name][label].add(value)
    return found


def samples(run: Run) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(_metrics(run).decode())
        for sample in family.samples
    }


def _changes(run: Run) -> bytes:
    told = _metrics(run).splitlines()
    return b"".join(each for each in told if each.startswith(b"framefan_camera_state_changes"))


def _metrics(run: Run) -> bytes:
    status, body = run.get("/metrics")
    assert status == 200
    return bytes(body)


def wrong_in(expression: str, page: Page) -> list[str]:
    """Metrics, labels and values in an expression that a run does not have."""
    wrong, labels = [], OF_PROMETHEUS | OF_SEVERAL
    for name, chosen in re.findall(r"(framefan_\w+)(?:\{([^}]*)\})?", expression):
        if name not in page:
            wrong.append(name)
            continue
        labels |= page[name].keys()
        for label, sign, value in re.findall(r'(\w+)(=~?|!=)"([^"]*)"', chosen):
            there = page[name].get(label, set())
            wanted = [] if label in OF_PROMETHEUS or value == ".*" else value.split("|")
            wrong += [f"{name}: {label}{sign}{each}" for each in wanted if each not in there]
            if not there and label not in OF_PROMETHEUS:
                wrong.append(f"{name}: {label}")
    grouped = re.findall(r"\b(?:by|on) \(([^)]*)\)", expression)
    named = {label.strip() for group in grouped for label in group.split(",")}
    return wrong + sorted(named - labels)


def test_each_metric_label_and_value_in_alerts_and_dashboard_is_one_of_a_run(page: Page) -> None:
    alerts = expressions_of_the_alerts()
    assert len(alerts) == len(re.findall(r"- alert:", ALERTS.read_text()))
    dashboard = expressions_of_the_dashboard() + variables_of_the_dashboard()
    for expression in alerts + dashboard:
        assert wrong_in(expression, page) == [], expression
    assert wrong_in('sum by (cam) (framefan_camera_state{state="alive", of="x"})', page) == [
        "framefan_camera_state: state=alive",
        "framefan_camera_state: of=x",
        "framefan_camera_state: of",
        "cam",
    ]
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in page}
    shown = {each for text in dashboard for each in re.findall(r"framefan_\w+", text)}
    assert families == {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}


def test_each_legend_names_labels_that_its_expression_has(page: Page) -> None:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                grouped = re.search(r"^(?:sum|max|count|histogram_quantile)\b.*?by \(([^)]*)\)",
                                    target["expr"])  # fmt: skip
                name = re.findall(r"framefan_\w+|\bup\b", target["expr"])[0]
                there = grouped[1].split(", ") if grouped else {*page[name], *OF_PROMETHEUS}
                assert label in there, (panel["title"], label)


def _promtool(*arguments: str | Path) -> str:
    ended = subprocess.run(
        [promtool() or "", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


@pytest.mark.promtool
def test_each_alert_is_raised_by_its_fault_and_by_no_other() -> None:
    _promtool("check", "rules", ALERTS)
    _promtool("test", "rules", TESTS / "alert_cases.yml")
    cases = (TESTS / "alert_cases.yml").read_text()
    for alert in re.findall(r"- alert: (\w+)", ALERTS.read_text()):
        assert f'{{alertname="{alert}", instance="{alert}"}}' in cases


@pytest.mark.promtool
def test_each_expression_of_the_dashboard_can_be_read(tmp_path: Path) -> None:
    rules: list[dict[str, Any]] = [
        {"record": f"shown:{number}", "expr": expression}
        for number, expression in enumerate(expressions_of_the_dashboard())
    ]
    file = tmp_path / "dashboard.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in _promtool("check", "rules", file)


def test_status_and_metrics_tell_the_same_counts(run: Run) -> None:
    """All that both tell, but for times, which pass between two questions."""

    def differences() -> list[str]:
        status, there = run.get("/api/status")[1], samples(run)
        counted = {(f"framefan_{n}", frozenset(of.items())): v for n, of, v in told(status)}
        untold = {name for name, _ in there} - {name for name, _ in counted}
        assert untold <= {f"framefan_{name}" for name in NOT_OF_STATUS}
        return [str(key) for key, value in counted.items() if there.get(key) != value]

    wait_until(lambda: not differences(), what=f"the same counts; differing: {differences()}")


def told(status: Any) -> Iterator[tuple[str, dict[str, str], float]]:
    """What /api/status tells, as /metrics names it."""
    for name, camera in status["cameras"].items():
        yield from _of_a_camera(name, camera)
    for worker in status["workers"]:
        of = {"process": "worker", "role": str(worker["id"])}
        yield "process_restarts_total", of, worker["restarts"]
    states = [worker["state"] for worker in status["workers"]]
    for state in set(states):
        yield "workers", {"state": state}, states.count(state)
    for gateway in status["gateways"]:
        yield from _of_a_gateway(gateway)
    yield "process_restarts_total", {"process": "pool", "role": ""}, status["pool"]["restarts"]
    for what in ("foreign", "stale"):
        yield f"bus_{what}_total", {"process": "pool", "role": ""}, status[what]


def _of_a_camera(name: str, camera: Any) -> Iterator[tuple[str, dict[str, str], float]]:
    of = {"camera": name}
    for field in ("captured", "leased", "bad"):
        yield f"frames_{field}_total", of, camera[field]
    for field in ("waiting", "running"):
        yield f"frames_{field}", of, camera[field]
    for field in ("result", "error", "lost"):
        key = field if field == "lost" else f"{field}s"
        yield "outcomes_total", of | {"kind": field}, camera[key]
    for metric, field, label in (
        ("frames_superseded_total", "superseded_by", "cause"),
        ("outcomes_lost_total", "lost_by", "cause"),
        ("previews_total", "previews", "picture"),
    ):
        for value, count in camera[field].items():
            yield metric, of | {label: value}, count
    yield "preview_cpu_seconds_total", of, camera["preview_cpu_s"]
    yield "camera_errors_in_row", of, camera["errors_in_row"]
    yield "camera_state", of | {"state": camera["state"]}, 1
    yield "process_restarts_total", {"process": "capture", "role": name}, camera["restarts"]


def _of_a_gateway(row: Any) -> Iterator[tuple[str, dict[str, str], float]]:
    of = {"gateway": str(row["id"])}
    process = {"process": "gateway", "role": of["gateway"]}
    yield "clients", of, row["clients"]
    for field in ("offered", "sent"):
        yield f"deliveries_{field}_total", of, row[field]
    for cause, count in row["missed_by"].items():
        yield "deliveries_missed_total", of | {"cause": cause}, count
    yield "deliveries_pending", of, row["offered"] - row["sent"] - row["missed"]
    yield "sent_bytes_total", of, row["bytes"]
    for code, count in row["closed_by"].items():
        yield "closes_total", of | {"code": code}, count
    for what in ("foreign", "stale"):
        yield f"bus_{what}_total", process, row[what]
    yield "bus_gaps_total", of, row["bus_gaps"]
    yield "process_restarts_total", process, row["restarts"]
