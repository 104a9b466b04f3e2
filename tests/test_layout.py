"""What a user installs is what the repository holds."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "hfhe": "hfhe",
    "consensus": "consensus",
    "storage": "storage",
    "circles": "circles",
    "node": "octra_node",
    "cli": "cli",
}


def tracked() -> list[str]:
    return subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.parametrize(("link", "folder"), PACKAGES.items())
def test_each_package_is_a_real_folder_reached_by_a_link(link: str, folder: str) -> None:
    path = ROOT / "src" / "octra" / link
    assert path.is_symlink()
    assert path.resolve() == ROOT / folder
    assert not (ROOT / folder).is_symlink()


@pytest.mark.parametrize(
    "name",
    ["tests", "benchmarks", "docker", "pyproject.toml", "README.md", "LICENSE", "run", ".ci/run", "docs/tour.md"],
)
def test_the_root_has_what_a_stranger_looks_for(name: str) -> None:
    assert (ROOT / name).exists()


def test_the_wheel_holds_every_module_of_the_repository_and_nothing_else(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--config-setting=wheel.cmake=false"]
    subprocess.run([*build, "--outdir", str(tmp_path), str(ROOT)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    inside = {
        name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name and not name.endswith(".so")
    }
    folders = {folder: link for link, folder in PACKAGES.items()}
    wanted = set()
    for name in tracked():
        top, _, rest = name.partition("/")
        if top in folders and rest:
            wanted.add(f"octra/{folders[top]}/{rest}")
        elif name.startswith("src/octra/") and not (ROOT / name).is_symlink():
            wanted.add(name.removeprefix("src/"))
    assert {name for name in wanted if name.endswith(".py")} == {name for name in inside if name.endswith(".py")}
    assert wanted <= inside


def test_no_file_names_a_path_of_one_machine_or_a_package_registry() -> None:
    registry = re.compile(
        r"https?://[a-z0-9.-]*("
        + "|".join(["py" + "pi", "python" + "hosted", "npm" + "js", "cra" + "tes"])
        + r")[a-z0-9.-]*"
    )
    home = re.compile(r"[\"'` =(]/(" + "|".join(["ro" + "ot", "wo" + "rk"]) + r")/")
    for name in tracked():
        path = ROOT / name
        if path.is_symlink() or path.suffix in (".wasm", ".png", ".json"):
            continue
        text = path.read_text(errors="replace")
        assert not registry.search(text), name
        assert not home.search(text), name
