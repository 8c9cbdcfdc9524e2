"""Reloading: files are read aside, one at a time; what cannot be read changes nothing."""

from __future__ import annotations

import threading

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from waiting import wait_until

from framefan.base.clock import now
from framefan.config.configure import Invocation
from framefan.config.options import Options
from framefan.errors import UsageError
from framefan.ipc.messages import Changed, Changing, NotDone, Reloaded, Scale, ScaleGateways, Swap
from framefan.settings.run import CameraSettings, Settings
from framefan.settings.secret import SourceText
from framefan.supervisor import reload
from framefan.supervisor.reload import READ_S, UNDER_WAY, Reloads, lines
from framefan.supervisor.reload_plan import Plan


def camera(name: str, source: str = "demo", **fields: object) -> CameraSettings:
    return CameraSettings(name=name, source=SourceText(source), **fields)


def settings(*cameras: CameraSettings, **fields: object) -> Settings:
    return Settings(cameras=cameras, **fields)


class Asker:
    """A client that keeps its answers."""

    def __init__(self) -> None:
        self.answers: list[Reloaded | NotDone] = []
        self.steps: list[Changing] = []
        self.answer = self.answers.append
        self.tell = self.steps.append


class World:
    def __init__(self, invocation: Invocation) -> None:
        self.acted: list[tuple[Plan, Settings]] = []
        self.steps: list[reload.Asker] = []
        """What was asked of the run besides, and is not answered yet."""
        self.reloads = Reloads(
            settings(camera("a")),
            invocation,
            lambda *told: self.acted.append(told),
            self.steps.append,
            lambda: self.run,
        )
        self.run = settings(camera("a"))
        """What it has now, which `framefan scale` and `swap` change too."""

    def answer(self) -> Reloaded | NotDone:
        asker = Asker()
        self.reloads.ask(asker)

        def answered() -> list:
            self.reloads.tick(now())
            return asker.answers

        (answer,) = wait_until(answered)
        assert self.reloads.next_event() == float("inf")
        return answer


class Blocking(Invocation, frozen=True):
    go: threading.Event

    def read_again(self) -> tuple[Settings, list[str]]:
        self.go.wait()
        return settings(camera("b")), ["a note"]


@pytest.fixture
def blocking():
    made = Blocking((), Options(config="f.toml"), {}, threading.Event())
    yield made
    made.go.set()


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / "f.toml"


def reading(file) -> Invocation:
    return Invocation((), Options(config=str(file)), {})


def test_a_good_file_is_done_once_and_remembered(file) -> None:
    world = World(reading(file))
    file.write_text('[[camera]]\nname = "b"\nsource = "demo"\n')
    answer = world.answer()
    assert (answer.added, answer.removed, answer.kept) == (["b"], ["a"], [])
    ((made, new),) = world.acted
    assert made.added == ["b"]
    assert [each.name for each in new.cameras] == ["b"]
    again = world.answer()
    assert (again.added, again.removed, again.kept) == ([], [], ["b"])
    assert len(world.acted) == 1, "nothing to do"


def test_workers_gateways_and_predictor_are_changed_one_after_the_other(file) -> None:
    world = World(reading(file))
    mine = '[[camera]]\nname = "a"\nsource = "demo"\n'
    head = 'workers = 3\ngateways = 2\npredictor = "qr"\n'
    file.write_text(head + mine)
    asker, other = Asker(), Asker()
    world.reloads.ask(asker)
    wait_until(lambda: world.reloads.tick(now()) or world.steps)
    world.reloads.ask(other)
    assert other.answers == [UNDER_WAY]
    assert world.reloads.next_event() == float("inf"), "whose step it is has the run's own events"
    requests = []
    for answer in (
        Changed("workers", "2", "3", ["slow"]),
        NotDone(1, "gateway 2 did not start", "it ended"),
        Changed("predictor", "motion", "qr", []),
    ):
        (step,) = world.steps
        world.steps.clear()
        requests.append(step.request)
        step.tell(Changing("at it"))
        world.reloads.tick(now() + READ_S + 1)
        assert not asker.answers
        step.answer(answer)
    assert requests == [Scale(3), ScaleGateways(2), Swap("qr")]
    (done,) = asker.answers
    assert done.applied == {"workers": ("2", "3"), "predictor": ("motion", "qr")}
    assert done.failed == [
        "gateways did not become 2: gateway 2 did not start: it ended",
    ]
    assert done.notes == ["slow"]
    assert len(asker.steps) == 6
    world.reloads.ask(Asker())
    wait_until(lambda: world.reloads.tick(now()) or world.steps)
    assert world.steps[0].request == ScaleGateways(2), "what failed is tried again"


@pytest.mark.parametrize(
    ("field", "now", "value", "command"),
    [
        ("workers", 4, 2, "framefan scale 2"),
        ("gateways", 3, 1, "framefan scale --gateways 1"),
        ("predictor", "/x/my size.py:f", "motion", "framefan swap motion"),
    ],
)
def test_what_was_scaled_or_swapped_stays_and_is_told(file, field, now, value, command) -> None:
    """Only what changed in the file is applied; else adding a camera would undo a scale."""
    world = World(reading(file))
    file.write_text('[[camera]]\nname = "a"\nsource = "demo"\n')
    world.run = msgspec.structs.replace(world.run, **{field: now})
    answer = world.answer()
    assert (world.steps, answer.applied) == ([], {})
    (note,) = answer.notes
    assert note == (
        f"{field} is {now} since `framefan {command.split()[1]}`, and {value} in the "
        f"configuration, where it did not change; to go back: {command}"
    )
    assert lines(answer) == ["nothing changed in the run", f"note     {note}"]


def test_a_file_that_now_says_what_the_run_has_changes_nothing(file, monkeypatch) -> None:
    world = World(reading(file))
    head = 'workers = 4\npredictor = "size.py:f"\n'
    (file.parent / "size.py").write_text("def f(image): return 1\n")
    monkeypatch.chdir(file.parent)
    file.write_text(head + '[[camera]]\nname = "a"\nsource = "demo"\n')
    world.run = msgspec.structs.replace(world.run, workers=4, predictor=f"{file.parent}/size.py:f")
    answer = world.answer()
    assert (world.steps, answer.applied, answer.notes) == ([], {}, [])
    assert lines(answer) == ["nothing changed"]


def test_a_bad_file_changes_nothing(file) -> None:
    world = World(reading(file))
    file.write_text('[[camera]]\nname = "b"\nsuorce = "demo"\n')
    answer = world.answer()
    assert isinstance(answer, NotDone)
    assert answer.exit_code == 2
    assert "camera.suorce" in answer.what
    assert answer.fix == "did you mean source?"
    file.unlink()
    assert world.answer().exit_code == 3
    assert not world.acted
    file.write_text('[[camera]]\nname = "a"\nsource = "demo"\n')
    assert world.answer().kept == ["a"]


def test_no_file_to_read() -> None:
    answer = World(Invocation((), Options(), {})).answer()
    assert (answer.exit_code, "--config" in answer.what, "--config" in answer.fix) == (
        2,
        True,
        True,
    )


def test_while_one_is_under_way_another_is_told_so(blocking) -> None:
    world = World(blocking)
    first, second = Asker(), Asker()
    world.reloads.ask(first)
    world.reloads.ask(second)
    assert second.answers == [UNDER_WAY]
    world.reloads.tick(now())
    assert not first.answers
    assert world.reloads.next_event() < now() + 1
    blocking.go.set()
    wait_until(lambda: world.reloads.tick(now()) or first.answers)
    assert first.answers[0].notes[-1] == "a note"


def test_what_was_read_and_not_yet_told_is_under_way_too(blocking) -> None:
    world = World(blocking)
    first, second = Asker(), Asker()
    world.reloads.ask(first)
    blocking.go.set()
    wait_until(lambda: not world.reloads._reading.is_alive())
    world.reloads.ask(second)
    assert second.answers == [UNDER_WAY]
    world.reloads.tick(now())
    assert first.answers[0].added == ["b"]


def test_a_file_that_does_not_answer_is_given_up_and_nothing_is_done(blocking) -> None:
    world = World(blocking)
    asker = Asker()
    world.reloads.ask(asker)
    world.reloads.tick(now() + READ_S + 1)
    assert asker.answers[0].exit_code == 1
    assert "f.toml" in asker.answers[0].why
    world.reloads.ask(later := Asker())
    assert later.answers == [UNDER_WAY], "its thread may hang for ever: one is enough"
    blocking.go.set()
    wait_until(lambda: not world.reloads._reading.is_alive())
    world.reloads.tick(now())
    assert not world.acted


def test_an_error_of_our_own_is_an_answer_too(monkeypatch) -> None:
    class Broken(Invocation, frozen=True):
        def read_again(self) -> tuple[Settings, list[str]]:
            raise ZeroDivisionError

    answer = World(Broken((), Options(), {})).answer()
    assert "ZeroDivisionError" in answer.what


def test_cameras_named_at_the_start_are_not_taken_from_the_file(file) -> None:
    file.write_text('[[camera]]\nname = "b"\nsource = "demo"\n')
    made = Invocation(("a=demo",), Options(config=str(file)), {})
    read, notes = made.read_again()
    assert [each.name for each in read.cameras] == ["a"]
    assert "override the [[camera]] tables" in notes[0]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "is empty"),
        ("\n# [[camera]]\n", "is empty"),
        ("\ufeff", "is empty"),
        ("workers = 1\n", "names no camera"),
        ("camera = []\nsources = []\n", "names no camera"),
        ("[limits]\ngrace_s = 3\n", "names no camera"),
        ("[[camera]]\n", "has no source"),
        ('[[camera]]\nname = "a"\nsour', "is not TOML"),
        ('[[camera]]\nname = "a"\nsource = "de', "is not TOML"),
        ("\0" * 40, "is not TOML"),
    ],
)
def test_a_file_that_is_half_written_changes_nothing(file, text: str, what: str) -> None:
    world = World(reading(file))
    file.write_text(text)
    answer = world.answer()
    assert isinstance(answer, NotDone)
    assert what in answer.what
    assert answer.exit_code == 2
    assert answer.why
    assert answer.fix
    assert not world.acted


WHOLE = """
workers = 3
[[camera]]
name = "a"
source = "demo"
[[camera]]
name = "b"
source = "demo?fps=5"
"""


@given(st.integers(0, len(WHOLE)))
def test_a_file_that_was_cut_off_does_not_start_the_demo(tmp_path_factory, cut: int) -> None:
    """Wherever it ends: it is refused, or it names cameras that the whole file has too."""
    file = tmp_path_factory.getbasetemp() / "cut.toml"
    file.write_text(WHOLE[:cut])
    try:
        read, _ = reading(file).read_again()
    except UsageError:
        return
    assert {each.name for each in read.cameras} <= {"a", "b", "cam1", "demo"}
    assert "[[camera]]" in WHOLE[:cut]


def test_a_file_that_is_being_written_is_read_when_complete(file, monkeypatch) -> None:
    """What stands there meanwhile is good TOML, and would remove a camera."""
    monkeypatch.setattr(reload, "_QUIET_S", 1.0)
    world = World(reading(file))
    asker = Asker()
    a, b = (f'[[camera]]\nname = "{name}"\nsource = "demo"\n' for name in "ab")
    file.write_text(b)
    world.reloads.ask(asker)
    world.reloads.tick(now())
    with file.open("a") as writer:
        writer.write(a)
    wait_until(lambda: world.reloads.tick(now()) or asker.answers)
    assert (asker.answers[0].added, asker.answers[0].removed) == (["b"], [])


def test_a_file_that_asks_for_the_demo_gets_it(file) -> None:
    file.write_text('sources = ["demo"]\n')
    read, notes = Invocation((), Options(), {"FRAMEFAN_CONFIG": str(file)}).read_again()
    assert [each.name for each in read.cameras] == ["demo"]
    assert notes == []


def test_an_empty_file_does_not_undo_its_other_keys_either(file) -> None:
    """The cameras were named at the start; workers and predictor stood in the file."""
    file.write_text("")
    with pytest.raises(UsageError, match="is empty"):
        Invocation(("a=demo",), Options(config=str(file)), {}).read_again()


@pytest.mark.parametrize(
    "text",
    [
        '[[camera]]\nname = "b"\nsource = "ftp://u:hunter2@h/x"\n',
        'sources = "http://cam/v?token=hunter2"\n',
        'sources = ["rtsp://u:hunter2 too@h/", 3]\n',
        'camera = ["http://cam/v?token=hunter2"]\n',
        'camera = "http://cam/v?token=hunter2"\n',
    ],
)
def test_a_bad_file_names_its_key_and_not_its_secret(file, text: str) -> None:
    file.write_text(text)
    with pytest.raises(UsageError) as raised:
        reading(file).read_again()
    assert "hunter2" not in "\n".join(raised.value.lines())
