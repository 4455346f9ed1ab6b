"""Training: the augmentation's geometry, determinism, resumption, and its errors."""

import json
import math
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import mnistzoo
from mnistzoo.data.mnist import Digits
from mnistzoo.errors import FileWriteError, InputError, TrainingError, UnknownNameError
from mnistzoo.evaluation import evaluate
from mnistzoo.files import sha256
from mnistzoo.storage.manifest import read_manifest
from mnistzoo.storage.state_dict import load_state_dict, read_metadata
from mnistzoo.training import optim as descent
from mnistzoo.training import runs, trainer
from mnistzoo.training.augmentation import affine_maps, warp
from mnistzoo.training.muon import orthogonal
from mnistzoo.training.recipes import Augmentation, get_recipe
from mnistzoo.training.study import remaining
from mnistzoo.training.trainer import Run, Trainer

BOUND = st.floats(0, 1)
PARTS = ("weight", "bias")


@pytest.fixture
def few(test_images):
    """300 images, for runs that take a second."""
    return Digits(test_images.images[:300], test_images.labels[:300])


@pytest.fixture
def run():
    """A run of two epochs, on labels."""
    return Run("exp5", replace(get_recipe("record", "exp5"), epochs=2, teacher=None))


@pytest.fixture
def taught(run):
    """A run of two epochs, on the answers of a teacher, which comes to them in two epochs too."""
    return replace(run, recipe=replace(run.recipe, teacher="teacher"))


def test_the_identity_leaves_images_alone(normalized):
    """With every bound at zero the maps are the identity, and pixel centres line up exactly."""
    maps = affine_maps(256, 28, Augmentation(), torch.Generator())
    torch.testing.assert_close(maps, torch.eye(2, 3).expand(256, 2, 3))
    torch.testing.assert_close(warp(normalized, maps), normalized, atol=1e-4, rtol=0)


@given(degrees=BOUND, scale=BOUND, shear=BOUND, translate=BOUND, seed=st.integers(0, 99))
@settings(deadline=None)
def test_maps_stay_within_their_bounds(degrees, scale, shear, translate, seed):
    """Area, shift and columns of each map are what the bounds allow, by linear algebra on them."""
    bounds = Augmentation(degrees * 45, scale * 0.4, shear, translate * 5)
    maps = affine_maps(50, 28, bounds, torch.Generator().manual_seed(seed)).double().numpy()
    determinant = np.linalg.det(maps[:, :, :2])
    assert np.all(determinant >= (1 - bounds.scale) ** 2 - 1e-5)
    assert np.all(determinant <= (1 + bounds.scale) ** 2 + 1e-5)
    assert np.all(np.abs(maps[:, :, 2]) * 14 <= bounds.translate + 1e-5)
    angles = np.degrees(np.arctan2(maps[:, 1, 0], maps[:, 0, 0]))
    assert np.all(np.abs(angles) <= bounds.degrees + 1e-3)


def test_translation_is_in_pixels():
    """A shift by whole pixels moves a dot by as many."""
    dot = torch.zeros(400, 1, 28, 28)
    dot[:, 0, 14, 14] = 1.0
    maps = affine_maps(400, 28, Augmentation(translate=3.0), torch.Generator().manual_seed(0))
    moved = warp(dot, maps)
    rows = torch.arange(28.0)
    place = (moved[:, 0].sum(2) * rows).sum(1) / moved.sum((1, 2, 3))
    assert 2.7 < (place - 14).abs().max() <= 3.0 + 1e-3


def test_the_study_zooms_one_image_in_ten():
    """With zoom_probability 0.1 a tenth of the maps shrink the view to 22 of 28 pixels."""
    maps = affine_maps(20_000, 28, Augmentation(zoom_probability=0.1), torch.Generator())
    zoomed = torch.isclose(maps[:, 0, 0], torch.tensor(22 / 28))
    assert 0.09 < zoomed.double().mean() < 0.11
    assert torch.all(torch.isclose(maps[~zoomed, 0, 0], torch.tensor(1.0)))


def test_documented_recipe_is_the_studys():
    """Learning rate, momentum, batch, epochs and steps are those of the study."""
    recipe = get_recipe("documented", "exp5")
    assert (recipe.learning_rate, recipe.momentum, recipe.nesterov) == (0.01, 0.9, False)
    assert (recipe.batch_size, recipe.epochs) == (64, 20)
    assert math.ceil(60_000 / recipe.batch_size) == 938
    assert recipe.weight_decay == recipe.label_smoothing == 0
    assert not recipe.he_init
    assert recipe.augmentation == Augmentation(degrees=15.0, zoom_probability=0.1)


def test_documented_steps_down_after_epoch_15(few):
    """The learning rate is 0.01 for 15 epochs, and then a tenth of it."""
    trainer = Trainer(Run("exp1", get_recipe("documented", "exp1")), Digits(*(t[:8] for t in few)))
    rates = []
    for _ in range(17):
        rates.append(trainer.optimizer.param_groups[0]["lr"])
        trainer.train_epoch()
    assert rates == pytest.approx([0.01] * 15 + [0.001] * 2)


def test_unknown_recipe():
    """A misspelt recipe is an error that names the one meant."""
    with pytest.raises(UnknownNameError, match="Did you mean 'record'"):
        get_recipe("recrod", "exp5")


@given(rows=st.integers(1, 20), columns=st.integers(1, 20), seed=st.integers(0, 99))
@settings(deadline=None)
def test_muon_steps_along_orthogonal_matrices(rows, columns, seed):
    """Singular vectors stay, by torch's own decomposition, and singular values come near 1."""
    generator = torch.Generator().manual_seed(seed)
    left, _, right = torch.linalg.svd(
        torch.randn(rows, columns, generator=generator), full_matrices=False
    )
    values = torch.rand(min(rows, columns), generator=generator) * 0.9 + 0.1
    made = left.T @ orthogonal(left * values @ right) @ right.T
    assert torch.all((made.diagonal() > 0.6) & (made.diagonal() < 1.3))
    torch.testing.assert_close(made, torch.diag(made.diagonal()), atol=1e-4, rtol=0)


def test_muon_keeps_the_norm_of_kernels(few):
    """After a step each kernel has the norm √out_channels, and the other parameters have moved."""
    recipe = replace(get_recipe("fast", "exp5"), batch_size=100)
    trainer = Trainer(Run("exp5", recipe), few)
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    trainer.train_epoch()
    for name, parameter in trainer.model.named_parameters():
        assert not torch.equal(parameter, before[name])
        if parameter.ndim == 4:
            assert parameter.detach().norm().item() == pytest.approx(
                len(parameter) ** 0.5, rel=1e-4
            )


def test_a_pass_takes_as_many_images_as_the_recipe_says(few):
    """Of 300 images a pass takes 128 and no more, others each time, in two steps of 64."""
    trainer = Trainer(Run("exp1", replace(get_recipe("fast", "exp1"), images=128)), few)
    taken = []
    step = trainer._step
    trainer._step = lambda index, *others: taken.append(index) or step(index, *others)
    trainer.train_epoch()
    trainer.train_epoch()
    assert [len(index) for index in taken] == [64, 64, 64, 64]
    first, second = set(torch.cat(taken[:2]).tolist()), set(torch.cat(taken[2:]).tolist())
    assert len(first) == len(second) == 128
    assert first != second


def test_frozen_convolutions_stop_learning(few, run):
    """After the share of steps that the recipe says, the first two keep their weights."""
    recipe = replace(run.recipe, epochs=4, frozen_convs=2, frozen_after=0.5)
    trainer = Trainer(replace(run, recipe=recipe), few)

    def after(epochs):
        for _ in range(epochs):
            trainer.train_epoch()
        return {name: p.detach().clone() for name, p in trainer.model.named_parameters()}

    half, end = after(2), after(2)
    kept = {name for name in half if torch.equal(half[name], end[name])}
    first = {f"features.{kind}{n}.{p}" for kind in ("conv", "bn") for n in (1, 2) for p in PARTS}
    assert kept == first


def test_frozen_convolutions_stay_so_when_a_run_goes_on(few):
    """A run stopped after the freezing ends in the same weights."""
    recipe = replace(get_recipe("fast", "exp5"), epochs=3)
    whole, begun, resumed = (Trainer(Run("exp5", recipe), few) for _ in range(3))
    for _ in range(3):
        whole.train_epoch()
    begun.train_epoch()
    begun.train_epoch()
    resumed.load_state_dict(begun.state_dict())
    resumed.train_epoch()
    ends = whole.result.state_dict(), resumed.result.state_dict()
    assert all(torch.equal(one, two) for one, two in zip(*map(dict.values, ends), strict=True))


@pytest.mark.parametrize(
    ("able", "expected"),
    [
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": True}, torch.bfloat16),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": False}, torch.float32),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": True}, torch.bfloat16),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": False}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_bfloat16_where_it_is_faster(monkeypatch, able, expected):
    """With AMX, or with AVX-512 BF16 on processors that are not Intel's."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    assert trainer.autocast_dtype(torch.device("cpu")) == expected


def test_training_learns(few):
    """Fifteen epochs on 300 images classify most of them, where chance gets a tenth."""
    recipe = replace(
        get_recipe("record", "exp1"), epochs=15, batch_size=32, learning_rate=0.02, ema_decay=0.9
    )
    trainer = Trainer(Run("exp1", recipe), few)
    for _ in range(recipe.epochs):
        trainer.train_epoch()
    assert evaluate(trainer.result, few).accuracy > 0.8


def test_same_seed_same_weights(few, run):
    """Two runs of one seed end in equal bits, and another seed in others."""

    def weights(seed):
        trainer = Trainer(replace(run, seed=seed), few)
        trainer.train_epoch()
        return trainer.result.state_dict()

    first, again, other = weights(3), weights(3), weights(4)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


def test_training_leaves_the_global_generator_alone(few, run):
    """The seed of a run is not the seed of the process."""
    before = torch.get_rng_state()
    Trainer(run, few).train_epoch()
    assert torch.equal(before, torch.get_rng_state())


def test_the_moving_average_is_torchs(few, run):
    """After each step it has the bits of `AveragedModel`, but whole counts of batch norm."""
    training = Trainer(run, few)
    model, average = training.model, get_ema_multi_avg_fn(run.recipe.ema_decay)
    expected = AveragedModel(model, multi_avg_fn=average, use_buffers=True)
    training.optimizer.register_step_post_hook(lambda *_: expected.update_parameters(model))
    training.train_epoch()
    state, steps = training.result.state_dict(), training.steps
    assert steps > 1
    for name, tensor in expected.module.state_dict().items():
        count = tensor.dtype == torch.int64
        assert torch.equal(state[name], torch.tensor(steps) if count else tensor), name


def test_divergence_says_where(few, run):
    """A loss that is no longer finite stops the run, naming epoch and step."""
    trainer = Trainer(replace(run, recipe=replace(run.recipe, learning_rate=1e30)), few)
    with pytest.raises(TrainingError, match=r"exp5 became nan in epoch 1, step \d of 5"):
        trainer.train_epoch()


@pytest.fixture
def small_mnist(monkeypatch, few):
    """In place of the data set, 300 images of it, so that a whole run takes a second."""
    monkeypatch.setattr(runs, "mnist", lambda train: few)


def test_a_run_leaves_weights_and_metrics(tmp_path, run, small_mnist, few):
    """The folder holds the network that the metrics describe, ready to load, and no checkpoint."""
    metrics = runs.train(run, tmp_path)
    files = ["README.md", "config.json", "metrics.json", "model.safetensors"]
    assert sorted(p.name for p in tmp_path.iterdir()) == files
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics
    assert sha256((tmp_path / "model.safetensors").read_bytes()) == metrics["sha256"]
    assert metrics["recipe"] == asdict(run.recipe)
    assert [row["epoch"] for row in metrics["epochs"]] == [1, 2]
    assert evaluate(mnistzoo.from_pretrained(tmp_path), few).correct == metrics["correct"]
    provenance = read_metadata(tmp_path / "model.safetensors")
    assert (provenance["recipe"], provenance["seed"]) == ("record", 0)


def test_a_run_that_comes_to_the_shipped_weights(tmp_path, small_mnist, monkeypatch):
    """It ends like any other, in the very file that ships, whatever it reads of the images."""
    shipped = mnistzoo.exp1(pretrained=True)
    monkeypatch.setattr(Trainer, "result", property(lambda self: shipped))
    recipe = replace(get_recipe("record", "exp1"), epochs=1)
    metrics = runs.train(Run("exp1", recipe), tmp_path)
    assert metrics["sha256"] == read_manifest()["exp1"].sha256
    assert f"{read_manifest()['exp1'].accuracy:.2%}" in (tmp_path / "README.md").read_text()


def test_a_run_goes_on_to_the_same_digest(tmp_path, run, small_mnist):
    """Stopped after its first epoch and started again, a run ends in the same bytes."""
    whole = runs.train(run, tmp_path / "whole")

    def stop(trained, row):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runs.train(run, tmp_path / "cut", on_epoch=stop)
    assert (tmp_path / "cut" / "checkpoint.pt").exists()
    seen = []
    resumed = runs.train(run, tmp_path / "cut", on_epoch=lambda _, row: seen.append(row["epoch"]))
    assert seen == [1, 2]
    assert resumed["sha256"] == whole["sha256"]


def test_a_finished_run_is_not_done_again(tmp_path, run, small_mnist):
    """The second call gives the first one's metrics and takes no step."""
    first = runs.train(run, tmp_path)
    assert runs.train(run, tmp_path, on_batch=pytest.fail) == first


@pytest.mark.parametrize("holdout", [-5, 60_000])
def test_holdouts_out_of_bounds(holdout):
    """They are refused when a run is described."""
    with pytest.raises(InputError, match="a holdout of 0 to 59,999 of the 60,000"):
        Run("exp1", get_recipe("fast", "exp1"), holdout=holdout)


def test_no_epochs():
    """A run has one at least."""
    with pytest.raises(InputError, match="one epoch or more, got 0"):
        Run("exp1", replace(get_recipe("fast", "exp1"), epochs=0))


def test_batches_smaller_than_the_processes(few, monkeypatch):
    """Each process needs an image of every batch; the last one tells before anything is trained."""
    monkeypatch.setattr(trainer, "world_size", lambda: 2)
    digits = Digits(few.images[:65], few.labels[:65])
    with pytest.raises(TrainingError, match="each of 2 processes in every batch, got 1"):
        Trainer(Run("exp1", get_recipe("fast", "exp1")), digits)


def test_rates_rise_and_fall_along_cosines():
    """As the record says of `one_cycle`: half of the highest rate is passed halfway up and down."""
    recipe = replace(get_recipe("record", "exp1"), epochs=10)
    optimizer = descent.optimizer(mnistzoo.exp1(), recipe)
    scheduler, rates = descent.scheduler(optimizer, recipe, 100), []
    for _ in range(1000):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert max(rates) == pytest.approx(recipe.learning_rate)
    top = rates.index(max(rates))
    quarter = 0.5 - 0.5 * math.cos(math.pi / 4)
    assert top == pytest.approx(150, abs=1)
    assert rates[top // 4] / max(rates) == pytest.approx(quarter, abs=0.04)
    assert rates[top + (1000 - top) // 2] / max(rates) == pytest.approx(0.5, abs=0.01)


def test_a_teacher_is_a_run_of_its_own(tmp_path, taught, small_mnist):
    """It is trained first, in a folder inside, to the bytes that it comes to by itself."""
    alone = runs.train(taught.teacher, tmp_path / "alone")
    seen = []
    metrics = runs.train(
        taught, tmp_path / "run", on_epoch=lambda run, row: seen.append((run.network, row["epoch"]))
    )
    assert seen == [("teacher", 1), ("teacher", 2), ("exp5", 1), ("exp5", 2)]
    inside = tmp_path / "run" / "teacher"
    assert sha256((inside / "model.safetensors").read_bytes()) == alone["sha256"]
    assert metrics["teacher"]["sha256"] == alone["sha256"]
    assert metrics["teacher"]["correct"] == alone["correct"]
    assert mnistzoo.from_pretrained(inside).architecture.name == "teacher"


def test_a_teacher_sees_no_more_than_its_pupil(taught):
    """Its run has the same seed and held-out images, and not more epochs than either recipe."""
    teacher = replace(taught, seed=5, holdout=100).teacher
    assert (teacher.seed, teacher.holdout, teacher.recipe.epochs) == (5, 100, 2)
    assert teacher.teacher is None
    longer = replace(taught, recipe=replace(taught.recipe, epochs=1000)).teacher
    assert longer.recipe == get_recipe("record", "teacher")


@pytest.mark.parametrize("last", [("teacher", 1), ("teacher", 2), ("exp5", 1)])
def test_a_run_with_a_teacher_goes_on_to_the_same_digest(tmp_path, taught, small_mnist, last):
    """Stopped in its teacher's training, after it, or in its own, it ends in the same bytes."""
    whole = runs.train(taught, tmp_path / "whole")

    def stop(trained, row):
        if (trained.network, row["epoch"]) == last:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runs.train(taught, tmp_path / "cut", on_epoch=stop)
    resumed = runs.train(taught, tmp_path / "cut")
    assert resumed["sha256"] == whole["sha256"]
    assert resumed["teacher"]["sha256"] == whole["teacher"]["sha256"]


def test_a_network_learns_its_teachers_answers(few):
    """Under labels that are all wrong it comes to read most images as its teacher does."""
    recipe = replace(
        get_recipe("record", "exp1"), epochs=15, batch_size=32, learning_rate=0.02, ema_decay=0.9
    )
    recipe = replace(recipe, teacher="teacher")
    wrong = Digits(few.images, (few.labels + 1) % 10)
    pupil = Trainer(Run("exp1", recipe), wrong, mnistzoo.exp5(pretrained=True))
    for _ in range(recipe.epochs):
        pupil.train_epoch()
    assert evaluate(pupil.result, few).accuracy > 0.8


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_distillation_is_a_divergence(run, temperature):
    """The loss is T² Σ p (log p - log q) of softened answers, worked out in NumPy."""
    recipe = replace(run.recipe, temperature=temperature)
    answers, taught = torch.randn(2, 50, 10, generator=torch.Generator().manual_seed(0)) * 5
    loss = descent.loss(recipe, answers, torch.zeros(50, dtype=torch.long), taught).item()
    q, p = (np.exp(scores.double().numpy() / temperature) for scores in (answers, taught))
    q, p = (each / each.sum(axis=1, keepdims=True) for each in (q, p))
    expected = temperature**2 * (p * np.log(p / q)).sum(axis=1).mean()
    assert loss == pytest.approx(expected, rel=1e-4)


def test_a_missing_teacher(few, run, taught):
    """A recipe with a teacher never trains on the labels instead, nor the other way round."""
    with pytest.raises(TrainingError, match="teacher is teacher; hand over"):
        Trainer(taught, few)
    with pytest.raises(TrainingError, match="teacher is None"):
        Trainer(run, few, mnistzoo.exp5())


def test_a_folder_of_another_run(tmp_path, run, small_mnist):
    """Another seed or setting in one folder is refused, and the error says what differs."""
    runs.train(run, tmp_path)
    with pytest.raises(TrainingError, match="run, with seed 0, not 1; choose another folder"):
        runs.train(replace(run, seed=1), tmp_path)
    longer = replace(run, recipe=replace(run.recipe, epochs=3))
    with pytest.raises(TrainingError, match="run, with epochs 2, not 3; choose"):
        runs.train(longer, tmp_path)
    turned = replace(run.recipe.augmentation, degrees=5.0)
    with pytest.raises(TrainingError, match=r"run, with degrees 10\.0, not 5\.0; choose"):
        runs.train(replace(run, recipe=replace(run.recipe, augmentation=turned)), tmp_path)


def test_a_run_of_another_kind_of_integer(tmp_path, run, small_mnist):
    """A seed of NumPy's and a folder as text do what Python's and a path do."""
    numpy_run = replace(run, seed=np.int64(run.seed), holdout=np.int32(0))
    assert numpy_run == run
    assert type(numpy_run.seed) is int
    assert runs.train(numpy_run, str(tmp_path / "here"))["seed"] == run.seed
    assert remaining([], str(tmp_path)) == {}


CHANGED = {
    "metrics.json": lambda data: json.dumps(
        {key: value for key, value in json.loads(data).items() if key != "nll"}
    ).encode(),
    "config.json": lambda data: data.replace(b"exp5", b"exp2").replace(b"teacher", b"exp2"),
    "model.safetensors": lambda data: data[:-1] + b"\0",
}
"""What is done to each file of a run: a figure taken out, another network named, a bit flipped."""


@pytest.mark.parametrize("name", list(CHANGED))
@pytest.mark.parametrize("part", ["", "teacher"])
def test_a_finished_run_that_was_changed(tmp_path, taught, small_mnist, part, name):
    """Files that are gone or others are refused, and the error says which folder to delete."""
    runs.train(taught, tmp_path)
    if part:
        (tmp_path / "metrics.json").unlink()  # so that the teacher is asked for again
    path = tmp_path / part / name
    path.write_bytes(CHANGED[name](path.read_bytes()))
    what = name if name == "metrics.json" else "the network"
    refused = f"{what} in {path.parent} is not what the run wrote there; delete"
    with pytest.raises(TrainingError, match=refused):
        runs.train(taught, tmp_path)
    path.unlink()
    if name != "metrics.json":
        with pytest.raises(TrainingError, match=refused):
            runs.train(taught, tmp_path)


def test_a_folder_that_refuses(run, small_mnist):
    """A run that could not be saved fails before its first step."""
    with pytest.raises(FileWriteError, match="choose a folder"):
        runs.train(run, Path("/proc/mnistzoo"), on_batch=pytest.fail)


def test_holdout_never_reads_the_test_images(monkeypatch):
    """With a holdout the two parts are the training set, in order, and nothing else."""

    def training_only(train):
        assert train
        return mnistzoo.mnist(train=True)

    monkeypatch.setattr("mnistzoo.training.runs.mnist", training_only)
    training, judged = runs.split(10_000)
    everything = mnistzoo.mnist(train=True)
    assert torch.equal(torch.cat([training.images, judged.images]), everything.images)
    assert torch.equal(torch.cat([training.labels, judged.labels]), everything.labels)
    assert len(judged.labels) == 10_000


def test_evaluation_agrees_with_counting(few):
    """Correct, accuracy, confusion and likelihood are what a loop over the images gives."""
    model = mnistzoo.exp1(pretrained=True).train()
    result = evaluate(model, few)
    assert model.training
    table = [[0] * 10 for _ in range(10)]
    log_likelihood = 0.0
    model.eval()
    for image, label in zip(few.images, few.labels, strict=True):
        scores = model((image[None, None] / 255 - 0.1307) / 0.3081)[0]
        table[label][scores.argmax()] += 1
        log_likelihood += scores[label].item()
    assert result.confusion.tolist() == table
    assert result.correct == sum(table[i][i] for i in range(10))
    assert result.accuracy == result.correct / 300
    assert result.nll == pytest.approx(-log_likelihood / 300, abs=1e-5)


_FROZEN = {"frozen_convs": 1, "frozen_after": 0.5}


def test_two_processes_train_one_network(tmp_path, small_mnist, monkeypatch):
    """Under torchrun, two processes come to the weights that one process comes to.

    Without batch norm the mean of their gradients is that of the whole batch, but for rounding,
    which is small in float32; also where their shares differ, as of the last three images.
    Half-way, the first convolution stops learning. A teacher is trained by both, too, and both
    learn from the file that the first one wrote.
    """
    monkeypatch.setattr(trainer, "autocast_dtype", lambda device: torch.float32)
    recipe = replace(get_recipe("record", "exp1"), epochs=2, batch_size=99, **_FROZEN)
    alone = runs.train(Run("exp1", recipe), tmp_path / "alone")
    script = tmp_path / "together.py"
    script.write_text(
        "from dataclasses import replace\nfrom pathlib import Path\nimport torch\n"
        "from mnistzoo.data.mnist import Digits, mnist\n"
        "from mnistzoo.training import runs, trainer\n"
        "trainer.autocast_dtype = lambda device: torch.float32\n"
        "from mnistzoo.training.distributed import processes\n"
        "from mnistzoo.training.recipes import get_recipe\n"
        "from mnistzoo.training.trainer import Run\n"
        "few = Digits(*(tensor[:300] for tensor in mnist(train=False)))\n"
        "runs.mnist = lambda train: few\n"
        "recipe = replace(get_recipe('record', 'exp1'), epochs=2, batch_size=99,\n"
        f"    **{_FROZEN})\n"
        "with processes():\n"
        f"    runs.train(Run('exp1', recipe), Path({str(tmp_path / 'together')!r}))\n"
        "    recipe = replace(recipe, teacher='teacher')\n"
        f"    runs.train(Run('exp1', recipe), Path({str(tmp_path / 'taught')!r}))\n"
    )
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run([sys.executable, *torchrun, script], check=True, capture_output=True)
    assert b"FutureWarning" not in done.stderr
    together = json.loads((tmp_path / "together" / "metrics.json").read_text())
    assert together["processes"] == 2
    taught = json.loads((tmp_path / "taught" / "metrics.json").read_text())
    teacher = (tmp_path / "taught" / "teacher" / "model.safetensors").read_bytes()
    assert taught["teacher"]["sha256"] == sha256(teacher)
    assert together["epochs"][0]["loss"] == pytest.approx(alone["epochs"][0]["loss"], rel=1e-4)
    one, two = (load_state_dict(tmp_path / p / "model.safetensors") for p in ("alone", "together"))
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, atol=1e-4, rtol=1e-3)
