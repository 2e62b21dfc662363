"""The built wheel, installed into an environment of its own and used from an empty folder: `make wheel`."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SMOKE = sorted(Path(__file__).parent.glob("smoke_*.py"))


@pytest.fixture(scope="session")
def wheel() -> Path:
    """The wheel, built into `dist/` with what is installed already."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist", "."]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    (built,) = (ROOT / "dist").glob("footfall-*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment with the wheel in it; what it needs is borrowed from this environment."""
    home = tmp_path_factory.mktemp("wheel") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    command: list[str | Path] = [sys.executable, "-m", "pip", "--python", home / "bin" / "python", "install"]
    subprocess.run([*command, "--no-deps", "--no-index", wheel], check=True, capture_output=True, text=True)
    (site,) = home.glob("lib/python*/site-packages")
    # A path named in a .pth file is searched, but its own .pth files aren't: the checkout stays out of sight.
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home / "bin"


def run(command: list[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False
    )


@pytest.mark.parametrize("script", SMOKE, ids=lambda path: path.stem)
def test_smoke(script: Path, installed: Path, tmp_path: Path) -> None:
    copy = shutil.copy(script, tmp_path)
    finished = run([installed / "python", "-W", "error", copy], tmp_path)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_the_program_is_installed(installed: Path, tmp_path: Path) -> None:
    finished = run([installed / "footfall", "--help"], tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert "footfall replay" in finished.stdout


def test_the_wheel_holds_the_package_and_its_content_alone(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"footfall", next(top for top in tops if top.endswith(".dist-info"))}
    content = {name.split("/")[2] for name in names if name.startswith("footfall/content_files/")}
    assert content == {"flows", "patterns", "schemas", "clickhouse", "grafana"}
    assert [name for name in names if "__pycache__" in name or name.endswith((".nbi", ".nbc"))] == []
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
