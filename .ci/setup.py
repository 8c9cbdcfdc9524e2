"""Create a virtual environment and install framefan into it; `make install` runs this.

    python .ci/setup.py FOLDER [GROUP ...] [--opencv SPECIFIER]

It needs only the standard library. If OpenCV's usual wheel does not import, for example because
libGL is missing, it is replaced by the headless wheel of the same version, only in this folder.
Stamp files in the folder tell make what is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WHEEL, HEADLESS = "opencv-python", "opencv-python-headless"
FULL, OFFLINE = "the disk is full", "no package index could be reached"
PIP_CAUSES = {
    FULL: ("No space left on device", "Errno 28", "Disk quota exceeded"),
    OFFLINE: (
        "NewConnectionError",
        "ConnectTimeoutError",
        "ReadTimeoutError",
        "Temporary failure in name resolution",
        "Failed to establish a new connection",
        "ProxyError",
        "SSLError",
    ),
}
"""Phrases in pip's output, by their cause."""
PIP_FIXES = {
    FULL: "free about 500 MB here and in the folder for temporary files, then run make again",
    OFFLINE: "connect this machine to the network, or set a mirror or proxy: PIP_INDEX_URL=..., "
    "HTTPS_PROXY=...; then run make again",
}


def say(text: str) -> None:
    sys.stdout.write(f"framefan: {text}\n")
    sys.stdout.flush()


def fail(what: str, advice: str, why: str = "") -> None:
    reason = f"  why: {why}\n" if why else ""
    sys.stderr.write(f"framefan: {what}\n{reason}  do:  {advice}\n")
    raise SystemExit(3)


def works(python: Path) -> bool:
    """Whether the environment exists and its interpreter starts."""
    try:
        command = [python, "-c", "import pip"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def make_environment(folder: Path) -> Path:
    python = folder / "bin" / "python"
    if works(python):
        return python
    if not os.access(ROOT, os.W_OK):
        fail(
            f"{folder.name} cannot be created in {ROOT}",
            "copy this folder to a folder of your own (cp -r), and run make there",
            "this user has no write permission there",
        )
    if folder.exists():
        say(f"{folder.name} no longer works: creating it again")
        shutil.rmtree(folder)
    else:
        say(f"creating {folder.name} with Python {sys.version.split()[0]}")
    done = subprocess.run(
        [sys.executable, "-m", "venv", folder], capture_output=True, text=True, check=False
    )
    if done.returncode or not works(python):
        shutil.rmtree(folder, ignore_errors=True)
        fail(
            f"{sys.executable} cannot create a virtual environment",
            *venv_advice(done.stderr.strip()),
        )
    return python


def venv_advice(said: str) -> tuple[str, str]:
    """What to do, and why the environment could not be created."""
    if importlib.util.find_spec("ensurepip"):
        last = (said.splitlines() or ["it ended without a message"])[-1]
        return PIP_FIXES.get(known_cause(said), "fix that, or make PYTHON=another"), last
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    install = f"apt-get install python{version}-venv (Debian, Ubuntu; with sudo if not root)"
    return f"{install}, or make PYTHON=another", "its module ensurepip is not installed"


def pip(python: Path, *arguments: str) -> None:
    command = [python, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    said = []
    with subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        for line in process.stderr:  # as it comes
            sys.stderr.write(line)
            said.append(line)
    if process.returncode:
        cause = known_cause("".join(said))
        fail(
            "pip could not install (see its output above)",
            PIP_FIXES.get(cause, "fix that and run make again"),
            cause,
        )


def known_cause(said: str) -> str:
    """The cause in the output of pip or venv, if it is a known one; else ""."""
    for cause, signs in PIP_CAUSES.items():
        if any(sign in said for sign in signs):
            return cause
    return ""


def version(python: Path, distribution: str) -> str:
    """The installed version; "" if it is not installed."""
    code = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"
    done = subprocess.run(
        [python, "-c", code, distribution], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def opencv_error(python: Path) -> str:
    """The last line of the error of `import cv2`; "" if it works."""
    done = subprocess.run([python, "-c", "import cv2"], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]


def settle_opencv(python: Path) -> None:
    error = opencv_error(python)
    if not error:
        return
    number = version(python, WHEEL)
    if not number:
        fail(f"OpenCV does not import: {error}", "make clean, then make install")
    say(f"OpenCV does not import here ({error})")
    say(f"replacing {WHEEL} {number} by {HEADLESS} {number} in this folder")
    pip(python, "uninstall", "--yes", WHEEL)
    pip(python, "install", f"{HEADLESS}=={number}")
    error = opencv_error(python)
    if error:
        fail(
            f"the headless OpenCV does not import either: {error}",
            "install the system library that it names",
        )


def requirements(groups: list[str]) -> list[str]:
    """Of these dependency groups of pyproject.toml; pip reads them itself only from 25.1 on."""
    import tomllib  # not there before Python 3.11, about which `main` has words

    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    return [requirement for group in groups for requirement in declared[group]]


def install(python: Path, groups: list[str], opencv: str) -> None:
    if version(python, HEADLESS):
        # Both wheels have the same files: with both installed, pip would leave a mix.
        pip(python, "uninstall", "--yes", HEADLESS)
    wanted = requirements(groups) + ([WHEEL + opencv] if opencv else [])
    say(f"installing framefan {f'with {chr(44).join(groups)} ' if groups else ''}(about a minute)")
    pip(python, "install", "--editable", ".", *wanted)
    settle_opencv(python)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("groups", nargs="*")
    parser.add_argument("--opencv", default="", help="a version specifier for OpenCV")
    arguments = parser.parse_args()
    if sys.version_info < (3, 11):  # noqa: UP036 - nothing has checked the version before
        fail(f"Python {sys.version.split()[0]} is too old", "install Python 3.11 or newer")
    began = time.monotonic()
    folder = ROOT / arguments.folder
    python = make_environment(folder)
    install(python, arguments.groups, arguments.opencv)
    (folder / ".installed").touch()
    for group in arguments.groups:
        (folder / f".installed-{group}").touch()
    number = version(python, WHEEL) or f"{version(python, HEADLESS)} (headless)"
    say(f"{folder.name} is ready, OpenCV {number}, after {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
