"""Make a release: `python tools/release.py 0.2.0`, on a clean main whose tests pass.

1. It checks that nothing is uncommitted, that the tag is new, and that CHANGELOG.md has entries
   below "Unreleased".
2. It writes the version into pyproject.toml, and gives the entries a heading with version and date.
3. It builds the wheel into dist/ and installs it into an environment of its own, where
   `framefan --version` has to answer with that version.
4. It commits and tags. Pushing the tag and uploading dist/ are left to you.
"""

from __future__ import annotations

import argparse
import datetime
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECT, CHANGELOG = ROOT / "pyproject.toml", ROOT / "CHANGELOG.md"
UNRELEASED = "## Unreleased\n"
VERSION = re.compile(r"\d+\.\d+\.\d+")


def run(*command: str, cwd: Path = ROOT) -> str:
    done = subprocess.run(command, cwd=cwd, check=True, text=True, stdout=subprocess.PIPE)
    return done.stdout.strip()


def entries(changelog: str) -> str:
    """What stands below "Unreleased"."""
    _, _, rest = changelog.partition(UNRELEASED)
    return rest.split("\n## ")[0].strip()


def with_heading(changelog: str, version: str, day: str) -> str:
    """The changelog whose unreleased entries belong to `version`."""
    return changelog.replace(UNRELEASED, f"{UNRELEASED}\n## {version} ({day})\n", 1)


def with_version(project: str, version: str) -> str:
    return re.sub(r'(?m)^version = "[^"]+"$', f'version = "{version}"', project, count=1)


def problem(version: str) -> str:
    """Why no release can be made now; empty if one can."""
    if not VERSION.fullmatch(version):
        return f"{version} is no version: write it like 0.2.0"
    if run("git", "status", "--porcelain"):
        return "there are uncommitted changes: commit or stash them"
    if run("git", "tag", "--list", f"v{version}"):
        return f"the tag v{version} exists: choose another version"
    if not entries(CHANGELOG.read_text()):
        return "CHANGELOG.md has nothing below Unreleased: say what users can see"
    return ""


def build(version: str) -> None:
    """The files in dist/, and a look at whether the wheel works by itself."""
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", "dist", ".")
    (wheel,) = (ROOT / "dist").glob(f"framefan-{version}-*.whl")
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        run(f"{folder}/bin/python", "-m", "pip", "install", "--quiet", str(wheel))
        told = run(f"{folder}/bin/framefan", "--version", cwd=Path(folder))
    if version not in told:
        raise SystemExit(f"the wheel says {told}, not {version}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("version")
    version = parser.parse_args().version
    if why := problem(version):
        raise SystemExit(why)
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    CHANGELOG.write_text(with_heading(CHANGELOG.read_text(), version, day))
    PROJECT.write_text(with_version(PROJECT.read_text(), version))
    build(version)
    run("git", "commit", "--all", "--message", f"Release {version}")
    run("git", "tag", f"v{version}")
    sys.stdout.write(f"v{version} is committed, tagged and in dist/: push the tag, upload dist/\n")


if __name__ == "__main__":
    main()
