"""The page in a real browser: live, self-contained, and honest when the server is gone."""

from __future__ import annotations

import json
import os
import re
import signal
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from faults import limits
from runs import Run
from waiting import wait_until
from watched import Watched

from framefan_capture.sources.scene import COLOURS, Scene

pytestmark = pytest.mark.chromium
Open = Callable[..., Watched]

SHAPES = f"onnx:{Path(__file__).parents[2] / 'examples' / 'shapes' / 'shapes.onnx'}"
FRAMES = 100

# Of each frame that is drawn: its number, and for each box its label and the pixel in its middle.
COLLECT = """([camera, count]) => new Promise(resolve => {
    const canvas = document.querySelector(`[data-camera=${camera}] .screen canvas`);
    const frames = [];
    canvas.addEventListener("drawn", ({detail}) => {
        if (frames.length >= count) return;
        const pen = canvas.getContext("2d"), scale = canvas.width / detail.width;
        frames.push({frame: detail.frame, seen: (detail.detections || []).map(({label, box}) => {
            const x = (box[0] + box[2]) / 2 * scale, y = (box[1] + box[3]) / 2 * scale;
            return {label, box, pixel: [...pen.getImageData(x, y, 1, 1).data]};
        })});
        if (frames.length === count) resolve(frames);
    });
})"""


def test_boxes_sit_on_the_shapes_of_the_picture_under_them(opened: Open) -> None:
    scene = Scene(640, 360)
    with Run("front=demo?size=640x360&fps=25", "-p", SHAPES) as run:
        watched = opened()
        page = watched.page
        page.goto(run.url)
        page.wait_for_selector(".tile[data-picture='640']")
        frames = page.evaluate(COLLECT, ["front", FRAMES])
        watched.assert_quiet(run.url)
    boxes = 0
    for each in frames:
        truth = {shape.kind: shape.box for shape in scene.truth(each["frame"])}
        for seen in each["seen"]:
            colour = COLOURS.get(seen["label"])
            if colour is None:
                continue  # the codes are black and white
            middle = [(seen["box"][n] + seen["box"][n + 2]) / 2 for n in (0, 1)]
            box = truth[seen["label"]]
            assert all(box[n] < middle[n] < box[n + 2] for n in (0, 1)), "not of this frame"
            red, green, blue, _ = seen["pixel"]
            away = max(abs(a - b) for a, b in zip((blue, green, red), colour, strict=True))
            assert away < 70, (each["frame"], seen)
            boxes += 1
    assert boxes > 3.8 * FRAMES
    numbers = [each["frame"] for each in frames]
    assert numbers == sorted(set(numbers))


# Keeps all that the state of a camera says, since a look now and then may miss what stands briefly.
RECORD = """(camera) => {
    window.told = [];
    const state = document.querySelector(`[data-camera=${camera}] .state`);
    new MutationObserver(() => window.told.push(state.textContent))
        .observe(state, {childList: true, characterData: true, subtree: true});
}"""


def test_a_killed_camera_and_a_server_that_comes_back_are_told(opened: Open) -> None:
    with Run(
        "front=demo?size=320x240", "back=demo?size=320x240", env=limits(restart_first_s=3.0)
    ) as run:
        watched = opened()
        page = watched.page
        page.goto(run.url)
        page.wait_for_selector(".tile[data-camera=back][data-frame]")
        assert page.inner_text("#connection").endswith("live")
        page.evaluate(RECORD, "front")
        os.kill(run.camera("front").pid, signal.SIGKILL)
        page.wait_for_function("() => window.told.some((words) => /process/.test(words))")
        assert page.get_attribute(".tile[data-camera=back]", "data-state") != "backoff"
        page.wait_for_selector(".tile[data-camera=front][data-state=live]")
        os.kill(run.pid_of("gateway"), signal.SIGKILL)
        page.wait_for_selector("#connection[data-state=lost]")
        assert page.evaluate("document.body.classList.contains('stale')")
        page.wait_for_selector("#connection[data-state=live]", timeout=20_000)
        page.wait_for_selector(".tile[data-camera=front][data-frame]")
        url = run.url
    page.wait_for_function("() => /stopped, trying again in/.test(document.body.innerText)")
    page.wait_for_function(
        "() => /^[0-9]+ s$/.test(document.getElementById('countdown').innerText)"
    )
    assert page.is_visible("#again")
    assert float(page.eval_on_selector("#cameras", "it => getComputedStyle(it).opacity")) < 0.6
    assert all(url.split("://")[1] in asked for asked in watched.requests)


def test_a_token_is_asked_for_kept_out_of_addresses_and_works(opened: Open, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("open-sesame\n")
    with Run("front=demo?size=320x240", "--token-file", str(token)) as run:
        watched = opened(accept_downloads=True)
        page = watched.page
        page.goto(run.url)
        page.wait_for_selector("#door:not([hidden])")
        fields = page.locator("input:visible, button:visible, table:visible, h2:visible")
        told = [each.inner_text() or each.get_attribute("id") for each in fields.all()]
        assert told == ["This page needs a token", "token", "Connect"], "one field, nothing empty"
        assert "--token-file" in page.inner_text("#door")
        page.fill("#token", "wrong")
        page.press("#token", "Enter")
        page.wait_for_function("() => document.getElementById('refused').textContent !== ''")
        page.fill("#token", "open-sesame")
        page.click("#door button")
        page.wait_for_selector(".tile[data-frame]")
        page.wait_for_function("() => /2 of 2 workers/.test(document.body.innerText)")
        assert "Bearer TOKEN" in page.text_content("[data-snippet=python]")
        page.hover(".screen")
        with page.expect_download() as download:
            page.click(".snapshot")
        assert download.value.suggested_filename.startswith("front-")
        assert Path(download.value.path()).read_bytes().startswith(b"\xff\xd8")
        page.reload()  # it stays in this tab
        page.wait_for_selector(".tile[data-frame]")
        other = opened()
        other.page.goto(f"{run.url}/#token=open-sesame")
        other.page.wait_for_selector(".tile[data-frame]")
        assert "sesame" not in other.page.url
        for asked in (*watched.requests, *other.requests):
            assert "sesame" not in asked
        assert "sesame" not in run.log()


HOSTILE = '</p><img src=x onerror=\\"window.hit=1\\"><script>window.hit=1</script>'


def test_a_hostile_label_stays_text(opened: Open, tmp_path: Path) -> None:
    file = tmp_path / "hostile.py"
    file.write_text(
        "from framefan.ipc.records import Detection\n"
        f'def predict(image): return [Detection("{HOSTILE}", 0.5, (10, 10, 90, 90))]\n'
    )
    with Run("front=demo?size=320x240", "-p", f"{file}:predict") as run:
        watched = opened()
        watched.page.goto(run.url)
        watched.page.wait_for_selector(".labels li")
        watched.page.click(".open")
        watched.page.wait_for_selector(".results td")
        assert "<script>" in watched.page.inner_text(".labels")
        assert "<script>" in watched.page.inner_text(".results")
        assert watched.page.evaluate("window.hit") is None
        assert watched.page.query_selector(".tile img, .tile script") is None
        watched.assert_quiet(run.url)


def test_nobody_looks_and_no_picture_is_made(opened: Open) -> None:
    """A pause, and a page that is closed."""
    with Run("cam=demo?size=320x240", env=limits(state_every_s=0.1)) as run:
        assert run.camera("cam").previews == {}
        watched = opened()
        watched.page.goto(run.url)
        watched.page.wait_for_selector(".tile[data-frame]")
        watched.page.click("#pause")
        assert watched.page.inner_text(".cover") == "Paused"
        made = lambda: run.camera("cam").previews  # noqa: E731
        wait_until(lambda: (old := made()) == made() and old, 10, "an end of the pictures")
        before = made()
        watched.page.click("#pause")
        wait_until(lambda: made() != before, 10, "pictures again")
        watched.page.close()
        wait_until(lambda: (old := made()) == made() and old, 10, "an end of the pictures")


def test_one_camera_large_with_its_results_and_by_keyboard(opened: Open) -> None:
    with Run("front=demo?size=640x360", "back=demo?size=640x360&seed=2", "-p", SHAPES) as run:
        watched = opened()
        page = watched.page
        page.goto(run.url)
        page.wait_for_selector(".tile[data-camera=front][data-frame]")
        page.focus(".tile[data-camera=front] .open")
        page.keyboard.press("Enter")
        page.wait_for_selector(".tile.large .results td")
        assert not page.is_visible(".tile[data-camera=back]")
        page.click(".tile.large details summary")
        page.wait_for_function(
            "() => document.querySelector('.large .raw').textContent.length > 100"
        )
        raw = json.loads(page.inner_text(".large .raw"))
        assert (raw["type"], raw["camera"]) == ("result", "front")
        assert page.url.endswith("#camera=front")
        page.go_back()
        page.wait_for_selector(".tile[data-camera=back]")
        page.go_forward()
        page.wait_for_selector(".tile.large[data-camera=front]")
        page.reload()
        page.wait_for_selector(".tile.large[data-camera=front]")
        page.keyboard.press("Escape")
        page.wait_for_selector(".tile[data-camera=back][data-frame]")
        assert page.url.rstrip("/") == run.url
        watched.assert_quiet(run.url)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_barriers(opened: Open, scheme: str) -> None:
    sources = ("front=demo?size=320x240", "gone=rtsp://127.0.0.1:9/x")
    with Run(*sources, "-p", SHAPES) as run:
        page = opened(color_scheme=scheme).page
        page.goto(run.url)
        page.wait_for_selector(".tile[data-camera=front] .labels li")
        page.wait_for_selector(".tile[data-camera=gone]:not([data-state=live])")
        for opens in ("#clients summary", "#first-use summary"):
            page.click(opens)
        page.wait_for_selector("#clients td")
        found = Axe().run(page).response["violations"]
        serious = [
            (each["id"], [node["html"] for node in each["nodes"]][:3])
            for each in found
            if each["impact"] in ("serious", "critical")
        ]
        assert serious == []


def test_clients_and_snippets_name_this_server(opened: Open) -> None:
    with Run("front=demo?size=320x240") as run:
        page = opened().page
        page.goto(run.url)
        page.click("#clients summary")
        page.wait_for_function(
            "() => /pictures 640/.test(document.getElementById('clients').innerText)"
        )
        page.click("#first-use summary")
        assert run.ws in page.inner_text("[data-snippet=python]")
        for link in page.eval_on_selector_all(".links a", "all => all.map(each => each.href)"):
            assert urllib.request.urlopen(link).status == 200


WIDTHS = """async () => {
    const {Width} = await import("./width.js");
    const width = new Width(0), told = [];
    const pass = (from, to, conflated) => {
        for (let now = from; now < to; now += 3000) {
            for (let n = 0; n < 20; n++) width.result({missed_by: {conflated}});
            told.push(width.judge(now));
        }
    };
    width.show(1300, 0);
    pass(0, 6000, 0); pass(6000, 18000, 2); pass(18000, 60000, 0);
    width.show(300, 60000);
    told.push(width.judge(63000));
    return told;
}"""


RATES = """async () => {
    const {Rates, perSecond, inWords} = await import("./rates.js");
    const late = [0, 4, 11].map((after) => inWords(perSecond(3, 100, 115, 115 + after)));
    const rates = new Rates(), told = [];
    for (let ts = 0; ts < 120; ts += 2) {
        const count = Math.floor(ts / 5);
        const none = {bad: 0, errors: 0, lost_by: {}, superseded_by: {}};
        rates.look({ts, cameras: {slow: {captured: count, results: count, ...none}}});
        told.push(rates.flow("slow"));
    }
    return [late, told];
}"""


def test_a_slow_camera_has_its_rate_on_the_page(opened: Open) -> None:
    with Run("front=demo?size=320x240") as run:
        page = opened().page
        page.goto(run.url)
        late, told = page.evaluate(RATES)
    assert late == ["0.2", "0.2", "0.0"]
    assert told[0] is None
    for words in told[15:]:
        into, out = re.findall(r"([0-9.]+) fps", words)
        assert (float(into), float(out)) == pytest.approx((0.2, 0.2), abs=0.05)


def test_pictures_get_smaller_on_a_slow_line_and_larger_again(opened: Open) -> None:
    with Run("front=demo?size=320x240") as run:
        page = opened().page
        page.goto(run.url)
        told: list[Any] = page.evaluate(WIDTHS)
    assert told[:6] == [1280, 1280, 640, 320, 0, 0]
    rising = told[6:-1]
    assert rising == sorted(rising)
    assert rising[-1] >= 640
    assert told[-1] == 320
