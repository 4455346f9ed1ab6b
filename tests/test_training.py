"""Training steps: augmentation, recipes, optimizers, determinism, and distillation."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import mnistzoo
from mnistzoo.architectures import BUILDABLE
from mnistzoo.data.mnist import Digits
from mnistzoo.errors import InputError, TrainingError, UnknownNameError
from mnistzoo.evaluation import evaluate
from mnistzoo.images.transforms import normalize
from mnistzoo.training import loop, optim, state
from mnistzoo.training.augmentation import affine_maps, warp
from mnistzoo.training.loop import train_epoch, train_step
from mnistzoo.training.muon import orthogonal
from mnistzoo.training.recipes import get_recipe
from mnistzoo.training.run import Run
from mnistzoo.training.settings import Augmentation
from mnistzoo.training.state import TrainingState

BOUND = st.floats(0, 1)
PARTS = ("weight", "bias")


@pytest.fixture(scope="module")
def few(test_images):
    """Take 150 images, of which an epoch takes a fraction of a second."""
    return Digits(test_images.images[:150], test_images.labels[:150])


@pytest.fixture(scope="module")
def run():
    """Describe a run of exp5 of two epochs, without a teacher."""
    return Run("exp5", replace(get_recipe("record", "exp5"), epochs=2, teacher=None))


def parameters(trainer):
    """Copy the parameters of a model in training, by name."""
    return {name: p.detach().clone() for name, p in trainer.model.named_parameters()}


def test_identity_maps_leave_images_unchanged(normalized):
    """With every bound at zero the maps are the identity, and pixel centers line up."""
    maps = affine_maps(256, 28, Augmentation(), torch.Generator())
    torch.testing.assert_close(maps, torch.eye(2, 3).expand(256, 2, 3))
    torch.testing.assert_close(warp(normalized, maps), normalized, atol=1e-4, rtol=0)


@given(degrees=BOUND, scale=BOUND, shear=BOUND, translate=BOUND, seed=st.integers(0, 99))
def test_maps_stay_within_their_bounds(degrees, scale, shear, translate, seed):
    """Area, shift and angle of each map are within the bounds, by linear algebra."""
    bounds = Augmentation(degrees * 45, scale * 0.4, shear, translate * 5)
    maps = affine_maps(50, 28, bounds, torch.Generator().manual_seed(seed)).double().numpy()
    determinant = np.linalg.det(maps[:, :, :2])
    assert np.all(determinant >= (1 - bounds.scale) ** 2 - 1e-5)
    assert np.all(determinant <= (1 + bounds.scale) ** 2 + 1e-5)
    assert np.all(np.abs(maps[:, :, 2]) * 14 <= bounds.translate + 1e-5)
    angles = np.degrees(np.arctan2(maps[:, 1, 0], maps[:, 0, 0]))
    assert np.all(np.abs(angles) <= bounds.degrees + 1e-3)


def test_translation_is_in_pixels():
    """The largest shift of a dot is the bound, in pixels."""
    dot = torch.zeros(400, 1, 28, 28)
    dot[:, 0, 14, 14] = 1.0
    maps = affine_maps(400, 28, Augmentation(translate=3.0), torch.Generator().manual_seed(0))
    moved = warp(dot, maps)
    rows = torch.arange(28.0)
    center = (moved[:, 0].sum(2) * rows).sum(1) / moved.sum((1, 2, 3))
    assert 2.7 < (center - 14).abs().max() <= 3.0 + 1e-3


def test_zoom_probability_is_a_share_of_the_images():
    """With zoom_probability 0.1 a tenth of the maps shrink the view to 22 of 28 pixels."""
    maps = affine_maps(20_000, 28, Augmentation(zoom_probability=0.1), torch.Generator())
    zoomed = torch.isclose(maps[:, 0, 0], torch.tensor(22 / 28))
    assert 0.09 < zoomed.double().mean() < 0.11
    assert torch.all(torch.isclose(maps[~zoomed, 0, 0], torch.tensor(1.0)))


def test_documented_recipe_is_the_studys():
    """Learning rate, momentum, batch size, epochs and steps are those of the study."""
    recipe = get_recipe("documented", "exp5")
    assert (recipe.learning_rate, recipe.momentum, recipe.nesterov) == (0.01, 0.9, False)
    assert (recipe.batch_size, recipe.epochs) == (64, 20)
    assert math.ceil(60_000 / recipe.batch_size) == 938
    assert recipe.weight_decay == recipe.label_smoothing == 0
    assert not recipe.he_init
    assert recipe.augmentation == Augmentation(degrees=15.0, zoom_probability=0.1)


def test_documented_rate_drops_after_epoch_15(few):
    """The learning rate is 0.01 for 15 epochs, then a tenth of it."""
    trainer = TrainingState(
        Run("exp1", get_recipe("documented", "exp1")), Digits(*(t[:8] for t in few))
    )
    rates = []
    for _ in range(17):
        rates.append(trainer.optimizer.param_groups[0]["lr"])
        train_epoch(trainer)
    assert rates == pytest.approx([0.01] * 15 + [0.001] * 2)


def test_one_cycle_follows_cosines():
    """The rate passes half of its peak halfway up and halfway down."""
    recipe = replace(get_recipe("record", "exp1"), epochs=10)
    optimizer = optim.optimizer(mnistzoo.exp1(), recipe)
    scheduler, rates = optim.scheduler(optimizer, recipe, 100), []
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


def test_an_unknown_recipe_is_refused():
    """A misspelled recipe is an error that suggests the nearest name."""
    with pytest.raises(UnknownNameError, match="Did you mean 'record'"):
        get_recipe("recrod", "exp5")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"holdout": -5}, "a holdout of 0 to 59,999 of the 60,000"),
        ({"holdout": 60_000}, "a holdout of 0 to 59,999 of the 60,000"),
        ({"seed": 2**32}, "a seed from 0 to 4294967295"),
        (
            {"recipe": replace(get_recipe("fast", "exp1"), epochs=0)},
            "epochs of the recipe: Expected `int` >= 1",
        ),
        (
            {"recipe": replace(get_recipe("fast", "exp1"), batch_size=2**31)},
            "batch_size of the recipe: Expected `int` <= 2147483647",
        ),
        (
            {"recipe": replace(get_recipe("fast", "exp1"), learning_rate=1e300)},
            "learning_rate of the recipe: Expected `float` <= 1e",
        ),
        ({"architecture": "exp6"}, "Did you mean"),
    ],
)
def test_a_run_out_of_range_is_refused(wrong, message):
    """A run that cannot be trained is refused when it is described."""
    described = {"architecture": "exp1", "recipe": get_recipe("fast", "exp1")} | wrong
    with pytest.raises((InputError, UnknownNameError), match=message):
        Run(**described)


def test_numpy_integers_describe_the_same_run(run):
    """A seed and a holdout of NumPy's types are stored as Python's."""
    same = replace(run, seed=np.int64(0), holdout=np.int32(0))
    assert same == run
    assert type(same.seed) is type(same.holdout) is int


@given(rows=st.integers(1, 20), columns=st.integers(1, 20), seed=st.integers(0, 99))
def test_muon_orthogonalizes(rows, columns, seed):
    """Singular vectors stay, and singular values move close to 1, by torch's own SVD."""
    generator = torch.Generator().manual_seed(seed)
    left, _, right = torch.linalg.svd(
        torch.randn(rows, columns, generator=generator), full_matrices=False
    )
    values = torch.rand(min(rows, columns), generator=generator) * 0.9 + 0.1
    made = left.T @ orthogonal(left * values @ right) @ right.T
    assert torch.all((made.diagonal() > 0.6) & (made.diagonal() < 1.3))
    torch.testing.assert_close(made, torch.diag(made.diagonal()), atol=1e-4, rtol=0)


def test_muon_keeps_the_norm_of_kernels(few):
    """After a step each kernel has the norm √out_channels, and all parameters have changed."""
    trainer = TrainingState(Run("exp5", replace(get_recipe("fast", "exp5"), batch_size=100)), few)
    before = parameters(trainer)
    train_epoch(trainer)
    for name, parameter in parameters(trainer).items():
        assert not torch.equal(parameter, before[name])
        if parameter.ndim == 4:
            assert parameter.norm().item() == pytest.approx(len(parameter) ** 0.5, rel=1e-4)


def test_an_epoch_takes_the_recipes_number_of_images(few, monkeypatch):
    """An epoch trains on 128 of 150 images, each once, and the next one on others."""
    trainer = TrainingState(Run("exp1", replace(get_recipe("fast", "exp1"), images=128)), few)
    taken, step = [], loop.train_step
    monkeypatch.setattr(
        loop,
        "train_step",
        lambda trainer, indices, *others: taken.append(indices) or step(trainer, indices, *others),
    )
    train_epoch(trainer)
    train_epoch(trainer)
    assert [len(indices) for indices in taken] == [64, 64, 64, 64]
    first, second = set(torch.cat(taken[:2]).tolist()), set(torch.cat(taken[2:]).tolist())
    assert len(first) == len(second) == 128
    assert first != second


def test_frozen_convolutions_stop_learning(few, run):
    """The first two keep their weights after half of the steps, even if training is resumed."""
    recipe = replace(run.recipe, epochs=3, frozen_convs=2, frozen_after=0.5)
    trainer, resumed = (TrainingState(replace(run, recipe=recipe), few) for _ in range(2))
    train_epoch(trainer)
    train_epoch(trainer)
    resumed.load_state_dict(copy.deepcopy(trainer.state_dict()))
    before = parameters(trainer)
    train_epoch(trainer)
    train_epoch(resumed)
    after = parameters(trainer)
    kept = {name for name in before if torch.equal(before[name], after[name])}
    assert kept == {
        f"features.{kind}{number}.{part}"
        for kind in ("conv", "bn")
        for number in (1, 2)
        for part in ("weight", "bias")
    }
    ends = trainer.result.state_dict(), resumed.result.state_dict()
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
def test_bfloat16_is_used_where_it_is_faster(monkeypatch, able, expected):
    """Training uses bfloat16 with AMX, or with AVX-512 BF16 on non-Intel processors."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    assert state.autocast_dtype(torch.device("cpu")) == expected


def test_cropped_and_folded_layers_are_the_model(few):
    """`fast` freezes and folds the first convolutions; its layers compute what the model does."""
    recipe = replace(get_recipe("fast", "exp5"), epochs=2, batch_size=30, frozen_after=0.5)
    trainer = TrainingState(Run("exp5", recipe), few)
    train_epoch(trainer)
    first = parameters(trainer)
    train_epoch(trainer)
    changed = {name for name, p in parameters(trainer).items() if not torch.equal(p, first[name])}
    frozen = {f"features.{k}{n}.{p}" for k in ("conv", "bn") for n in (1, 2) for p in PARTS}
    assert changed == first.keys() - frozen
    images = normalize(few.images)
    with torch.no_grad():
        expected = trainer.model.eval()(images)
        found = trainer.forward(images[..., :26, :26]).log_softmax(1)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_a_teacher_sees_whole_images_where_the_student_does_not(few):
    """`fast` crops images to what exp5 reads; teachers and rounded models get more."""
    fast = replace(get_recipe("fast", "exp5"), batch_size=150)
    student = TrainingState(Run("exp5", replace(fast, teacher="exp1")), few, mnistzoo.exp1())
    rounded = TrainingState(Run("exp5", replace(fast, bits=4, frozen_convs=0)), few)
    assert (student.side, rounded.side) == (26, 28)
    for trainer in (student, rounded):
        train_epoch(trainer)
        assert trainer.epoch == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"frozen_convs": 8}, "at most 7, the convolutions of exp5"), ({"bits": 4}, "0 with bits")],
)
def test_convolutions_that_cannot_be_frozen(changes, message):
    """There are fewer, or they are rounded with the others."""
    with pytest.raises(InputError, match=message):
        Run("exp5", replace(get_recipe("fast", "exp5"), **changes))


@pytest.mark.parametrize("name", BUILDABLE)
def test_rows_read_are_those_of_the_gradient(name):
    """In float64, no pixel outside `rows_read` has a gradient, and its last row and column do."""
    model = mnistzoo.get_model(name).eval().double()
    images = torch.randn(20, 1, 28, 28, dtype=torch.float64, requires_grad=True)
    model.features(images).square().sum().backward()
    found = [images.grad.abs().sum((0, 1, axis)).nonzero().max() + 1 for axis in (2, 3)]
    assert found == [BUILDABLE[name].rows_read] * 2


@pytest.mark.parametrize("distill", [False, True])
def test_training_learns(few, distill):
    """Most images are classified after 15 epochs, by labels or, if all are wrong, by a teacher."""
    recipe = replace(
        get_recipe("record", "exp1"), epochs=15, batch_size=16, learning_rate=0.02, ema_decay=0.9
    )
    digits, teacher = few, None
    if distill:
        recipe = replace(recipe, teacher="exp5")
        digits = Digits(few.images, (few.labels + 1) % 10)
        teacher = mnistzoo.exp5(pretrained=True)
    trainer = TrainingState(Run("exp1", recipe), digits, teacher)
    for _ in range(recipe.epochs):
        train_epoch(trainer)
    assert evaluate(trainer.result, few).accuracy > 0.8


def test_the_seed_alone_determines_the_weights(few, run):
    """Runs of one seed end in the same bits, other seeds in others; torch's generator stays."""

    def weights(seed):
        trainer = TrainingState(replace(run, seed=seed), few)
        train_epoch(trainer)
        return trainer.result.state_dict()

    before = torch.get_rng_state()
    first = weights(3)
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(1)
    again, other = weights(3), weights(4)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


def test_the_ema_is_torchs(few, run):
    """After each step the EMA has the bits of `AveragedModel`, and batch norm's own counters."""
    training = TrainingState(run, few)
    decay = optim.limit_decay(run.recipe, training.steps)
    model, average = training.model, get_ema_multi_avg_fn(decay)
    expected = AveragedModel(model, multi_avg_fn=average, use_buffers=True)
    training.optimizer.register_step_post_hook(lambda *_: expected.update_parameters(model))
    train_epoch(training)
    assert training.result is not model
    for name, tensor in training.result.state_dict().items():
        counter = name.endswith("num_batches_tracked")
        torch.testing.assert_close(
            tensor, (model if counter else expected.module).state_dict()[name], rtol=0, atol=0
        )


def test_divergence_is_an_error(few, run):
    """A loss that is no longer finite ends the run, and the error names epoch and step."""
    trainer = TrainingState(replace(run, recipe=replace(run.recipe, learning_rate=1e30)), few)
    with pytest.raises(TrainingError, match=r"exp5 is nan in epoch 1, step \d of 3"):
        train_epoch(trainer)


def test_each_process_needs_an_image_of_each_batch(few, monkeypatch):
    """A last batch smaller than the number of processes is refused before training."""
    monkeypatch.setattr(state, "world_size", lambda: 2)
    digits = Digits(few.images[:65], few.labels[:65])
    with pytest.raises(TrainingError, match="each of 2 processes in every batch, got 1"):
        TrainingState(Run("exp1", get_recipe("fast", "exp1")), digits)


@pytest.mark.parametrize("temperature", [1.0, 5.0])
def test_distillation_is_a_divergence(run, temperature):
    """The loss is T² Σ p (log p - log q) at temperature T, computed by NumPy."""
    recipe = replace(run.recipe, temperature=temperature)
    student, teacher = torch.randn(2, 50, 10, generator=torch.Generator().manual_seed(0)) * 5
    labels, distilled = torch.zeros(50, dtype=torch.long), torch.ones(50, dtype=torch.bool)
    loss = optim.loss(recipe, student, labels, teacher, distilled).item()
    q, p = (np.exp(logits.double().numpy() / temperature) for logits in (student, teacher))
    q, p = (each / each.sum(axis=1, keepdims=True) for each in (q, p))
    expected = temperature**2 * (p * np.log(p / q)).sum(axis=1).mean()
    assert loss == pytest.approx(expected, rel=1e-4)


def test_images_without_a_teacher_keep_their_labels(run):
    """The loss is the mean over the images of the divergence or of the cross-entropy."""
    student, teacher = torch.randn(2, 6, 10, generator=torch.Generator().manual_seed(0))
    labels, distilled = torch.arange(6), torch.tensor([1, 0, 0, 1, 1, 0]).bool()
    loss = optim.loss(run.recipe, student, labels, teacher, distilled)
    each = [
        optim.loss(run.recipe, *parts) * len(parts[0])
        for parts in (
            (student[distilled], labels[distilled], teacher[distilled], torch.ones(3).bool()),
            (student[~distilled], labels[~distilled], None, torch.zeros(3).bool()),
        )
    ]
    torch.testing.assert_close(loss, sum(each) / 6)


def test_the_pretrained_model_teaches_mnist_images(few):
    """Before the first step, MNIST's images have no loss; those after them have their labels'."""
    recipe = replace(get_recipe("world", "exp4"), synthetic_images=0, pretrained_targets=1.0)
    trainer = TrainingState(Run("exp4", recipe, holdout=59_900), few)
    maps = torch.eye(2, 3).expand(150, 2, 3)
    assert trainer.num_distilled == 100
    assert train_step(trainer, torch.arange(100), maps[:100], 100)[0] == pytest.approx(0, abs=1e-4)
    trainer = TrainingState(Run("exp4", recipe, holdout=59_900), few)
    labeled = trainer.labels[100:]
    logits = trainer.model.eval()(normalize(few.images[100:]))
    expected = torch.nn.functional.cross_entropy(logits, labeled).item()
    found = train_step(trainer, torch.arange(100, 150), maps[:50], 50)[0]
    assert found == pytest.approx(expected, rel=0.1, abs=1e-3)


def test_a_synthetic_teacher_adds_to_the_labels_where_it_is_right():
    """Half of the divergence from it joins the cross-entropy, except for what it misreads."""
    recipe = replace(get_recipe("world", "exp4"), synthetic_teacher="exp4.world")
    student, teacher = torch.randn(2, 6, 10, generator=torch.Generator().manual_seed(0))
    labels, distilled = teacher.argmax(1), torch.tensor([1, 0, 0, 1, 0, 0]).bool()
    labels[4] = (labels[4] + 1) % 10
    q, p = (np.exp(scores.double().numpy() / 2) for scores in (student, teacher))
    q, p = (each / each.sum(axis=1, keepdims=True) for each in (q, p))
    divergence = 4 * (p * np.log(p / q)).sum(axis=1)
    entropy = torch.nn.functional.cross_entropy(student, labels, reduction="none").numpy()
    expected = 2 * divergence[[0, 3]].sum() + entropy[[1, 2, 4, 5]].sum()
    expected += divergence[[1, 2, 5]].sum() / 2
    loss = optim.loss(recipe, student, labels, teacher, distilled).item()
    assert loss == pytest.approx(expected / 6, rel=1e-4)


def test_each_image_has_the_logits_of_its_teacher(few):
    """The pretrained model scores MNIST's images; the synthetic teacher scores the others."""
    recipe = replace(get_recipe("world", "exp4"), synthetic_images=0)
    recipe = replace(recipe, synthetic_teacher="exp5.world")
    trainer = TrainingState(Run("exp4", recipe, holdout=59_900), few)
    images, distilled = normalize(few.images), torch.arange(len(few.labels)) < 100
    found = trainer.teacher_logits(images, distilled)
    own, other = mnistzoo.exp4(pretrained=True), mnistzoo.exp5(pretrained="world")
    with torch.no_grad():
        expected = torch.cat([own(images[:100]), other(images[100:])])
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.2)  # trained in bfloat16


def test_a_synthetic_teacher_is_shipped_and_not_alone():
    """Other names are refused, and a recipe that trains MNIST's images on labels."""
    recipe = replace(get_recipe("world", "exp4"), synthetic_teacher="exp4.moon")
    with pytest.raises(InputError, match=r"weights of exp4 \(mnist, .*, got 'moon'"):
        Run("exp4", recipe)
    with pytest.raises(InputError, match="pretrained_targets with the synthetic teacher"):
        Run("exp4", replace(recipe, pretrained_targets=0.0))


@pytest.mark.parametrize(
    "changes", [{"pretrained": False}, {"teacher": "teacher"}, {"bits": 4, "frozen_convs": 0}]
)
def test_pretrained_targets_need_the_pretrained_model_alone(changes):
    """A recipe with two teachers, or without weights to start from, is refused."""
    with pytest.raises(InputError, match="pretrained_targets with pretrained"):
        Run("exp4", replace(get_recipe("world", "exp4"), **changes))


def test_a_teacher_comes_with_its_recipe(few, run):
    """A recipe with a teacher never trains on labels instead, nor the reverse."""
    with pytest.raises(TrainingError, match="teacher is exp1"):
        TrainingState(replace(run, recipe=replace(run.recipe, teacher="exp1")), few)
    with pytest.raises(TrainingError, match="teacher is None"):
        TrainingState(run, few, mnistzoo.exp5())


def test_a_teacher_is_trained_like_its_student(run):
    """A teacher's run has the student's seed and holdout, and no more epochs."""
    student = replace(run, recipe=replace(run.recipe, teacher="teacher"), seed=5, holdout=100)
    teacher = student.teacher
    assert (teacher.seed, teacher.holdout, teacher.recipe.epochs) == (5, 100, 2)
    assert teacher.teacher is None
    longer = replace(student, recipe=replace(student.recipe, epochs=1000)).teacher
    assert longer.recipe == get_recipe("record", "teacher")
