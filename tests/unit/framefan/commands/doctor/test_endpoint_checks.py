"""The doctor on port, folder, token and certificate."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from framefan.base import certificates
from framefan.commands.doctor import endpoint_checks as doctor_served
from framefan.commands.doctor.findings import Level
from framefan.config.configure import configure
from framefan.config.options import Options
from framefan.errors import StartError
from framefan.settings.run import Settings
from framefan.supervisor.rundir import RunDir


@pytest.fixture(autouse=True)
def _runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def settings(**options: object) -> Settings:
    return configure((), Options(**options), {})[0]


def pair(folder: Path, name: str, days: int) -> tuple[str, str]:
    cert, key = str(folder / f"{name}.pem"), str(folder / f"{name}.key")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", str(days), "-subj", f"/CN={name}", "-keyout", key, "-out", cert]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    return cert, key


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("open-sesame")
    path.chmod(0o600)
    return path


def test_a_run_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "framefan").mkdir(mode=0o755)
    assert doctor_served.folder(settings()).level is Level.PROBLEM


def test_a_run_of_that_name_is_a_problem() -> None:
    with RunDir("yard"):
        finding = doctor_served.folder(settings(name="yard"))
    assert finding.level is Level.PROBLEM
    assert "kill" in finding.cure


def test_a_token_that_others_may_read(token: Path) -> None:
    run = settings(token_file=str(token))
    (finding,) = doctor_served.token(run, str(token))
    assert finding.level is Level.OK
    token.chmod(0o640)
    (finding,) = doctor_served.token(run, str(token))
    assert (finding.level, finding.cure) == (Level.WARN, f"chmod 600 {token}")


def test_a_token_on_the_network_without_tls(token: Path) -> None:
    run = settings(token_file=str(token), host="0.0.0.0")
    finding = list(doctor_served.token(run, str(token)))[-1]
    assert finding.level is Level.WARN
    assert "without TLS" in finding.text


def test_certificates_by_the_calendar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cert, key = pair(tmp_path, "good", 30)
    assert certificates.days_left(cert, key) == pytest.approx(30, abs=0.1)
    (finding,) = doctor_served.certificate(settings(tls_cert=cert, tls_key=key))
    assert (finding.level, finding.cure) == (Level.OK, "")
    Path(key).chmod(0o644)
    _, finding = doctor_served.certificate(settings(tls_cert=cert, tls_key=key))
    assert finding.cure == f"chmod 600 {key}"
    cert, key = pair(tmp_path, "soon", 3)
    (finding,) = doctor_served.certificate(settings(tls_cert=cert, tls_key=key))
    assert finding.level is Level.WARN
    cert, key = pair(tmp_path, "late", 30)
    again = ["openssl", "x509", "-in", cert, "-signkey", key, "-days", "-1", "-out", cert]
    subprocess.run(again, check=True, capture_output=True, timeout=30)
    (finding,) = doctor_served.certificate(settings(tls_cert=cert, tls_key=key))
    assert finding.level is Level.PROBLEM
    assert "expired" in finding.text


def test_a_certificate_with_another_ones_key(tmp_path: Path) -> None:
    cert, _ = pair(tmp_path, "one", 30)
    _, key = pair(tmp_path, "other", 30)
    with pytest.raises(StartError, match="cannot serve TLS"):
        certificates.days_left(cert, key)
    (finding,) = doctor_served.certificate(settings(tls_cert=cert, tls_key=key))
    assert finding.level is Level.PROBLEM
