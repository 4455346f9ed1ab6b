"""Training on your own images: from arrays, folders and files to a model that names its classes."""

import json
import shutil

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from PIL import Image
from torch.nn.utils import parametrizations, prune
from typer.testing import CliRunner

import mnistzoo
import warm
from mnistzoo.cli import app
from mnistzoo.data.datasets import ImageDataset
from mnistzoo.errors import DataError, InputError, TrainingError, WeightsError
from mnistzoo.storage.state_dict import read_metadata, read_state_dict
from mnistzoo.training import inputs, loop
from mnistzoo.training.inputs import Splits, count_held_out, stratified_order
from mnistzoo.training.metrics import read_result
from mnistzoo.training.recipes import FINE_TUNE, get_recipe
from mnistzoo.training.run import Run, shipped_digest
from mnistzoo.training.settings import change_settings
from mnistzoo.training.state import TrainingState
from mnistzoo.training.study import grid
from mnistzoo.training.train import plan

SHORT = replace(FINE_TUNE, epochs=2)

NOT_FINITE = mnistzoo.exp1(pretrained=True)
with torch.no_grad():
    NOT_FINITE.features.conv2.weight[0, 0, 0, 0] = float("nan")


@pytest.fixture(scope="module")
def letters(test_images):
    """Take 120 images of three digits, as letters."""
    chosen = (test_images.labels < 3).nonzero().flatten()[:120]
    images, labels = test_images.images[chosen], test_images.labels[chosen]
    return ImageDataset(images, labels, ("A", "B", "C"), style="mnist")


@pytest.fixture(scope="module")
def folder(letters, tmp_path_factory):
    """Write them as an image folder with both splits."""
    folder = tmp_path_factory.mktemp("letters")
    for index, (image, label) in enumerate(zip(letters.images, letters.labels, strict=True)):
        place = folder / ("test" if index < 30 else "train") / letters.classes[label]
        place.mkdir(parents=True, exist_ok=True)
        pixels = np.pad(image.numpy(), 20)  # small, so that the styles differ
        Image.fromarray(pixels).save(place / f"{index}.png")
    return folder


def invoke(*arguments):
    """Run a command that succeeds, and return what it prints."""
    return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False).stdout


def refused(*arguments):
    """Run a command that fails, and return its error."""
    return CliRunner().invoke(app, list(map(str, arguments))).exception


def test_a_model_learns_the_classes_of_a_dataset(letters):
    """It names them, has the dataset's style, and its result counts each class."""
    model, result = mnistzoo.train("exp5", letters, pretrained=True, recipe=SHORT)
    assert (model.labels, model.style, model.num_classes) == (("A", "B", "C"), "mnist", 3)
    assert (result.split, result.total) == ("validation", 12)
    assert [row.name for row in result.per_class] == ["A", "B", "C"]
    assert sum(row.correct for row in result.per_class) == result.correct
    shares = [row.correct / row.total for row in result.per_class]
    assert result.balanced_accuracy == pytest.approx(sum(shares) / 3)
    assert result.dataset.digest == letters.digest
    assert not model.training


@pytest.mark.slow
def test_fine_tuning_learns(letters):
    """From shipped features, nearly all held-out images are classified correctly."""
    model, result = mnistzoo.train("exp5", letters, pretrained=True)
    assert result.accuracy > 0.9
    assert model.predict(letters.images[0]).name == letters.classes[letters.labels[0]]


def test_own_mnist_is_mnist(few, small_mnist, tmp_path):
    """Training on MNIST's images as a dataset ends in the bits of training on MNIST."""
    recipe = replace(get_recipe("fast", "exp5"), epochs=1)
    loop.train_run(Run("exp5", recipe, seed=3), tmp_path / "mnist")
    mnistzoo.train("exp5", few, test=few, recipe=recipe, seed=3, output=tmp_path / "own")
    one, two = (read_state_dict(tmp_path / p / "model.safetensors") for p in ("mnist", "own"))
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_frozen_features_stay(letters):
    """Only the classifier changes: neither weights nor batch norm's statistics of the features."""
    shipped = mnistzoo.exp5(pretrained=True).features.state_dict()
    recipe = replace(SHORT, epochs=1)
    frozen, result = mnistzoo.train(
        "exp5", letters, pretrained=True, freeze="features", recipe=recipe
    )
    learned, _ = mnistzoo.train("exp5", letters, pretrained=True, recipe=recipe)
    assert all(torch.equal(frozen.features.state_dict()[name], shipped[name]) for name in shipped)
    assert not all(
        torch.equal(learned.features.state_dict()[name], shipped[name]) for name in shipped
    )
    assert (result.freeze, result.initial) == ("features", shipped_digest("exp5"))
    assert not torch.equal(frozen.classifier.weight, learned.classifier.weight)


@pytest.mark.parametrize("pretrained", [False, True])
def test_the_default_dtype_changes_nothing(letters, pretrained):
    """The same run under torch's default dtype float64 ends in the same bits, and restores it."""
    options = {"pretrained": pretrained, "recipe": replace(SHORT, epochs=1)}
    _, expected = mnistzoo.train("exp5", letters, **options)
    torch.set_default_dtype(torch.float64)
    try:
        model, result = mnistzoo.train("exp5", letters, **options)
        assert model.classifier.weight.dtype == torch.get_default_dtype() == torch.float64
        assert mnistzoo.evaluate(model, letters.take(torch.arange(9))).total == 9
    finally:
        torch.set_default_dtype(torch.float32)
    assert result.sha256 == expected.sha256


def test_other_weights_give_their_features(letters):
    """`pretrained` names the weights to start from, as in `get_model`."""
    options = {"freeze": "features", "recipe": replace(SHORT, epochs=1)}
    model, result = mnistzoo.train("exp5", letters, pretrained="world", **options)
    world = mnistzoo.exp5(pretrained="world").features.state_dict()
    assert all(torch.equal(model.features.state_dict()[name], world[name]) for name in world)
    assert result.initial == shipped_digest("exp5.world")
    with pytest.raises(InputError, match=r"weights of exp5 .*'word'"):
        mnistzoo.train("exp5", letters, pretrained="word", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"freeze": "head"}, "Expected freeze to be 'features' or None, got 'head'"),
        ({"freeze": True}, "got True"),
        ({"output": ""}, "Expected the path of a folder, got ''"),
        ({"model": mnistzoo.exp1().to("meta"), "pretrained": False}, "got one on the meta device"),
        ({"model": NOT_FINITE, "pretrained": False}, r"NaN or infinity in features\.conv2\.weight"),
        ({"model": mnistzoo.exp1()}, "got both: a model and pretrained=True"),
        ({"model": torch.nn.Flatten()}, r"got Flatten\("),
        ({"pretrained": 5}, "Expected pretrained to be True, False or a name, got 5"),
        ({"seed": "x"}, "Expected seed to be a whole number, got 'x'"),
        ({"seed": 1.5}, "got 1.5"),
        ({"output": 5}, "Expected the path of a folder, got 5"),
        ({"validation": "x"}, "fraction below 1 or a number .* got 'x'"),
        ({"epochs": "x"}, "epochs of the recipe"),
        ({"recipe": SHORT, "epochs": 0}, "epochs of the recipe"),
        ({"on_epoch": 5}, "Expected on_epoch to be a function, got 5"),
    ],
)
def test_wrong_options_are_refused(letters, options, message):
    """Wrong values are refused before anything is trained."""
    described = {"model": "exp1", "pretrained": True, "recipe": SHORT} | options
    with pytest.raises(InputError, match=message):
        mnistzoo.train(dataset=letters, **described)


def test_a_model_gives_its_features(letters):
    """A model in place of a name starts from its features, and the result has their digest."""
    own = mnistzoo.exp5(pretrained=True)
    with torch.no_grad():
        own.features.conv1.weight.mul_(0.5)
    recipe = replace(SHORT, epochs=1)
    model, result = mnistzoo.train(own, letters, freeze="features", recipe=recipe)
    assert torch.equal(model.features.conv1.weight, own.features.conv1.weight)
    assert result.initial not in (None, shipped_digest("exp5"))
    with pytest.raises(TrainingError, match="Pass the model that it starts from"):
        TrainingState(result.run, letters)


STILL = replace(SHORT, epochs=1, learning_rate=1e-9, weight_decay=0.0)


@pytest.fixture(scope="module")
def digits(test_images):
    """Take 100 digits, with classes of the names "0" to "9"."""
    images, labels = test_images.images[:100], test_images.labels[:100]
    return ImageDataset(images, labels, tuple("0123456789"), style="mnist")


def named(dataset, classes):
    """Return a dataset with other names of its classes."""
    return ImageDataset(dataset.images, dataset.labels, tuple(classes), style="mnist")


@pytest.mark.parametrize("weights", ["mnist", "world"])
def test_digits_keep_the_classifier_of_pretrained_weights(digits, weights):
    """Training of the ten digits starts from all of the weights, also with frozen features."""
    shipped = mnistzoo.exp5(pretrained=weights)
    for freeze in None, "features":
        model, result = mnistzoo.train(
            "exp5", digits, test=digits, pretrained=weights, freeze=freeze, recipe=STILL
        )
        assert result.keep_classifier
        torch.testing.assert_close(model.classifier.state_dict(), shipped.classifier.state_dict())


@pytest.mark.parametrize(
    "classes", [["zero", *"123456789"], [*"987654321", "0"], ["00", *"123456789"]]
)
def test_other_names_give_a_new_classifier(digits, classes):
    """Classes of other names, or in another order, get a classifier that the seed determines."""
    dataset = named(digits, classes)
    options = {"test": dataset, "pretrained": True, "recipe": STILL}
    one, result = mnistzoo.train("exp5", dataset, **options)
    two, _ = mnistzoo.train("exp5", dataset, **options, seed=1)
    shipped = mnistzoo.exp5(pretrained=True).classifier.weight
    assert not result.keep_classifier
    assert not torch.allclose(one.classifier.weight, two.classifier.weight, atol=0.01)
    assert not torch.allclose(one.classifier.weight, shipped, atol=0.01)


def test_a_model_keeps_its_classifier_for_its_own_classes(letters):
    """It is kept for the labels of the model, and for numbers if it has none."""
    own, _ = mnistzoo.train("exp5", letters, pretrained=True, recipe=replace(SHORT, epochs=1))
    for labels, classes, kept in (
        (("A", "B", "C"), ("A", "B", "C"), True),
        (("A", "B", "C"), ("0", "1", "2"), False),
        (None, ("0", "1", "2"), True),
        (None, ("A", "B", "C"), False),
        (("A", "B", "C", "D"), ("A", "B", "C"), False),
    ):
        own.labels = labels
        model, result = mnistzoo.train(own, named(letters, classes), recipe=STILL)
        assert result.keep_classifier == kept
        assert torch.allclose(model.classifier.weight, own.classifier.weight, atol=1e-6) == kept
        assert model.labels == classes


@pytest.mark.parametrize(
    "classifier",
    [
        torch.nn.Sequential(torch.nn.Linear(108, 10)),
        torch.nn.Linear(108, 10, False),
        torch.nn.Linear(50, 10),
        torch.nn.LazyLinear(10),
    ],
    ids=["nested", "no bias", "other features", "lazy"],
)
def test_a_replaced_classifier_is_not_kept(digits, classifier):
    """A run trains a linear classifier with a bias, so it keeps no other."""
    own = mnistzoo.exp5(pretrained=True)
    own.classifier = classifier
    _, result = mnistzoo.train(own, digits, test=digits, recipe=STILL)
    assert not result.keep_classifier


def test_only_features_and_classifier_are_taken(digits):
    """Other tensors of a model are left, but none of its features may be missing."""
    own = mnistzoo.exp5(pretrained=True)
    own.register_buffer("other", torch.ones(2))
    _, result = mnistzoo.train(own, digits, test=digits, recipe=STILL)
    assert result.keep_classifier


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda part: prune.l1_unstructured(part.conv1, "weight", 0.5), "conv1, which is pruned"),
        (lambda part: parametrizations.weight_norm(part.conv1), "conv1, which is pruned or param"),
        (lambda part: setattr(part, "bn1", torch.nn.Identity()), r"bn1: Identity\(\) instead of"),
        (lambda part: setattr(part, "relu1", torch.nn.GELU()), r"relu1: GELU.* instead of ReLU"),
    ],
    ids=["pruned", "parametrized", "without tensors", "same tensors"],
)
def test_changed_features_are_refused(digits, change, message):
    """A run builds the features anew from their weights, so they must be the architecture's."""
    own = mnistzoo.exp5(pretrained=True)
    change(own.features)
    with pytest.raises(WeightsError, match=rf"features\.{message}"):
        mnistzoo.train(own, digits, test=digits, recipe=STILL)


def test_a_kept_classifier_identifies_the_run(digits, letters):
    """Models that differ in their classifier start different runs only if it is kept."""
    one, two = (mnistzoo.exp5(pretrained=True) for _ in range(2))
    with torch.no_grad():
        two.classifier.bias.add_(1)
    for dataset, equal in (digits, False), (named(letters, "ABC"), True):
        found = [mnistzoo.train(own, dataset, recipe=STILL).result for own in (one, two)]
        assert (found[0].initial == found[1].initial) == equal
        assert (found[0].sha256 == found[1].sha256) == equal


def test_a_run_with_a_new_classifier_is_another_run(digits, tmp_path):
    """A folder whose run started with a new classifier is neither resumed nor returned."""
    options = {"test": digits, "recipe": STILL, "output": tmp_path}
    _, result = mnistzoo.train("exp5", digits, pretrained=True, **options)
    path = tmp_path / "metrics.json"
    assert "keep_classifier" in path.read_text()
    old = json.loads(path.read_text())
    del old["keep_classifier"]  # as older versions wrote it
    path.write_text(json.dumps(old))
    assert read_result(path).run == replace(result.run, keep_classifier=False)
    with pytest.raises(TrainingError, match="keep_classifier False, not True"):
        mnistzoo.train("exp5", digits, pretrained=True, **options)


def test_a_study_describes_the_runs_of_train(digits):
    """`grid` and `train` agree on whether the classifier is kept, also for MNIST itself."""
    own = [Splits(named(digits, classes), None) for classes in ("0123456789", "abcdefghij")]
    for splits, kept in (None, True), (own[0], True), (own[1], False):
        options = {"pretrained": "world", "freeze": None, "epochs": 3}
        run, _ = plan("exp5", splits, recipe="fine-tune", validation=10, seed=2, **options)
        dataset, holdout = run.dataset, run.holdout
        assert [run] == grid(
            ["exp5"], ["fine-tune"], [2], holdout=holdout, dataset=dataset, **options
        )
        assert run.keep_classifier == kept


def test_the_default_recipe_depends_on_the_start(digits, letters):
    """Kept classifiers are trained by the recipe `adapt`, new ones by `fine-tune`."""
    for dataset, pretrained, name in (
        (digits, True, "adapt"),
        (letters, True, "fine-tune"),
        (digits, False, "record"),
    ):
        run, _ = plan(
            "exp5",
            Splits(dataset, None),
            recipe=None,
            pretrained=pretrained,
            freeze=None,
            validation=10,
            epochs=None,
            seed=0,
        )
        assert run.recipe == get_recipe(name, "exp5")


@pytest.mark.slow
def test_a_study_keeps_the_classifier_of_digits(digits, tmp_path):
    """Without a recipe it takes `adapt`, as `train` does."""
    for index, (image, label) in enumerate(zip(digits.images, digits.labels, strict=True)):
        place = tmp_path / "digits" / digits.classes[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.numpy()).save(place / f"{index}.png")
    options = ["exp1", "--data", tmp_path / "digits", "--pretrained", "--epochs", "1"]
    command = ["-m", "mnistzoo", "study", *options, "--seed", "0", "-o", tmp_path / "study"]
    done = warm.run(list(map(str, command)))
    assert done.returncode == 0, done.stderr
    assert read_result(tmp_path / "study" / "exp1-adapt-0.json").keep_classifier


def test_no_random_classifier_is_kept(digits):
    """A run from random weights has no classifier to keep."""
    run = Run("exp5", SHORT, dataset=Splits(digits, digits).describe())
    with pytest.raises(InputError, match="pretrained weights whose classifier is kept"):
        replace(run, keep_classifier=True)


def test_an_interrupted_run_resumes_unless_the_images_have_changed(letters, tmp_path):
    """It ends in the same weights; with one pixel changed it is refused, and says so."""

    def interrupt(epoch):
        raise KeyboardInterrupt

    options = {"pretrained": True, "recipe": SHORT, "output": tmp_path / "cut"}
    with pytest.raises(KeyboardInterrupt):
        mnistzoo.train("exp5", letters, **options, on_epoch=interrupt)
    images = letters.images.clone()
    images[5, 14, 14] ^= 1
    changed = ImageDataset(images, letters.labels, letters.classes, style="mnist")
    with pytest.raises(TrainingError, match="other images: its dataset has changed since"):
        mnistzoo.train("exp5", changed, **options)
    seen = []
    resumed = mnistzoo.train("exp5", letters, **options, on_epoch=seen.append)
    assert [row.epoch for row in seen] == [1, 2]
    whole = mnistzoo.train("exp5", letters, **options | {"output": tmp_path / "whole"})
    assert resumed.result.sha256 == whole.result.sha256
    provenance = read_metadata(tmp_path / "cut" / "model.safetensors")
    assert provenance["dataset"] == letters.digest
    with pytest.raises(TrainingError, match="dataset has changed"):
        mnistzoo.train("exp5", changed, **options)
    with pytest.raises(TrainingError, match=r"initial \w{8}…, not \w{8}…\. Choose"):
        mnistzoo.train("exp5", letters, **options | {"pretrained": "world"})


COMMON = ["--pretrained", "--epochs", "1", "--set", "learning_rate=0.01", "--data"]


def test_a_command_trains_on_a_folder(folder, tmp_path):
    """It prints each class; the model evaluates by itself, and another starts from it."""
    out = tmp_path / "run"
    text = invoke("train", "exp5", *COMMON, folder, "-o", out)
    assert "of 30 test images correct" in text
    assert all(name in text for name in ("A", "B", "C", "mean of the classes"))
    result = read_result(out / "metrics.json")
    assert (result.recipe.name, result.recipe.learning_rate) == ("fine-tune", 0.01)
    rows = json.loads(invoke("evaluate", out, "--data", folder, "--format", "json"))
    assert rows[0]["correct"] == result.correct
    again = invoke("train", out, "--data", folder, "--epochs", "1", "-o", tmp_path / "second")
    assert "of 30 test images correct" in again


def test_commands_start_from_the_weights_that_they_name(folder, tmp_path):
    """`--weights` implies `--pretrained`, and does not go with a folder to start from."""
    common = ["--epochs", "1", "--data", folder, "--weights"]
    invoke("train", "exp5", *common, "world", "-o", tmp_path / "world")
    result = read_result(tmp_path / "world" / "metrics.json")
    assert result.initial == shipped_digest("exp5.world")
    assert result.recipe.name == "fine-tune"
    error = refused("train", "exp1", *common, "world", "-o", tmp_path / "none")
    assert "weights of exp1 (mnist), got 'world'" in str(error)
    for command in "train", "study":
        error = refused(command, "exp5", *common, "", "-o", tmp_path / "none")
        assert "weights of exp5 (mnist, four-bit, world), got ''" in str(error)
    error = refused("train", tmp_path / "world", *common, "world", "-o", tmp_path / "both")
    assert "got both" in str(error)


@pytest.mark.slow
def test_a_study_trains_on_a_folder(folder, tmp_path):
    """Its runs are those of `train`, and its figures leave out what is documented for MNIST."""
    options = ["exp5", *COMMON, folder, "--seed", "0", "-o", tmp_path / "study"]
    command = ["-W", "error", "-m", "mnistzoo", "study", *map(str, options), "--format", "json"]
    done = warm.run(command)  # a process of its own, which ends with those that it starts
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert row["split"] == "test"
    invoke("train", "exp5", *COMMON, folder, "-o", tmp_path / "run")
    result = read_result(tmp_path / "run" / "metrics.json")
    assert read_result(tmp_path / "study" / "exp5-fine-tune-0.json").sha256 == result.sha256
    assert (tmp_path / "study" / "curves.png").exists()
    *_, documented, _ = invoke("results", tmp_path / "study", "--format", "markdown").split("|")
    assert documented.strip() == "-"


@pytest.mark.slow
def test_two_processes_train_on_a_folder(folder, tmp_path):
    """Under torchrun, two processes train one model on a folder, and one of them prints it."""
    options = [*COMMON, folder, "-o"]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, "-m", "mnistzoo", "train", "exp1", *options, tmp_path / "together"]
    done = warm.run(list(map(str, command)))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("of 30 test images correct") == 1
    invoke("train", "exp1", *options, tmp_path / "alone")
    together, alone = (
        read_result(tmp_path / name / "metrics.json") for name in ("together", "alone")
    )
    assert (together.processes, together.run) == (2, alone.run)
    assert together.epochs[0].loss == pytest.approx(alone.epochs[0].loss, rel=0.02)


def test_images_are_read_in_the_style_of_the_model(folder, tmp_path):
    """A model of the plain style is evaluated on plain images, beside one of MNIST's style."""
    model = mnistzoo.exp5(pretrained=True)
    model.classifier = torch.nn.Linear(108, 3)
    model.labels = ("A", "B", "C")
    plain, mnist = (mnistzoo.load_dataset(folder, style=style) for style in ("plain", "mnist"))
    assert not torch.equal(plain.images, mnist.images)
    expected = {
        style: mnistzoo.evaluate(model, dataset).nll
        for style, dataset in {"plain": plain, "mnist": mnist}.items()
    }
    for model.style, nll in expected.items():
        assert mnistzoo.evaluate(model, folder).nll == nll
        model.save_pretrained(tmp_path / model.style)
    command = ["evaluate", *(tmp_path / style for style in expected), "--data", folder]
    rows = json.loads(invoke(*command, "--format", "json"))
    assert [row["nll"] for row in rows] == list(expected.values())


def test_wrong_folders_are_refused(folder, tmp_path):
    """Missing and single classes, empty folders and wrong settings are errors, and say which."""
    train = ["train", "exp5", "--epochs", "1", "-o", tmp_path / "out", "--data"]
    missing = tmp_path / "missing"
    shutil.copytree(folder, missing)
    shutil.rmtree(missing / "test" / "B")
    assert "B in one of them only" in str(refused(*train, missing))
    single = tmp_path / "single"
    shutil.copytree(folder / "train" / "A", single / "A")
    assert "two classes or more, got 1 (A)" in str(refused(*train, single))
    (tmp_path / "empty").mkdir()
    assert "Found neither" in str(refused(*train, tmp_path / "empty"))
    assert "no folder" in str(refused(*train, tmp_path / "absent"))
    assert "got 'speed=3'" in str(refused(*train, folder, "--set", "speed=3"))
    assert "batch_size of the recipe" in str(refused(*train, folder, "--set", "batch_size=0"))
    made = "--set", "synthetic_images=9"
    assert "Set synthetic_images to 0" in str(refused(*train, folder, *made))
    assert "random ones" in str(refused(*train, folder, "--freeze", "features"))
    assert "Did you mean 'record'" in str(refused(*train, folder, "--recipe", "recrod"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", [("train", "exp1"), ("study", "exp1"), ("pull", "user/name")])
def test_an_empty_output_is_refused(command):
    """An empty name, as of a variable that is not set, is not the working folder."""
    result = CliRunner().invoke(app, [*command, "-o", ""])
    assert result.exit_code == 2
    assert "an empty name" in result.output


@pytest.mark.parametrize(
    ("labels", "message"), [([0, 1, -1], "whole numbers from 0, got -1"), ([0, 0, 0], "got 1")]
)
def test_wrong_labels_are_refused(letters, labels, message):
    """Negative labels, and labels of one class, are errors."""
    with pytest.raises((InputError, DataError), match=message):
        mnistzoo.train("exp5", (letters.images[:3], labels))


def test_a_last_step_that_diverges_is_named(letters):
    """With a single step, only the evaluation shows it; the error is that of a loss."""
    recipe = replace(get_recipe("adapt", "exp1"), learning_rate=1e30, batch_size=120, ema_decay=0.0)
    with pytest.raises(TrainingError, match=r"after epoch 1\. Lower the recipe's learning rate"):
        mnistzoo.train("exp1", letters, recipe=recipe, pretrained=True, epochs=1)


def test_splits_must_agree(letters):
    """Test images of other classes are refused, and so is a class name that cannot be saved."""
    other = ImageDataset(letters.images, letters.labels, ("A", "B", "D"), style="mnist")
    with pytest.raises(DataError, match=r"\(A, B, C\).*got A, B, D"):
        mnistzoo.train("exp5", letters, test=other)
    odd = ImageDataset(letters.images, letters.labels, ("A", "B", "x" * 101))
    with pytest.raises(InputError, match="1 to 100 printable"):
        mnistzoo.train("exp5", odd)


def test_each_class_has_its_share_of_the_held_out_images():
    """Any number of them has the share of each class, off by less than one; the rest is kept."""
    labels = torch.tensor([0] * 50 + [1] * 30 + [2] * 20)
    order = stratified_order(labels)
    assert sorted(order.tolist()) == list(range(100))
    for count in (10, 33, 90):
        counts = labels[order[:count]].bincount(minlength=3)
        expected = torch.tensor([0.5, 0.3, 0.2]) * count
        assert (counts - expected).abs().max() < 1
    assert (count_held_out(0.1, 60), count_held_out(0.001, 60), count_held_out(7, 60)) == (6, 1, 7)
    for wrong in (60, -1, 2.5, float("nan"), "x", [1]):
        with pytest.raises(InputError, match="fraction below 1 or a number"):
            count_held_out(wrong, 60)


def test_a_class_without_training_images_is_refused(letters):
    """Holding out all images of a class is an error that names it."""
    labels = letters.labels.clone()
    labels[letters.labels == 2] = 1
    labels[0] = 2
    splits = Splits(ImageDataset(letters.images, labels, letters.classes), None)
    with pytest.raises(DataError, match="none of C after 100 of 120"):
        splits.select(100)


def test_settings_change_a_recipe():
    """Fields of the recipe and its augmentation are set by name, with the right type."""
    made = change_settings(FINE_TUNE, ["degrees=5", "ema_decay=null", "nesterov=false", "epochs=3"])
    assert (made.augmentation.degrees, made.ema_decay, made.nesterov) == (5.0, None, False)
    assert (made.epochs, made.name) == (3, "fine-tune")
    for wrong in ("name=x", "epochs", "augmentation=2", "epochs=1.5", "momentum=1", "scale=nan"):
        with pytest.raises(InputError):
            change_settings(FINE_TUNE, [wrong])


def test_inputs_reach_other_processes(letters):
    """Pickled inputs hold the same images."""
    import pickle

    made = Splits(letters, None).select(12)
    again = pickle.loads(pickle.dumps(made))
    assert again.training.digest == made.training.digest
    assert isinstance(again, inputs.Inputs)


def test_models_of_two_seeds_are_averaged(folder, tmp_path):
    """The mean of the weights and of batch norm's statistics, with the names of the classes."""
    for seed in (0, 1):
        options = ("--pretrained", "--epochs", 1, "--seed", seed)
        invoke("train", "exp5", "--data", folder, *options, "-o", tmp_path / f"{seed}")
    runs = [tmp_path / "0", tmp_path / "1"]
    assert "the mean of 2 models" in invoke("average", *runs, "-o", tmp_path / "mean")
    files = [path / "model.safetensors" for path in (*runs, tmp_path / "mean")]
    one, other, mean = map(read_state_dict, files)
    for name, values in mean.items():
        if values.dtype == np.float32:
            np.testing.assert_allclose(values, (one[name] + other[name]) / 2, rtol=1e-6, atol=1e-7)
    assert mnistzoo.from_pretrained(tmp_path / "mean").labels == ("A", "B", "C")
    refused = CliRunner().invoke(app, ["average", *map(str, runs), "-o", str(runs[0])])
    assert isinstance(refused.exception, TrainingError)
    assert "holds a run" in str(refused.exception)


def test_pruned_models_are_averaged_with_their_zeros():
    """Averaging reads the weights that a model computes, and leaves the model as it is."""
    model, other = mnistzoo.exp5(pretrained=True), mnistzoo.exp5(pretrained="world")
    prune.random_unstructured(model.features.conv2, "weight", 0.5)
    mean = mnistzoo.average([model, other]).features.conv2.weight
    expected = (model.features.conv2.weight + other.features.conv2.weight) / 2
    torch.testing.assert_close(mean, expected)
    assert prune.is_pruned(model)


def test_only_models_of_one_kind_are_averaged():
    """The error says how they differ."""
    model, letters = mnistzoo.exp5(pretrained=True), mnistzoo.exp5(num_classes=3)
    letters.labels = ("A", "B", "C")
    with pytest.raises(InputError, match="at least two models to average, got 1"):
        mnistzoo.average([model])
    with pytest.raises(InputError, match=r"got exp5 with 10 classes.* and exp4 with 10"):
        mnistzoo.average([model, mnistzoo.exp4()])
    with pytest.raises(InputError, match=r"only in their weights, .* 3 classes \(A, B, C\)"):
        mnistzoo.average([model, model, letters])
    with pytest.raises(InputError, match=r"got exp5 \(fused\) with"):
        mnistzoo.average([model.fused(), model])
    with pytest.raises(InputError, match="Expected models of the zoo, got str"):
        mnistzoo.average(["exp5", "exp5"])
    letters.features.conv2 = torch.nn.Identity()
    with pytest.raises(WeightsError, match=r"features\.conv2"):
        mnistzoo.average(each for each in (model, letters))
