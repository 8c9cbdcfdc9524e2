"""RUN_DIR: one holder, no leftovers, no trust in what others made."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from framefan.errors import RunError, StartError, UsageError
from framefan.settings.run import run_dir, run_root
from framefan.supervisor import rundir
from framefan.supervisor.rundir import RunDir


@pytest.fixture(autouse=True)
def runtime(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def test_it_is_private_and_gone_afterwards(runtime: Path) -> None:
    with RunDir("a") as place:
        assert place.path == runtime / "framefan" / "a"
        assert place.path.stat().st_mode & 0o777 == 0o700
        assert rundir.holder(place.path) == os.getpid()
        (place.path / "pool").touch()
        assert rundir.running() == ["a"]
    assert not place.path.exists()
    assert rundir.running() == []


def test_the_second_is_refused_and_the_first_unharmed() -> None:
    with RunDir("a") as place:
        (place.path / "pool").touch()
        with pytest.raises(StartError) as raised:
            RunDir("a")
        assert raised.value.exit_code == 3
        assert f"pid {os.getpid()}" in raised.value.what
        assert (place.path / "pool").exists()
        with RunDir("b"):
            assert rundir.running() == ["a", "b"]


@pytest.mark.parametrize(
    ("there", "named", "found"),
    [
        (["default", "a"], None, "default"),
        (["a"], None, "a"),
        (["a", "once-12"], None, "a"),
        (["a", "default"], "a", "a"),
        (["a"], "b", 'no run is named "b"; do framefan scale 4 --name a'),
        (["a", "b"], None, "do framefan scale 4 --name a or framefan scale 4 --name b"),
        (["a", "b"], "default", "do framefan scale 4 --name a or framefan scale 4 --name b"),
        (["once-12"], None, "do start it: framefan run"),
        ([], None, "do start it: framefan run"),
    ],
)
def test_which_run_is_meant(there: list[str], named: str | None, found: str) -> None:
    with contextlib.ExitStack() as runs:
        for name in there:
            runs.enter_context(RunDir(name))
        try:
            said = rundir.meant(named, "framefan scale 4")
        except RunError as error:
            said = f"{error.what}; do {error.fix}"
    assert said.endswith(found)


def test_leftovers_are_removed_only_under_the_lock() -> None:
    path = run_dir("a")
    path.mkdir(parents=True, mode=0o700)
    path.parent.chmod(0o700)
    (path / "lock").write_text("4194303\n")
    (path / "results").touch()
    (path / "folder").mkdir()
    (path / "folder" / "x").touch()
    (path / "link").symlink_to("/etc/passwd")
    with RunDir("a"):
        assert [entry.name for entry in path.iterdir()] == ["lock"]
    assert Path("/etc/passwd").exists()


def test_a_probe_does_not_refuse_a_start() -> None:
    """`framefan status` holds a shared lock for a moment: a start waits for it."""
    path = run_dir("a")
    path.mkdir(parents=True, mode=0o700)
    path.parent.chmod(0o700)
    fd = os.open(path / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_SH)
    code = "import fcntl, os, time; time.sleep(0.1); os._exit(0)"
    holder = subprocess.Popen([sys.executable, "-c", code], pass_fds=[fd])
    os.close(fd)  # the child alone holds it now, and ends soon
    with RunDir("a"):
        pass
    holder.wait()


def test_a_lock_file_that_was_replaced_is_not_the_lock(monkeypatch) -> None:
    """The last user removed the file between our open and our flock."""
    path = run_dir("a")
    really = rundir._try
    calls = []

    def replace(fd: int, kind: int) -> bool:
        if not calls:
            (path / "lock").unlink()
        calls.append(fd)
        return really(fd, kind)

    monkeypatch.setattr(rundir, "_try", replace)
    with RunDir("a"):
        assert len(calls) == 2
        assert rundir.is_running(path)


def test_the_lock_does_not_travel_to_children() -> None:
    with RunDir("a") as place:
        assert not os.get_inheritable(place._fd)


def test_a_folder_others_may_read_is_refused(runtime: Path) -> None:
    (runtime / "framefan").mkdir(mode=0o755)
    with pytest.raises(StartError, match="cannot be used"):
        RunDir("a")


def test_a_link_is_refused(runtime: Path, tmp_path_factory) -> None:
    other = tmp_path_factory.mktemp("other")
    other.chmod(0o700)
    (runtime / "framefan").symlink_to(other)
    with pytest.raises(StartError, match="cannot be used"):
        RunDir("a")
    assert list(other.iterdir()) == []


@pytest.mark.parametrize("folder", ["framefan", "framefan/a"])
def test_a_folder_of_somebody_else_is_refused(runtime: Path, monkeypatch, folder: str) -> None:
    (runtime / "framefan" / "a").mkdir(parents=True)
    (runtime / "framefan").chmod(0o700)
    (runtime / "framefan" / "a").chmod(0o700)
    foreign = runtime / folder
    really = Path.lstat

    def lstat(path: Path) -> os.stat_result:
        facts = list(really(path))
        if path == foreign:
            facts[4] = 4242
        return os.stat_result(facts)

    monkeypatch.setattr(Path, "lstat", lstat)
    with pytest.raises(StartError, match="cannot be used"):
        RunDir("a")


def test_without_a_runtime_dir_the_one_in_tmp_is_checked_too(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    root = tmp_path / "framefan-0" / "framefan"
    monkeypatch.setattr(rundir, "run_root", lambda: root)
    monkeypatch.setattr(rundir, "run_dir", lambda name: root / name)
    root.parent.mkdir(mode=0o777)
    root.parent.chmod(0o777)
    with pytest.raises(StartError):
        RunDir("a")
    root.parent.chmod(0o700)
    with RunDir("a"):
        assert root.stat().st_mode & 0o777 == 0o700


def test_a_runtime_dir_that_is_not_there(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(StartError, match="cannot be created") as raised:
        RunDir("a")
    assert f"mkdir -p -m 700 {tmp_path / 'nowhere'}" in raised.value.fix


@pytest.mark.parametrize("name", ["", "A", "a/b", "..", "-a", "a" * 33])
def test_names_that_would_not_do(name: str) -> None:
    with pytest.raises(UsageError):
        run_dir(name)


def test_a_path_too_long_for_a_socket(monkeypatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/tmp/" + "x" * 90)
    with pytest.raises(UsageError, match="too long"):
        run_dir("a")


def test_the_root_is_private_to_the_user_without_a_runtime_dir(monkeypatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert run_root() == Path(f"/tmp/framefan-{os.getuid()}/framefan")


def test_a_full_disk_is_said_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(rundir.os, "write", full)
    with pytest.raises(StartError) as raised:
        RunDir("full")
    what, why, fix = raised.value.lines()
    assert "cannot be used" in what
    assert why.endswith(os.strerror(errno.ENOSPC))
    assert "export XDG_RUNTIME_DIR" in fix
    assert not rundir.is_running(run_dir("full"))


def test_the_end_of_a_run_whose_folder_was_removed_leaves_the_next_ones_alone() -> None:
    first = RunDir("a")
    assert first.is_ours()
    shutil.rmtree(first.path)
    assert not first.is_ours()
    with RunDir("a") as second:
        (second.path / "pool").touch()
        first.close()
        assert second.is_ours()
        assert (second.path / "pool").exists()
