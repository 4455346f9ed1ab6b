"""The public interface, the layers behind it, and the cost of importing it."""

import ast
from importlib.metadata import version
from pathlib import Path

import pytest

import mnistzoo

SOURCE = Path(mnistzoo.__file__).parent

LAYERS = [
    {"__main__"},
    {"cli"},
    {"plots", "zoo"},
    {"training"},
    {"bulk", "evaluation", "export"},
    {"data", "inference", "models"},
    {"storage", "images"},
    {"analysis", "forward"},
    {
        "architectures",
        "cluster",
        "files",
        "intervals",
        "labels",
        "pages",
        "processes",
        "records",
        "tables",
    },
    {"errors", "text", "_version"},
]
"""Top to bottom: a module imports from its own part and from lower layers."""

ANALYSIS_LAYERS = [
    {"cost"},
    {"report"},
    {"effective"},
    {"tracing"},
    {"operators", "rendering", "row", "blocks", "table", "comparison", "roofline", "devices"},
    {"field"},
    {"algebra"},
]
"""The same inside `analysis`, where parts of one layer may import each other."""

FILES = {
    path.relative_to(SOURCE).with_suffix(""): ast.parse(path.read_text(encoding="utf8"))
    for path in SOURCE.rglob("*.py")
    if path != SOURCE / "__init__.py"
}


def imports(tree):
    """Yield the modules that a file imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where a name comes from"
            yield from (f"{node.module}.{alias.name}".split(".") for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".") for alias in node.names)


def floors(layers):
    """Return the number of each part's layer."""
    return {part: row for row, layer in enumerate(layers) for part in layer}


def test_imports_point_down():
    """A module imports from its own part or a lower layer, and nothing imports the root."""
    row = floors(LAYERS)
    for path, tree in FILES.items():
        own = path.parts[0]
        for root, part, *_ in (found for found in imports(tree) if found[0] == "mnistzoo"):
            assert part == own or row[part] > row[own], f"{path} imports {root}.{part}"
    assert row.keys() == {path.parts[0] for path in FILES}
    assert len(LAYERS) <= 10


def test_imports_inside_the_analysis_point_down():
    """The algebra is below the operators, and those are below the tracing."""
    row = floors(ANALYSIS_LAYERS)
    for path, tree in FILES.items():
        if path.parts[0] != "analysis" or path.parts[1] == "__init__":
            continue
        own = path.parts[1]
        for found in imports(tree):
            if found[:2] == ["mnistzoo", "analysis"]:
                assert row[found[2]] >= row[own], f"{path} imports {'.'.join(found)}"
            assert own != "algebra" or found[0] != "torch", f"{path} imports torch"


def test_only_the_command_line_prints():
    """Outside cli/ nothing calls print."""
    for path, tree in FILES.items():
        calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
        prints = any(getattr(function, "id", "") == "print" for function in calls)
        assert not prints or path.parts[0] == "cli", path


def test_every_public_name_exists():
    """Each name in `__all__` can be imported, and `dir` lists nothing else."""
    assert len(set(mnistzoo.__all__)) == len(mnistzoo.__all__)
    for name in mnistzoo.__all__:
        assert getattr(mnistzoo, name) is not None
    assert dir(mnistzoo) == sorted(mnistzoo.__all__)
    with pytest.raises(AttributeError, match="no attribute 'exp9'"):
        _ = mnistzoo.exp9


def test_every_public_name_is_documented():
    """Each function, class and module of the top level is in the reference."""
    folder = SOURCE.parents[1] / "docs" / "reference"
    page = "".join((folder / name).read_text("utf8") for name in ("api.md", "errors.md"))
    missing = [name for name in mnistzoo.__all__ if f"mnistzoo.{name}\n" not in page]
    assert missing == ["__version__", "MnistZooError"]  # the error is among `mnistzoo.errors`


@pytest.mark.slow
def test_type_checkers_know_the_names(tmp_path):
    """Mypy finds the type of each public name, and reports a name that does not exist."""
    mypy = pytest.importorskip("mypy.api", reason="mypy comes with the group [dev]")
    used = tmp_path / "used.py"
    used.write_text("import mnistzoo\nmnistzoo.exp5(pretrained=True).num_params()\n")
    assert mypy.run(["--strict", "--config-file=", str(used)])[2] == 0
    used.write_text("import mnistzoo\nmnistzoo.exp6()\n")
    output, _, status = mypy.run(["--strict", "--config-file=", str(used)])
    assert status == 1
    assert 'no attribute "exp6"' in output


def test_the_version_is_the_distribution_s():
    """The installed distribution and the module have the same version."""
    assert version("mnistzoo") == mnistzoo.__version__


def test_importing_is_cheap(new_python):
    """Importing the models opens no data, weights or socket, and no package that is not needed."""
    heavy = "torchvision", "huggingface_hub", "PIL", "cv2", "rich", "typer", "matplotlib"
    out = new_python(
        "import sys, torch, safetensors.torch\n"
        "seen = []\n"
        "def hook(event, args):\n"
        "    if event == 'open' and 'mnistzoo' in str(args[0]): seen.append(str(args[0]))\n"
        "    if event.startswith('socket.'): seen.append(event)\n"
        "sys.addaudithook(hook)\n"
        "from mnistzoo import exp5\n"
        "print([s for s in seen if not s.endswith(('.py', '.pyc')) and '.pyc.' not in s])\n"
        "exp5(pretrained=True)\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    assert out == "[]\n[]\n"
