"""A network more is a row of data and an entry of the manifest: everything works with it."""

import json
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).parent.parent / "docs"


def test_the_row_alone_is_a_network(tmp_path_factory, added):
    """Listed, summarised and analysed, with the same parameters everywhere, counted by hand."""
    listed, analyzed = added.commands("list --format json", "analyze exp6 --format json")
    params = (9 + 1 + 2) * 8 + (72 + 1 + 2) * 16 + (16 * 5 * 5 + 1) * 10
    row = next(row for row in json.loads(listed) if row["name"] == "exp6")
    assert row["num_params"] == json.loads(analyzed)["num_params"] == params
    assert row["receptive_field"] == 10


def test_its_entry_is_measured_like_the_others(added):
    """`evaluate` finds the accuracy that `list` states, `verify` holds, and nothing else moved."""
    listed, found, drift = added.commands(
        "list --format json", "evaluate exp6 --format json", "verify exp6 --format json"
    )
    accuracy = {row["name"]: row["accuracy"] for row in json.loads(listed)}
    assert json.loads(found)[0]["accuracy"] == accuracy["exp6"]
    assert json.loads(drift) == [{"model": "exp6", "mismatches": []}]
    before = json.loads((DOCS.parent / "weights" / "manifest.json").read_text("utf8"))
    after = json.loads((added.folder / "weights" / "manifest.json").read_text("utf8"))
    assert after == before | {"exp6": after["exp6"]}


def test_it_reads_pictures_is_drawn_and_goes_out(added, tmp_path, test_images):
    """`predict`, `plot` and `export` take its name, and ONNX Runtime gives its answers."""
    import onnxruntime

    picture, drawn, file = tmp_path / "7.png", tmp_path / "field.png", tmp_path / "exp6.onnx"
    Image.fromarray(test_images.images[0].numpy()).save(picture)
    read, _, exported = added.commands(
        f"predict {picture} --model exp6 --format json",
        f"plot receptive-field exp6 --layer features.conv2 --images 5 -o {drawn}",
        f"export exp6 -o {file} --format json",
    )
    assert json.loads(exported)["bytes"] == file.stat().st_size
    assert drawn.stat().st_size > 1000
    (answer,) = json.loads(read)
    session = onnxruntime.InferenceSession(str(file))
    assert session.get_modelmeta().custom_metadata_map["network"] == "exp6"
    code = "import sys, mnistzoo; print(mnistzoo.transforms()(sys.argv[1]).tolist())"
    image = json.loads(added.python("-c", code, picture))
    (found,) = session.run(None, {"images": [image]})
    assert int(found.argmax()) == answer["label"]


def test_it_is_studied(added, tmp_path):
    """A study trains it, and draws the figures of runs, where it has a mark like the others."""
    study = f"study exp6 -o {tmp_path} --recipe fast --seed 0 --epochs 1 --holdout 59500"
    (printed,) = added.commands(f"{study} --format json")
    assert [row["network"] for row in json.loads(printed)] == ["exp6"]
    drawn = {path.name for path in tmp_path.glob("*.png")}
    assert drawn == {"curves.png", "accuracy-vs-parameters.png"}


def test_it_has_a_page(added, tmp_path):
    """The documentation writes its page with the figures that `list` has, and its pictures."""
    code = (
        "import sys; sys.path.insert(0, 'docs/_ext')\n"
        "from pathlib import Path; import network_page, parts\n"
        "network_page.write('exp6', Path(sys.argv[1])); print(parts.recipes())"
    )
    recipes = added.python("-c", code, tmp_path)
    page = (tmp_path / "exp6.md").read_text("utf8")
    (listed,) = added.commands("list --format json")
    row = next(row for row in json.loads(listed) if row["name"] == "exp6")
    assert page.startswith("# exp6: Small\n")
    assert f"{row['num_params']:,}" in page
    assert f"{row['accuracy']:.2%}" in page
    assert "| exp6 |" in recipes
    pictures = {path.name for path in tmp_path.glob("*.svg")}
    assert pictures == {
        f"exp6-{kind}.svg" for kind in ("fields", "effective", "errors", "confusion")
    }
