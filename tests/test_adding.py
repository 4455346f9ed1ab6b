"""Adding a model takes a row of data and an entry of the manifest: everything works with it."""

import json
import shlex
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parent.parent


def test_the_row_and_the_entry_are_all_it_takes(added):
    """A new model is listed, analyzed, evaluated and verified, and no other entry changes."""
    listed, analyzed, evaluated, verified = map(
        json.loads,
        added.commands(
            "list --format json",
            "analyze exp6 --format json",
            "evaluate exp6 --format json",
            "verify exp6 --format json",
        ),
    )
    row = next(row for row in listed if row["model"] == "exp6")
    params = (9 + 1 + 2) * 8 + (72 + 1 + 2) * 16 + (16 * 5 * 5 + 1) * 10
    assert row["num_params"] == analyzed["num_params"] == params
    assert row["receptive_field"] == 10
    assert row["accuracy"] == evaluated[0]["accuracy"]
    assert verified == [{"model": "exp6", "mismatches": []}]
    before, after = (
        json.loads((folder / "weights" / "manifest.json").read_text("utf8"))
        for folder in (ROOT, added.folder)
    )
    assert after == before | {"exp6": after["exp6"]}


def test_it_predicts_is_drawn_and_exported(added, tmp_path, test_images):
    """`predict`, `plot` and `export` take its name, and ONNX Runtime predicts the same digit."""
    import onnxruntime

    image, drawn, file = tmp_path / "7.png", tmp_path / "field.png", tmp_path / "exp6.onnx"
    Image.fromarray(test_images.images[0].numpy()).save(image)
    predicted, _, exported = added.commands(
        shlex.join(["predict", str(image), "--model", "exp6", "--format", "json"]),
        shlex.join(
            ["plot", "receptive-field", "exp6", "--layer", "features.conv2", "-o", str(drawn)]
        ),
        shlex.join(["export", "exp6", "-o", str(file), "--format", "json"]),
    )
    assert json.loads(exported)["bytes"] == file.stat().st_size
    assert drawn.stat().st_size > 1000
    (prediction,) = json.loads(predicted)
    session = onnxruntime.InferenceSession(str(file))
    code = "import sys, mnistzoo; print(mnistzoo.transforms()(sys.argv[1]).tolist())"
    pixels = json.loads(added.python("-c", code, image))
    (found,) = session.run(None, {"images": [pixels]})
    assert int(found.argmax()) == prediction["label"]


def test_it_is_studied(added, tmp_path):
    """A study trains it, and its figures include it."""
    study = ["study", "exp6", "-o", str(tmp_path), "--recipe", "fast", "--seed", "0"]
    settings = ["--epochs", "1", "--validation", "59500", "--format", "json"]
    (printed,) = added.commands(shlex.join([*study, *settings]))
    assert [row["model"] for row in json.loads(printed)] == ["exp6"]
    drawn = {path.name for path in tmp_path.glob("*.png")}
    assert drawn == {"curves.png", "accuracy-vs-parameters.png"}


def test_it_has_a_page(added, tmp_path):
    """The documentation writes its page, with the figures that `list` prints."""
    code = (
        "import sys; sys.path.insert(0, 'docs/_ext')\n"
        "from pathlib import Path; import model_page, parts\n"
        "model_page.write('exp6', Path(sys.argv[1])); print(parts.recipes())"
    )
    recipes = added.python("-c", code, tmp_path)
    page = (tmp_path / "exp6.md").read_text("utf8")
    (listed,) = added.commands("list --format json")
    row = next(row for row in json.loads(listed) if row["model"] == "exp6")
    assert page.startswith("# exp6 · Small\n")
    assert f"{row['num_params']:,}" in page
    assert f"{row['accuracy']:.2%}" in page
    assert "| exp6 |" in recipes
    images = {path.name for path in tmp_path.glob("*.svg")}
    assert images == {f"exp6-{kind}.svg" for kind in ("fields", "effective", "errors", "confusion")}
