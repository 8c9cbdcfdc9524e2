"""Flags, environment and file become one record; what is wrong is named, with its exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from framefan.config.camera_settings import COMMANDS
from framefan.config.configure import configure
from framefan.config.options import Options
from framefan.errors import FramefanError, StartError, UsageError
from framefan.settings.run import Settings


@pytest.fixture(autouse=True)
def _runtime(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def settings(*sources: str, env: dict[str, str] | None = None, **options: object) -> Settings:
    return configure(sources, Options(**options), env or {})[0]


def names(*sources: str) -> list[str]:
    return [camera.name for camera in settings(*sources).cameras]


def touch(name: str, text: str = "x") -> str:
    Path(name).write_text(text)
    return name


def test_nothing_said_is_the_demo_with_the_documented_defaults() -> None:
    made = settings()
    assert [(camera.name, camera.source.reveal(), camera.mode) for camera in made.cameras] == [
        ("demo", "demo", "live")
    ]
    assert (made.workers, made.host, made.port, made.name) == (2, "127.0.0.1", 8765, "default")
    assert not made.cameras[0].loop


def test_names_are_given_or_counted() -> None:
    touch("a.mp4")
    assert names("demo", "demo?fps=5", "a.mp4", "rtsp://h/x", "door=0") == [
        *("demo", "demo2", "cam1", "cam2", "door")
    ]
    assert names("0", "cam1=1", "demo", "demo2=demo", "demo", "1") == [
        *("cam2", "cam1", "demo", "demo2", "demo3", "cam3")
    ], "never one that was given"


def test_flag_beats_environment_beats_file_beats_default() -> None:
    file = touch("f.toml", 'workers = 3\nport = 1003\nhost = "127.0.0.3"\n')
    env = {"FRAMEFAN_WORKERS": "4", "FRAMEFAN_PORT": "1004", "FRAMEFAN_CONFIG": file}
    made = settings(env=env, workers=5)
    assert (made.workers, made.port, made.host, made.predictor) == (5, 1004, "127.0.0.3", "motion")


def test_environment_speaks_every_type() -> None:
    touch("a b.mp4")
    made = settings(
        env={
            "FRAMEFAN_SOURCES": "'a b.mp4' x=demo",
            "FRAMEFAN_LOOP": "true",
            "FRAMEFAN_DURATION": "1.5",
            "FRAMEFAN_LIMITS_GRACE_S": "3",
            "FRAMEFAN_ORIGIN": "https://a https://b",
            "FRAMEFAN_TEST_ANYTHING": "ours",
            "OTHER": "not ours",
        }
    )
    assert [camera.source.reveal() for camera in made.cameras] == ["a b.mp4", "demo"]
    assert all(camera.loop for camera in made.cameras)
    assert (made.duration_s, made.limits.grace_s) == (1.5, 3.0)
    assert made.origins == ("https://a", "https://b")


def test_a_file_has_limits_and_cameras_and_both_spellings() -> None:
    file = touch(
        "f.toml",
        """
        log-level = "debug"
        mode = "live"
        [limits]
        predict-s = 2
        [[camera]]
        name = "front"
        source = "rtsp://h/x"
        stalled-s = 30
        [[camera]]
        source = "demo"
        mode = "every"
        """,
    )
    made = settings(config=file)
    assert made.log_level == "debug"
    assert made.limits.predict_s == 2
    front, demo = made.cameras
    assert (front.name, front.stalled_s, front.mode) == ("front", 30, "live")
    assert (demo.name, demo.mode) == ("demo", "every")
    assert [camera.name for camera in settings("x=demo", config=file).cameras] == ["x"]


def test_open_is_told_beside_the_settings() -> None:
    assert configure((), Options(open=True), {})[1] is True
    assert configure((), Options(), {})[1] is False


def test_a_token_opens_the_host() -> None:
    made = settings(host="0.0.0.0", token_file=touch("t", "s3cret\n"))
    assert (made.host, made.token.reveal()) == ("0.0.0.0", "s3cret")
    assert settings(token_file=touch("bom", "\ufeffs3cret\r\n")).token.reveal() == "s3cret"
    assert settings(host="0.0.0.0", env={"FRAMEFAN_TOKEN": "fr0m"}).token.reveal() == "fr0m"
    both = settings(env={"FRAMEFAN_TOKEN": "fr0m"}, token_file="t")
    assert both.token.reveal() == "s3cret"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://Panel.Example", "https://panel.example"),
        ("http://localhost:3000/", "http://localhost:3000"),
        ("http://[::1]:80", "http://[::1]:80"),
        ("chrome-extension://abc", "chrome-extension://abc"),
    ],
)
def test_origins_are_kept_as_browsers_send_them(given: str, kept: str) -> None:
    assert settings(origin=[given]).origins == (kept,)


@pytest.mark.parametrize("text", ["null", "file://"])
def test_the_origin_of_pages_from_files_needs_a_token(text: str) -> None:
    refuse(2, f"--origin {text} without a token", "--token-file", origin=[text])
    assert settings(origin=[text], token_file=touch("t", "s3cret")).origins == (text,)


@pytest.mark.parametrize(
    "text", ["", "foo", "Null", "file:///home", "*", "localhost:3000", "http://", "http://a/b"]
)
def test_origins_that_no_browser_sends(text: str) -> None:
    refuse(2, "--origin", "http://localhost:3000", origin=[text])


def refuse(code: int, *words: str, sources: tuple[str, ...] = (), **options: object) -> None:
    env = options.pop("env", {})
    with pytest.raises(FramefanError) as raised:
        configure(sources, Options(**options), env)  # type: ignore[arg-type]
    error = raised.value
    assert error.exit_code == code, error.lines()
    assert isinstance(error, UsageError if code == 2 else StartError)
    text = "\n".join(error.lines())
    for word in words:
        assert word in text
    assert len(error.lines()) == 3
    assert all("\n" not in line for line in error.lines())


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        (("ftp://h/x",), ("ftp",)),
        (("file:///etc/passwd",), ("file",)),
        (("concat:a|b",), ("concat",)),
        (("",), ("empty",)),
        (("A=demo",), ('"A"',)),
        (("=demo",), ("name",)),
        (("x=demo", "x=demo"), ("two cameras",)),
    ],
)
def test_sources_that_are_malformed(sources: tuple[str, ...], words: tuple[str, ...]) -> None:
    refuse(2, *words, sources=sources)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nix.mp4", ("nix.mp4", "No such file")),
        ("statsu", ("did you mean the command `framefan status`",)),
        (".", ("folder",)),
        ("nix_%03d.png", ("no image",)),
        ("nix/*.png", ("no image",)),
    ],
)
def test_sources_that_are_not_there(source: str, words: tuple[str, ...]) -> None:
    refuse(3, *words, sources=(source,))


MISSING = ["nix.mp4", ".", "nix_%03d.png", "nix/*.png", "py:nix.py:f", "~/nix.mp4"]


@pytest.mark.parametrize("source", MISSING)
def test_a_source_that_is_not_there_is_that_cameras_state(source: str) -> None:
    assert len(settings("demo", source).cameras) == 2
    refuse(3, "nix" if source != "." else "folder", sources=("demo", source), fail_fast=True)
    refuse(3, sources=(source, source))
    refuse(2, "ftp", sources=("demo", source, "ftp://x"))


def test_a_pattern_that_matches() -> None:
    touch("a_0001.png")
    assert settings("a_%04d.png").cameras[0].source.reveal() == "a_%04d.png"


def test_what_an_address_of_the_web_gives_is_seen_when_it_is_opened() -> None:
    assert settings("http://h/film.mp4", mode="every").cameras[0].mode == "every"
    assert settings("http://h/film.mp4", fast=True).cameras[0].mode == "live"


@pytest.mark.parametrize("source", ["rtsp://u:hunter2@h/x?hunter2", "0"])
def test_every_needs_a_source_that_waits(source: str) -> None:
    refuse(2, "every", "live stream", sources=(source,), mode="every")
    with pytest.raises(UsageError) as raised:
        settings(source, mode="every")
    assert "hunter2" not in "\n".join(raised.value.lines())


@pytest.mark.parametrize(
    "reference",
    ["moton", "foo.py", "a.b", ":x", "pkg:", "x.py:", "x.py:1", "pkg.:a", "onnx:", "a b:c"],
)
def test_predictors_that_are_malformed(reference: str) -> None:
    refuse(2, "predictor", predictor=reference)


def test_predictors() -> None:
    refuse(3, "nix.py", predictor="nix.py:Name")
    refuse(2, "did you mean motion?", predictor="moton")
    assert settings(predictor=f"{touch('my.py')}:Name").predictor == "my.py:Name"
    assert settings(predictor="pkg.mod:Name").predictor == "pkg.mod:Name"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"host": "0.0.0.0"}, ("token",)),
        ({"host": "::"}, ("--token-file",)),
        ({"host": "192.168.0.4"}, ("token",)),
        ({"workers": 0}, ("--workers", "between")),
        ({"port": 70000}, ("--port", "65535")),
        ({"name": "No"}, ('"No"',)),
        ({"name": "a/../b"}, ("run",)),
    ],
)
def test_values_that_cannot_be(options: dict[str, object], words: tuple[str, ...]) -> None:
    refuse(2, *words, **options)


@pytest.mark.parametrize("option", ["token_file", "tls_cert", "tls_key"])
def test_files_that_are_not_there(option: str) -> None:
    refuse(3, "nix", **{option: "nix"})


def test_a_certificate_without_its_key() -> None:
    refuse(2, "--tls-key", tls_cert=touch("c.pem"))
    both = settings(tls_cert="c.pem", tls_key=touch("k.pem"))
    assert (both.tls_cert, both.tls_key) == ("c.pem", "k.pem")


@pytest.mark.parametrize("text", ["", "\n", "two words", "ümlaut", "a\x07b"])
def test_token_files_without_a_token(text: str) -> None:
    refuse(3, "token", token_file=touch("t", text))
    refuse(3, "FRAMEFAN_TOKEN", "make one", env={"FRAMEFAN_TOKEN": text})


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("wrokers = 3", 2, ("wrokers", "did you mean workers?")),
        ("[limits]\ngrace = 3", 2, ("limits.grace", "did you mean grace_s?")),
        ('config = "other.toml"', 2, ("the key config",)),
        ('log-level = "info"\nlog_level = "debug"', 2, ("log-level", "twice")),
        ("[limit]\ngrace_s = 1", 2, ("did you mean limits?",)),
        ("limits = 3", 2, ("limits",)),
        ("[[camera]]\nname = 'a'\nsuorce = 'demo'", 2, ("suorce", "did you mean source?")),
        ("[[camera]]\nname = 'a'", 2, ("source",)),
        ("camera = 3", 2, ("camera",)),
        ("camera = [3]", 2, ("camera",)),
        ("workers = 'three'", 2, ("workers",)),
        ("workers = true", 2, ("workers",)),
        ("mode = 'evry'", 2, ("mode", "it may be live or every")),
        ("workers = = 3", 2, ("not TOML",)),
        ("sources = ['nix.mp4']", 3, ("nix.mp4",)),
    ],
)
def test_files_with_mistakes(text: str, code: int, words: tuple[str, ...]) -> None:
    refuse(code, *words, config=touch("f.toml", text))


def test_an_unknown_key_is_told_with_those_that_are_known() -> None:
    with pytest.raises(UsageError) as raised:
        settings(config=touch("f.toml", "x = 1"))
    listed = raised.value.why.removeprefix("known: ").split(", ")
    assert {"workers", "sources", "publish", "limits", "camera"} < set(listed)


def test_a_configuration_that_is_not_there() -> None:
    refuse(3, "nix.toml", config="nix.toml")


TOML = '# Tür\nworkers = 3\n[[camera]]\nname = "a"\nsource = "demo"\n'


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_configuration_as_editors_save_it(mark: str, end: str) -> None:
    Path("f.toml").write_bytes((mark + TOML.replace("\n", end)).encode())
    assert settings(config="f.toml").workers == 3


def test_a_configuration_that_is_nested_too_deeply() -> None:
    Path("f.toml").write_text("a = " + "[" * 9000 + "]" * 9000)
    refuse(2, "f.toml is not TOML", "nested", config="f.toml")


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("utf-16", ("UTF-16", "save it as UTF-8", "iconv")),
        ("utf-16-le", ("UTF-16", "save it as UTF-8")),
        ("utf-16-be", ("UTF-16", "save it as UTF-8")),
        ("utf-32", ("UTF-32", "save it as UTF-8")),
        ("utf-32-be", ("UTF-32", "save it as UTF-8")),
        ("latin-1", ("not UTF-8", "line 1", "0xfc", "save it as UTF-8")),
        ("cp850", ("not UTF-8", "line 1", "save it as UTF-8")),
    ],
)
def test_a_configuration_in_another_encoding(encoding: str, words: tuple[str, ...]) -> None:
    Path("f.toml").write_bytes(TOML.encode(encoding))
    refuse(2, "f.toml is not TOML", *words, config="f.toml")


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("FRAMEFAN_WROKERS", "3", ("did you mean FRAMEFAN_WORKERS?",)),
        ("FRAMEFAN_LIMITS_GRACE", "3", ("did you mean FRAMEFAN_LIMITS_GRACE_S?",)),
        ("FRAMEFAN_WORKERS", "many", ("FRAMEFAN_WORKERS", "many")),
        ("FRAMEFAN_PORT", "tcp://10.0.0.1:80", ("FRAMEFAN_PORT", "enableServiceLinks: false")),
        ("FRAMEFAN_SERVICE_PORT", "80", ("FRAMEFAN_SERVICE_PORT", "enableServiceLinks: false")),
        ("FRAMEFAN_SERVICE_PORT_HTTP", "80", ("enableServiceLinks: false",)),
        ("FRAMEFAN_WEB_PORT_80_TCP_ADDR", "10.0.0.1", ("enableServiceLinks: false",)),
        ("FRAMEFAN_PORT", "1.9", ("FRAMEFAN_PORT",)),
        ("FRAMEFAN_SOURCES", 'a "rtsp://u:hunter2@h', ("FRAMEFAN_SOURCES", "no closing quot")),
        ("FRAMEFAN_LOOP", "perhaps", ("FRAMEFAN_LOOP",)),
    ],
)
def test_variables_with_mistakes(variable: str, value: str, words: tuple[str, ...]) -> None:
    refuse(2, *words, env={variable: value})


EVERY_KEY = [key for key in Options.__dataclass_fields__ if key != "config"]


@pytest.mark.parametrize("text", ["", " ", "\n"])
def test_an_empty_variable_is_not_set(text: str) -> None:
    env = {f"FRAMEFAN_{key.upper()}": text for key in [*EVERY_KEY, "config", "sources", "nix"]}
    assert settings(env=env | {"FRAMEFAN_LIMITS_GRACE_S": text}) == settings()


def test_an_overridden_value_is_not_checked() -> None:
    bad = {"FRAMEFAN_PORT": "tcp://10.0.0.1:80", "FRAMEFAN_SOURCES": 'a "b', "FRAMEFAN_LOOP": "x"}
    assert settings("demo", env=bad, port=0, loop=False).port == 0
    file = touch(
        "f.toml",
        "workers = 'many'\npredictor = 3\n[limits]\ngrace_s = 'x'\n[[camera]]\nsuorce = 1\n",
    )
    env = {"FRAMEFAN_WORKERS": "3", "FRAMEFAN_LIMITS_GRACE_S": "2"}
    made = settings("x=demo", env=env, config=file, predictor="motion")
    assert (made.workers, made.limits.grace_s, made.cameras[0].name) == (3, 2, "x")
    refuse(2, "grace_s", config=file, sources=("demo",))


def test_the_list_of_commands_is_the_command_lines() -> None:
    from framefan.commands.cli import app

    assert set(COMMANDS) == {name for name in app if not name.startswith("-")}
