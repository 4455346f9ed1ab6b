"""Push, pull, save and load: what comes back is what went out."""

import hashlib
import json

import pytest
import safetensors.torch
import torch
from huggingface_hub import ModelCard

import mnistzoo
from mnistzoo.errors import InputError, WeightsError

FIVE = ["exp1", "exp2", "exp3", "exp4", "exp5"]
THREE = {"config.json", "model.safetensors", "README.md"}


def pushed_files(hub, repo_id):
    """The files of a repository's newest commit that a push put there."""
    return {name: hub.repos[repo_id].files()[name] for name in THREE}


@pytest.mark.parametrize("name", FIVE)
def test_network_round_trips_through_the_hub_bit_for_bit(hub, client, tmp_path, name):
    """What is pulled gives the very outputs of what was pushed, in evaluation mode."""
    before = client.run(
        """
        model = fresh(name)
        assert model.push_to_hub(f"user/{name}").changed
        result = digest(model)
        """,
        name=name,
    )
    after = client.run(
        "result = digest(mnistzoo.from_pretrained(f'user/{name}', cache_dir=cache))",
        name=name,
        cache=tmp_path,
    )
    assert after == before


def test_push_is_one_commit_of_three_files(hub, client):
    """A push adds one commit, of three files, whose digests hold; the card is valid metadata."""
    url = client.run("result = fresh('exp4').push_to_hub('user/one').url")
    repo = hub.repos["user/one"]
    assert len(repo.titles) == 2
    assert repo.files().keys() - THREE == {".gitattributes"}
    files = pushed_files(hub, "user/one")
    config = json.loads(files["config.json"])
    assert config.pop("sha256") == hashlib.sha256(files["model.safetensors"]).hexdigest()
    assert config == {
        "architecture": "exp4",
        "num_classes": 10,
        "mean": 0.1307,
        "std": 0.3081,
        "library_version": mnistzoo.__version__,
    }
    assert url == f"{hub.url}/user/one/commit/{repo.heads['main']}"
    assert b'from_pretrained("user/one")' in files["README.md"]


def test_pushing_what_is_there_makes_no_commit(hub, client):
    """The same network pushed again leaves the repository as it is; another network does not."""
    again = """
        pushed = fresh('exp2', seed).push_to_hub('user/again')
        result = pushed.changed, pushed.commit
    """
    first, commit = client.run(again, seed=1)
    second, same = client.run(again, seed=1)
    assert (first, second) == (True, False)
    assert same == commit == hub.repos["user/again"].heads["main"]
    assert client.run(again, seed=2)[0]
    assert len(hub.repos["user/again"].titles) == 3


def test_lfs_objects_are_stored_and_regular_files_are_not(lfs_hub, lfs_client):
    """The weights go the LFS way where the server asks for it: stored, then verified."""
    lfs_hub.requests.clear()
    lfs_client.run("fresh('exp1', 77).push_to_hub('user/large')")
    weights = lfs_hub.repos["user/large"].files()["model.safetensors"]
    stored = f"PUT /lfs/{hashlib.sha256(weights).hexdigest()}"
    assert [r for r in lfs_hub.requests if "/lfs/" in r and "batch" not in r] == [
        stored,
        "POST /lfs/verify",
    ]


def test_edited_card_is_kept(hub, client):
    """A card that its owner has changed, by one letter or wholly, outlives every push."""
    repo_id = "user/card"
    push = "p = fresh('exp1', seed).push_to_hub(repo_id); result = p.card_kept, p.changed"
    assert client.run(push, repo_id=repo_id, seed=1) == [False, True]
    repo = hub.repos[repo_id]
    generated = repo.files()["README.md"]
    assert client.run(push, repo_id=repo_id, seed=2) == [False, True]
    letter, large = generated.replace(b"network", b"netwerk", 1), b"my own book\n" * 100_000
    for edited in (letter, b"my own words", b"\xff\xfe", large):
        repo.commit("main", {**repo.files(), "README.md": edited}, "by hand")
        assert client.run(push, repo_id=repo_id, seed=len(edited)) == [True, True]
        assert repo.files()["README.md"] == edited


def test_push_to_a_branch_or_as_a_pull_request_leaves_main_alone(hub, client):
    """A revision is made if it is missing; a pull request is opened, and its page is given."""
    result = client.run(
        """
        result = [
            fresh('exp1', 1).push_to_hub('user/branch', private=True, commit_message='Mine').url,
            fresh('exp1', 2).push_to_hub('user/branch', revision='two').changed,
            fresh('exp1', 3).push_to_hub('user/branch', create_pr=True).url,
            digest(fresh('exp1', 2)) ==
                digest(mnistzoo.from_pretrained('user/branch', revision='two')),
        ]
        """
    )
    repo = hub.repos["user/branch"]
    assert repo.private
    assert repo.titles[1] == "Mine"
    assert repo.heads.keys() == {"main", "two", "refs/pr/2"}
    assert len(set(repo.heads.values())) == 3
    assert result[1:] == [True, f"{hub.url}/user/branch/discussions/1", True]


def test_new_head_round_trips_with_its_own_accuracy(hub, client, tmp_path):
    """A network of 26 classes keeps them, and states the accuracy that its owner gives."""
    same = client.run(
        """
        model = fresh('exp5')
        model.reset_classifier(26)
        model.push_to_hub('user/letters', accuracy=0.91, dataset='someone/emnist')
        pulled = mnistzoo.from_pretrained('user/letters', cache_dir=cache)
        result = digest(model) == digest(pulled), pulled.num_classes
        """,
        cache=tmp_path,
    )
    assert same == [True, 26]
    card = ModelCard(hub.repos["user/letters"].files()["README.md"].decode())
    (result,) = card.data.eval_results
    assert (result.dataset_type, result.metric_type, result.metric_value) == (
        "someone/emnist",
        "accuracy",
        0.91,
    )
    assert card.data.datasets == ["someone/emnist"]


def test_folder_round_trips_and_is_read_by_hand(tmp_path):
    """A saved folder loads equal, and its tensors are the state_dict under the same names."""
    torch.manual_seed(0)
    model = mnistzoo.exp5().eval()
    model.save_pretrained(tmp_path / "new" / "folder")
    folder = tmp_path / "new" / "folder"
    assert {path.name for path in folder.iterdir()} == THREE
    images = torch.rand(4, 1, 28, 28)
    loaded = mnistzoo.from_pretrained(folder)
    assert not loaded.training
    assert torch.equal(loaded(images), model(images))
    by_hand = safetensors.torch.load_file(folder / "model.safetensors")
    assert by_hand.keys() == model.state_dict().keys()
    assert all(torch.equal(by_hand[name], value) for name, value in model.state_dict().items())


def test_loaded_network_can_be_trained(tmp_path):
    """What was loaded has its own memory and gradients, and saving leaves training mode alone."""
    model = mnistzoo.exp1().train()
    model.save_pretrained(tmp_path)
    assert model.training
    loaded = mnistzoo.from_pretrained(tmp_path).train()
    loaded(torch.rand(4, 1, 28, 28)).sum().backward()
    with torch.no_grad():
        loaded.classifier.weight -= loaded.classifier.weight.grad
    assert not torch.equal(loaded.classifier.weight, model.classifier.weight)


def test_saving_twice_gives_the_same_bytes(tmp_path):
    """The three files depend on the network alone."""
    model = mnistzoo.exp3()
    model.save_pretrained(tmp_path / "a")
    model.save_pretrained(tmp_path / "b")
    for name in THREE:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_saving_keeps_an_edited_card(tmp_path):
    """A folder's card is renewed as long as nobody has edited it."""
    mnistzoo.exp1().save_pretrained(tmp_path, accuracy=0.5)
    card = tmp_path / "README.md"
    mnistzoo.exp1().save_pretrained(tmp_path, accuracy=0.25)
    assert "25.00%" in card.read_text()
    edited = card.read_text().replace("25.00%", "a quarter")
    card.write_text(edited)
    mnistzoo.exp1().save_pretrained(tmp_path, accuracy=0.75)
    assert card.read_text() == edited
    card.write_text(edited * 1000)  # larger than any of ours
    mnistzoo.exp1().save_pretrained(tmp_path)
    assert card.read_text() == edited * 1000


def test_no_accuracy_is_invented(tmp_path):
    """Weights of one's own have no metric in the card until one is given."""
    mnistzoo.exp4().save_pretrained(tmp_path)
    data = ModelCard.load(tmp_path / "README.md").data
    assert data.eval_results is None
    assert data.metrics is None
    assert (data.license, data.library_name, data.datasets) == (
        "mit",
        "mnistzoo",
        ["ylecun/mnist"],
    )


@pytest.mark.parametrize(
    ("classes", "given", "said"),
    [
        (10, {"accuracy": 99.5}, "fraction from 0 to 1, got 99.5"),
        (10, {"accuracy": float("nan")}, "fraction"),
        (26, {"accuracy": 0.9}, "needs the data set"),
    ],
)
def test_accuracy_that_means_nothing_is_refused(tmp_path, classes, given, said):
    """A percentage, or an accuracy on nothing known, does not get into a card; no file is made."""
    with pytest.raises(InputError, match=said):
        mnistzoo.get_model("exp1", num_classes=classes).save_pretrained(tmp_path, **given)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("spoil", ["nan", "half", "renamed", "huge"])
def test_network_that_would_not_load_again_is_not_saved(tmp_path, spoil):
    """What is not float32, finite, as built and of a size that is read is refused at once."""
    model = mnistzoo.exp1()
    if spoil == "nan":
        model.features.conv1.bias.data[0] = float("nan")
    elif spoil == "half":
        model.half()
    elif spoil == "renamed":
        model.features.conv2 = torch.nn.Conv2d(6, 14, 3, bias=False)
    else:
        model.reset_classifier(4000)
    with pytest.raises(WeightsError):
        model.save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())


def test_shipped_weights_keep_their_digest_and_their_measured_accuracy(tmp_path):
    """The card of shipped weights states the manifest's accuracy, and takes no other."""
    from mnistzoo.storage.manifest import read_manifest

    for name, entry in read_manifest().items():
        model = mnistzoo.get_model(name, pretrained=True)
        model.save_pretrained(tmp_path / name)
        assert json.loads((tmp_path / name / "config.json").read_text())["sha256"] == entry.sha256
        (result,) = ModelCard.load(tmp_path / name / "README.md").data.eval_results
        assert result.metric_value == entry.correct / 10_000
        assert (result.dataset_type, result.dataset_split) == ("ylecun/mnist", "test")
        with pytest.raises(InputError, match="shipped weights"):
            model.save_pretrained(tmp_path / name, accuracy=0.999)
        model.save_pretrained(tmp_path / name, accuracy=entry.correct / 10_000)
        model.classifier.bias.data[0] += 1
        model.save_pretrained(tmp_path / f"{name} changed")
        changed = ModelCard.load(tmp_path / f"{name} changed" / "README.md").data
        assert changed.eval_results is None
