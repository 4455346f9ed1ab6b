"""Names of classes: saved, loaded, predicted, exported and shown."""

import json
import pickle

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import mnistzoo
from mnistzoo.cli import app
from mnistzoo.errors import InputError, WeightsError
from mnistzoo.evaluation import Evaluation
from mnistzoo.export import export
from mnistzoo.export.preparation import metadata
from mnistzoo.inference import load_folder
from mnistzoo.storage.model_folder import CARD, CONFIG

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@pytest.fixture
def named():
    """Exp1 with English names of the digits."""
    model = mnistzoo.exp1(pretrained=True)
    model.labels = NAMES
    return model


def test_names_are_saved_with_the_model(named, tmp_path):
    """The config and the card state the names, and a loaded model has them."""
    named.save_pretrained(tmp_path)
    assert json.loads((tmp_path / CONFIG).read_text("utf8"))["labels"] == list(NAMES)
    assert "Classes: `zero`, `one`," in (tmp_path / CARD).read_text("utf8")
    loaded = mnistzoo.from_pretrained(tmp_path)
    assert loaded.labels == NAMES
    assert loaded.fused().labels == pickle.loads(pickle.dumps(loaded)).labels == NAMES


def test_a_model_without_names_is_saved_as_before(tmp_path):
    """The config has no such key, and classes are named by their numbers."""
    model = mnistzoo.exp1(pretrained=True)
    model.save_pretrained(tmp_path)
    assert set(json.loads((tmp_path / CONFIG).read_text("utf8"))) == {
        *("architecture", "num_classes", "mean", "std", "sha256", "library_version")
    }
    assert mnistzoo.from_pretrained(tmp_path).labels is None
    assert model.predict(mnistzoo.mnist(train=False).images[0]).name == "7"


def test_predictions_have_a_name(named, test_images, tmp_path):
    """`predict` and `read` give the label and its name; the commands print the name."""
    found = named.predict(test_images.images[0])
    assert (found.label, found.name) == (7, "seven")
    page = torch.cat(list(test_images.images[:2]), dim=1)
    assert [digit.name for digit in named.read(page)] == ["seven", "two"]
    named.save_pretrained(tmp_path / "model")
    Image.fromarray(page.numpy()).save(tmp_path / "page.png")
    for command, name in ("predict", "seven|two"), ("read", "seven"):
        arguments = [command, str(tmp_path / "page.png"), "--model", str(tmp_path / "model")]
        out = CliRunner().invoke(app, arguments, catch_exceptions=False).stdout
        assert any(each in out for each in name.split("|"))


def test_evaluations_have_names(named, few):
    """Each class goes by its name; a dataset's classes are matched to the names."""
    result = mnistzoo.evaluate(named, few)
    assert result.classes == NAMES
    assert [row.name for row in result.per_class] == list(NAMES)
    with pytest.raises(InputError, match=r"classes .zero, one, .*got some of 0, 1, 2"):
        mnistzoo.evaluate(named, mnistzoo.load_dataset(few))
    assert Evaluation(torch.zeros(1, 2), torch.zeros(1)).classes == ("0", "1")


def test_exports_state_the_names(named, tmp_path):
    """Metadata, the HTML page and the C header have the names, whatever is in them."""
    assert metadata(named)["labels"] == ",".join(NAMES)
    named.labels = (*NAMES[:8], "</script>", "*/ int x;")
    page, header = tmp_path / "page.html", tmp_path / "model.h"
    export(named, page)
    export(named, header)
    assert "seven" in page.read_text("utf8")
    assert page.read_text("utf8").count("</script>") == page.read_text("utf8").count("<script")
    assert "seven" in header.read_text("utf8")
    assert "*/ int x;" not in header.read_text("utf8")


@pytest.mark.parametrize("style", ["mnist", "plain"])
def test_the_style_is_saved_with_the_model(named, tmp_path, style):
    """Config and loaded models have the style; it is left out where it is MNIST's."""
    named.style = style
    named.save_pretrained(tmp_path)
    stated = json.loads((tmp_path / CONFIG).read_text("utf8"))
    assert stated.get("style", "mnist") == style
    assert ("style" in stated) == (style == "plain")
    assert mnistzoo.from_pretrained(tmp_path).fused().style == style
    assert load_folder(tmp_path).style == style


def test_a_wrong_style_is_refused(named, tmp_path):
    """A style that does not exist is neither saved nor loaded."""
    named.style = "plain"
    named.save_pretrained(tmp_path)
    path = tmp_path / CONFIG
    path.write_text(path.read_text("utf8").replace('"plain"', '"fancy"'), encoding="utf8")
    with pytest.raises(WeightsError, match="fancy"):
        mnistzoo.from_pretrained(tmp_path)
    named.style = "fancy"
    with pytest.raises(InputError, match="style 'mnist' or 'plain', got 'fancy'"):
        named.save_pretrained(tmp_path)


def test_a_new_classifier_has_no_names(named):
    """The old names would be wrong for new classes."""
    named.reset_classifier(26)
    assert named.labels is None
    assert len(mnistzoo.exp1(num_classes=3).predict(torch.eye(28)).name) == 1


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (NAMES[:9], "Expected 10 different labels, one for each class, got 9"),
        ((*NAMES[:9], "zero"), "got 9"),
        ((*NAMES[:9], ""), "1 to 100 printable"),
        ((*NAMES[:9], "a\nb"), "printable"),
        ((*NAMES[:9], "x" * 101), "1 to 100"),
        (tuple(range(10)), "are strings of .*, got 0\\."),
    ],
)
def test_wrong_names_are_refused(named, labels, message, few, tmp_path):
    """Names that are not one for each class are neither used nor saved nor loaded."""
    named.save_pretrained(tmp_path / "sound")
    named.labels = labels
    for use in (
        lambda: named.predict(few.images[0]),
        lambda: mnistzoo.evaluate(named, few),
        lambda: named.save_pretrained(tmp_path / "model"),
    ):
        with pytest.raises(InputError, match=message):
            use()
    assert not (tmp_path / "model").exists()
    config = json.loads((tmp_path / "sound" / CONFIG).read_text("utf8"))
    (tmp_path / "sound" / CONFIG).write_text(json.dumps(config | {"labels": labels}))
    with pytest.raises(WeightsError, match=r"config\.json does not describe"):
        mnistzoo.from_pretrained(tmp_path / "sound")
