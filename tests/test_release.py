"""What is published: the wheel, the source archive, and the versions they are tested with."""

import importlib.util
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

import mnistzoo
from mnistzoo.files import sha256
from mnistzoo.storage.manifest import read_manifest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it along

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))

WEIGHTS = {"manifest.json", *(entry.file for entry in read_manifest().values())}
DESCRIPTION = {
    "METADATA",
    "WHEEL",
    "RECORD",
    "entry_points.txt",
    "licenses/LICENSE",
    "licenses/src/mnistzoo/data/files/NOTICE.md",
}

needs_hatchling = pytest.mark.skipif(
    importlib.util.find_spec("hatchling") is None, reason="the extra [test] is not installed"
)
from_checkout = pytest.mark.skipif(
    not (ROOT / ".github").is_dir(), reason="the source archive has no workflows"
)


def build(source, out, umask=-1):
    """Build the source archive and the wheel of a tree, and return their paths."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-t", "wheel", "-d", out]
    subprocess.run(command, cwd=source, umask=umask, check=True, capture_output=True)
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The source archive and the wheel of this tree."""
    return build(ROOT, tmp_path_factory.mktemp("built"))


@needs_hatchling
def test_the_wheel_holds_the_package_and_nothing_else(built):
    """The wheel has the files of `src`, byte for byte, the weights and the licenses."""
    src = ROOT / "src"
    files = [path for path in src.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    sources = {path.relative_to(src).as_posix(): path for path in files}
    sources |= {f"mnistzoo/pretrained/{name}": ROOT / "weights" / name for name in WEIGHTS}
    about = f"mnistzoo-{mnistzoo.__version__}.dist-info"
    expected = [*sources, *(f"{about}/{name}" for name in DESCRIPTION)]
    with zipfile.ZipFile(built[1]) as wheel:
        assert sorted(wheel.namelist()) == sorted(expected)
        for name, path in sources.items():
            assert wheel.read(name) == path.read_bytes(), name


@needs_hatchling
def test_the_source_archive_holds_the_tree(built):
    """The source archive has everything that `pyproject.toml` lists."""
    with tarfile.open(built[0]) as archive:
        names = {name.split("/")[1] for name in archive.getnames()}
    listed = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["only-include"]
    assert names == {*listed, "pyproject.toml", "PKG-INFO", ".gitignore"}


@needs_hatchling
def test_builds_are_reproducible(built, tmp_path):
    """The unpacked source archive builds itself and the wheel byte for byte.

    The second build has another folder, other times and another umask.
    """
    subprocess.run([sys.executable, "-m", "tarfile", "-e", built[0], tmp_path], check=True)
    (unpacked,) = tmp_path.iterdir()
    for path in unpacked.rglob("*.py"):
        path.touch()
    again = build(unpacked, tmp_path / "out", umask=0o077)
    assert [sha256(path.read_bytes()) for path in again] == [
        sha256(path.read_bytes()) for path in built
    ]


def floors(*groups):
    """Return the lowest version that each requirement allows, by name."""
    found = {}
    for requirement in map(Requirement, [line for group in groups for line in group]):
        lowest = [s.version for s in requirement.specifier if s.operator == ">="]
        if requirement.name != PROJECT["project"]["name"]:
            (found[requirement.name],) = map(Version, lowest)
    return found


def test_the_lowest_versions_are_those_declared():
    """`.ci/lowest.txt` pins the lowest declared version of each requirement of the tests."""
    project, extras = PROJECT["project"], PROJECT["project"]["optional-dependencies"]
    tested = [extras[name] for name in ("export", "plot", "ray", "test")]
    declared = floors(PROJECT["build-system"]["requires"], project["dependencies"], *tested)
    lines = (ROOT / ".ci" / "lowest.txt").read_text(encoding="utf8").splitlines()
    pinned = dict(line.split("==") for line in lines)
    assert {name: Version(version) for name, version in pinned.items()} == declared


@from_checkout
def test_pre_commit_runs_the_checks_of_ci():
    """The hooks are the commands of `lint` and `prose` in `.ci/run`, in the same order."""
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf8"))
    hooks = [hook["entry"] for repo in config["repos"] for hook in repo["hooks"]]
    script = (ROOT / ".ci" / "run").read_text(encoding="utf8")
    lint, prose = (
        re.search(rf"^{name}\(\) \{{.*?\n(.*?)^\}}", script, re.DOTALL | re.MULTILINE)[1]
        for name in ("lint", "prose")
    )
    checks = [line.split(' "${pages')[0].strip() for line in (lint + prose).splitlines()]
    assert hooks == [line for line in checks if not re.match(r"prose$|local |mapfile ", line)]


@from_checkout
def test_the_workflow_runs_every_supported_python():
    """The matrix starts at the lowest supported Python and has every classifier's."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf8"))
    matrix = workflow["jobs"]["suite"]["strategy"]["matrix"]
    prefix = "Programming Language :: Python :: 3."
    classifiers = [c for c in PROJECT["project"]["classifiers"] if c.startswith(prefix)]
    tested = [f"{prefix[:-2]}{python}" for python in matrix["python"]]
    assert tested[: len(classifiers)] == classifiers
    allowed = SpecifierSet(PROJECT["project"]["requires-python"])
    lowest, (lowest_set,) = matrix["python"][0], matrix["include"]
    assert lowest in allowed
    assert f"3.{int(lowest.split('.')[1]) - 1}.99" not in allowed
    assert lowest_set == {"python": lowest, "versions": "lowest"}


def test_the_version_is_the_same_everywhere():
    """The changelog starts with the package's version, and the citation states it."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf8")
    headings = [line for line in changelog.splitlines() if line.startswith("## ")]
    assert headings[0].split()[1] == mnistzoo.__version__
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf8"))
    assert citation["version"] == mnistzoo.__version__
    of_images = citation["references"][-1]["license"]
    assert f"{citation['license']} AND {of_images}" == PROJECT["project"]["license"]
    assert citation["abstract"] == PROJECT["project"]["description"]
