"""The front door, the layers behind it, and what importing costs."""

import ast
from importlib.metadata import version
from pathlib import Path

import pytest

import mnistzoo

SOURCE = Path(mnistzoo.__file__).parent

LAYERS = [
    {"__main__"},
    {"cli"},
    {"demo", "plots", "zoo"},
    {"export", "training"},
    {"evaluation"},
    {"models"},
    {"storage", "images"},
    {"data", "analysis"},
    {"architectures", "files", "tables"},
    {"errors", "_version"},
]
"""Top to bottom: a module imports from its own part and from rows below its own."""


def parts(path):
    """The part of the package that a file belongs to: a module's name or a folder's."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(path):
    """The parts of the package that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        names = []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names = [node.module]
            if node.module == "mnistzoo":
                names = [f"mnistzoo.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name.split(".")[0] == "mnistzoo":
                yield [*name.split("."), "__init__"][1]


SOURCES = [path for path in sorted(SOURCE.rglob("*.py")) if path != SOURCE / "__init__.py"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_down(path):
    """Every import in the source goes to the same part or to a lower row, never to the root."""
    row = {part: index for index, layer in enumerate(LAYERS) for part in layer}
    own = parts(path)
    for part in imported(path):
        assert part == own or row[part] > row[own], f"{own} imports {part}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_only_the_command_line_prints(path):
    """Outside cli/ nothing calls print."""
    calls = [
        n for n in ast.walk(ast.parse(path.read_text(encoding="utf8"))) if isinstance(n, ast.Call)
    ]
    printing = [call for call in calls if getattr(call.func, "id", "") == "print"]
    assert not printing or parts(path) == "cli"


def test_all_is_what_there_is():
    """Every public name can be had, and nothing that is not public is announced."""
    assert len(set(mnistzoo.__all__)) == len(mnistzoo.__all__)
    for name in mnistzoo.__all__:
        assert getattr(mnistzoo, name) is not None
    assert dir(mnistzoo) == sorted(mnistzoo.__all__)
    with pytest.raises(AttributeError, match="no attribute 'exp9'"):
        _ = mnistzoo.exp9


@pytest.mark.slow
def test_type_checkers_know_the_names(tmp_path):
    """Those that there are have their types, and a name that there is not is an error."""
    mypy = pytest.importorskip("mypy.api", reason="mypy comes with the extra [dev]")
    used = tmp_path / "used.py"
    used.write_text("import mnistzoo\nmnistzoo.exp5(pretrained=True).num_params()\n")
    assert mypy.run(["--strict", "--config-file=", str(used)])[2] == 0
    used.write_text("import mnistzoo\nmnistzoo.exp6()\n")
    output, _, status = mypy.run(["--strict", "--config-file=", str(used)])
    assert status == 1
    assert 'no attribute "exp6"' in output


def test_one_version():
    """The installed distribution's version is the module's."""
    assert version("mnistzoo") == mnistzoo.__version__


def test_loading_a_network_imports_little(new_python):
    """A pretrained network needs torch and safetensors: nothing else that is slow to import."""
    heavy = "torchvision", "huggingface_hub", "PIL", "scipy", "rich", "typer", "matplotlib"
    out = new_python(
        "import sys; from mnistzoo import exp5; exp5(pretrained=True)\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    assert out == "[]\n"


def test_importing_reads_no_file_but_source(new_python):
    """Importing the package and its modules opens no data, no weights and no socket."""
    out = new_python(
        "import sys, torch, safetensors.torch\n"
        "seen = []\n"
        "def hook(event, args):\n"
        "    if event == 'open' and 'mnistzoo' in str(args[0]): seen.append(str(args[0]))\n"
        "    if event.startswith('socket.'): seen.append(event)\n"
        "sys.addaudithook(hook)\n"
        "import mnistzoo.models, mnistzoo.data.mnist, mnistzoo.training.runs\n"
        "print([s for s in seen if not s.endswith(('.py', '.pyc')) and '.pyc.' not in s])"
    )
    assert out == "[]\n"
