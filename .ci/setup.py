"""Make a virtual environment and install framefan into it: what `make install` does.

    python .ci/setup.py FOLDER [EXTRA ...] [--opencv SPECIFIER]

Needs nothing but the standard library. Where OpenCV's usual wheel does not import, because the
machine has no libGL or the like, it is swapped for the headless wheel of the same version, in this
folder alone. Stamp files in the folder tell make what is installed.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WHEEL, HEADLESS = "opencv-python", "opencv-python-headless"


def say(text: str) -> None:
    sys.stdout.write(f"framefan: {text}\n")
    sys.stdout.flush()


def fail(what: str, advice: str) -> None:
    sys.stderr.write(f"framefan: {what}\n  do:  {advice}\n")
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
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        fail(
            f"{sys.executable} cannot make a virtual environment",
            f"apt-get install python{version}-venv (Debian, Ubuntu), or make PYTHON=another",
        )
    return python


def pip(python: Path, *arguments: str) -> None:
    command = [python, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode:
        fail("pip could not install (its words stand above)", "mend that and run make again")


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


def install(python: Path, extras: list[str], opencv: str) -> None:
    if version(python, HEADLESS):
        # Its files are the usual wheel's too: one at a time, or pip leaves a mix of both.
        pip(python, "uninstall", "--yes", HEADLESS)
    package = f".[{','.join(extras)}]" if extras else "."
    wanted = [WHEEL + opencv] if opencv else []
    say(f"installing framefan {f'with {chr(44).join(extras)} ' if extras else ''}(about a minute)")
    pip(python, "install", "--editable", package, *wanted)
    settle_opencv(python)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("extras", nargs="*")
    parser.add_argument("--opencv", default="", help="a version specifier for OpenCV")
    arguments = parser.parse_args()
    if sys.version_info < (3, 11):  # noqa: UP036 - it runs before anything checked
        fail(f"Python {sys.version.split()[0]} is too old", "install Python 3.11 or newer")
    began = time.monotonic()
    folder = ROOT / arguments.folder
    python = make_environment(folder)
    install(python, arguments.extras, arguments.opencv)
    (folder / ".installed").touch()
    for extra in arguments.extras:
        (folder / f".installed-{extra}").touch()
    number = version(python, WHEEL) or f"{version(python, HEADLESS)} (headless)"
    say(f"{folder.name} is ready, OpenCV {number}, after {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
