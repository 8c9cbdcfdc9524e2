"""Make a virtual environment and install framefan into it: what `make install` does.

    python .ci/setup.py FOLDER [GROUP ...] [--opencv SPECIFIER]

Needs nothing but the standard library. Where OpenCV's usual wheel does not import, because the
machine has no libGL or the like, it is swapped for the headless wheel of the same version, in this
folder alone. Stamp files in the folder tell make what is installed.
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
"""What pip says, by what it comes from."""
PIP_FIXES = {
    FULL: "make room for about 500 MB here and in the folder for temporary files, then run make",
    OFFLINE: "connect this machine to the network, or name a mirror or proxy: PIP_INDEX_URL=..., "
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
    """Whether the environment is there and its interpreter still starts."""
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
            f"{folder.name} cannot be made in {ROOT}",
            "copy this folder to one of your own (cp -r), and run make there",
            "this user may not write there",
        )
    if folder.exists():
        say(f"{folder.name} does not work any more: making it anew")
        shutil.rmtree(folder)
    else:
        say(f"making {folder.name} with Python {sys.version.split()[0]}")
    done = subprocess.run(
        [sys.executable, "-m", "venv", folder], capture_output=True, text=True, check=False
    )
    if done.returncode or not works(python):
        shutil.rmtree(folder, ignore_errors=True)
        fail(
            f"{sys.executable} cannot make a virtual environment", *venv_advice(done.stderr.strip())
        )
    return python


def venv_advice(said: str) -> tuple[str, str]:
    """What to do, and why it did not work."""
    if importlib.util.find_spec("ensurepip"):
        last = (said.splitlines() or ["it ended without a word"])[-1]
        return PIP_FIXES.get(known_cause(said), "mend that, or make PYTHON=another"), last
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
            "pip could not install (its words stand above)",
            PIP_FIXES.get(cause, "mend that and run make again"),
            cause,
        )


def known_cause(said: str) -> str:
    """Of what pip or venv complained, where it is one of the usual; or nothing."""
    for cause, signs in PIP_CAUSES.items():
        if any(sign in said for sign in signs):
            return cause
    return ""


def version(python: Path, distribution: str) -> str:
    """The installed version, or nothing."""
    code = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"
    done = subprocess.run(
        [python, "-c", code, distribution], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def opencv_error(python: Path) -> str:
    """The last line of what `import cv2` says, or nothing when it works."""
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
    say(f"swapping {WHEEL} {number} for {HEADLESS} {number} in this folder")
    pip(python, "uninstall", "--yes", WHEEL)
    pip(python, "install", f"{HEADLESS}=={number}")
    error = opencv_error(python)
    if error:
        fail(
            f"the headless OpenCV does not import either: {error}",
            "install the system library it names",
        )


def requirements(groups: list[str]) -> list[str]:
    """Of these dependency groups of pyproject.toml; pip reads them itself only from 25.1 on."""
    import tomllib  # not there before Python 3.11, about which `main` has words

    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    return [requirement for group in groups for requirement in declared[group]]


def install(python: Path, groups: list[str], opencv: str) -> None:
    if version(python, HEADLESS):
        # Its files are the usual wheel's too: one at a time, or pip leaves a mix of both.
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
    if sys.version_info < (3, 11):  # noqa: UP036 - it runs before anything checked
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
