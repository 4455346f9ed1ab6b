"""Push, pull, save and load return the same model."""

import hashlib
import json
import re

import pytest
import safetensors.torch
import torch
from huggingface_hub import ModelCard

import mnistzoo
from mnistzoo.errors import InputError, WeightsError
from mnistzoo.storage.manifest import read_manifest

FIVE = ["exp1", "exp2", "exp3", "exp4", "exp5"]
THREE = {"config.json", "model.safetensors", "README.md"}


def pushed_files(hub, repo_id):
    """Return the files in a repository's newest commit that a push put there."""
    return {name: hub.repos[repo_id].files()[name] for name in THREE}


@pytest.mark.parametrize("name", FIVE)
def test_a_model_round_trips_through_the_hub_bit_for_bit(hub, client, tmp_path, name):
    """A pulled model is in evaluation mode and computes what the pushed one did."""
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
    """A push adds one commit of three files, with correct digests and a card."""
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


def test_pushing_unchanged_files_creates_no_commit(hub, client):
    """Pushing the same model again changes nothing; another model adds a commit."""
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


def test_weights_are_stored_as_lfs_objects(lfs_hub, lfs_client):
    """Where the server asks for LFS, the weights are stored there and verified."""
    lfs_hub.requests.clear()
    lfs_client.run("fresh('exp1', 77).push_to_hub('user/large')")
    weights = lfs_hub.repos["user/large"].files()["model.safetensors"]
    stored = f"PUT /lfs/{hashlib.sha256(weights).hexdigest()}"
    assert [r for r in lfs_hub.requests if "/lfs/" in r and "batch" not in r] == [
        stored,
        "POST /lfs/verify",
    ]


def test_the_text_of_an_edited_card_is_kept(hub, client):
    """A card that was edited, by one letter or wholly, keeps its text on every push."""
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
        kept = repo.files()["README.md"]
        assert kept.rpartition(b"---\n")[2] == edited.rpartition(b"---\n")[2]


def test_push_to_a_branch_or_as_a_pull_request_leaves_main_alone(hub, client):
    """A missing branch is created. A pull request is opened, and its page returned."""
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


def test_a_new_classifier_round_trips_with_its_accuracy(hub, client, tmp_path):
    """A model of 26 classes keeps them, and its card states the accuracy that was passed."""
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


def test_a_folder_round_trips_and_is_plain_safetensors(tmp_path):
    """A saved folder loads equal. Its tensors are those of the state_dict."""
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


def test_a_loaded_model_can_be_trained(tmp_path):
    """A loaded model owns its memory and has gradients. Saving keeps training mode."""
    model = mnistzoo.exp1().train()
    model.save_pretrained(tmp_path)
    assert model.training
    loaded = mnistzoo.from_pretrained(tmp_path).train()
    loaded(torch.rand(4, 1, 28, 28)).sum().backward()
    with torch.no_grad():
        loaded.classifier.weight -= loaded.classifier.weight.grad
    assert not torch.equal(loaded.classifier.weight, model.classifier.weight)


def test_saving_twice_gives_the_same_bytes(tmp_path):
    """The three files depend only on the model."""
    model = mnistzoo.exp3()
    model.save_pretrained(tmp_path / "a")
    model.save_pretrained(tmp_path / "b")
    for name in THREE:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def card_of(folder):
    """Return the metadata and the text of a folder's card."""
    card = ModelCard.load(folder / "README.md")
    return card.data, card.text


def test_saving_keeps_the_text_of_an_edited_card(tmp_path):
    """A folder's card is regenerated until it is edited. Then its text stays."""
    mnistzoo.exp1().save_pretrained(tmp_path, accuracy=0.5)
    card = tmp_path / "README.md"
    mnistzoo.exp1().save_pretrained(tmp_path, accuracy=0.25)
    assert "25.00%" in card.read_text()
    edited = card.read_text().replace("25.00%", "a quarter")
    card.write_text(edited)
    mnistzoo.exp1().save_pretrained(tmp_path, accuracy=0.75)
    data, text = card_of(tmp_path)
    assert "a quarter" in text
    assert [result.metric_value for result in data.eval_results] == [0.75]
    for unrelated in (
        "# Another project\n",
        edited * 1000,
    ):  # the second is larger than any of ours
        card.write_text(unrelated)
        mnistzoo.exp1().save_pretrained(tmp_path)
        assert card.read_text() == unrelated


def test_an_edited_card_does_not_describe_another_model(tmp_path):
    """Saved over exp5, exp4 keeps the card's text and its owner's metadata, and names itself."""
    mnistzoo.exp5(pretrained=True).save_pretrained(tmp_path)
    card = tmp_path / "README.md"
    edited = card.read_text().replace("license: mit", "license: apache-2.0\nlanguage: en")
    edited = edited.replace("- mnist\n", "- mnist\n- my-tag\n", 1) + "\nMy words about exp5.\n"
    card.write_text(edited)
    mnistzoo.exp5(pretrained=True).save_pretrained(tmp_path)
    assert card.read_text() == edited
    mnistzoo.exp4(pretrained=True).save_pretrained(tmp_path)
    data, text = card_of(tmp_path)
    assert text == edited.split("---\n", 2)[2]
    assert (data.license, data.language, data.model_name) == ("apache-2.0", "en", "exp4")
    assert {"my-tag", "exp4"} < set(data.tags)
    assert "exp5" not in data.tags
    assert [r.metric_value for r in data.eval_results] == [read_manifest()["exp4"].accuracy]
    (tmp_path / "config.json").unlink()  # a card alone may belong to any model
    mnistzoo.exp1().save_pretrained(tmp_path)
    data, text = card_of(tmp_path)
    assert (data.model_name, data.eval_results) == (None, None)
    assert "My words" in text


def test_invalid_metadata_of_an_edited_card_is_refused(tmp_path):
    """Metadata that cannot be read cannot be corrected, so the save fails and changes nothing."""
    mnistzoo.exp5(pretrained=True).save_pretrained(tmp_path)
    card = tmp_path / "README.md"
    card.write_text(card.read_text().replace("tags:", "tags: ["))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match=r"README\.md"):
        mnistzoo.exp4(pretrained=True).save_pretrained(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_edited_card_on_the_hub_does_not_describe_another_model(hub, client):
    """Pushed over exp5, exp4 keeps the card's text, and the metadata names exp4."""
    push = """
        p = mnistzoo.get_model(name, pretrained=True).push_to_hub('user/replaced')
        result = p.card_kept, p.changed
    """
    assert client.run(push, name="exp5") == [False, True]
    repo = hub.repos["user/replaced"]
    edited = repo.files()["README.md"] + b"\nMy words about exp5.\n"
    repo.commit("main", {**repo.files(), "README.md": edited}, "by hand")
    assert client.run(push, name="exp5") == [True, False]
    assert client.run(push, name="exp4") == [True, True]
    card = ModelCard(repo.files()["README.md"].decode())
    assert card.text.encode() == edited.split(b"---\n", 2)[2]
    assert card.data.model_name == "exp4"
    assert [r.metric_value for r in card.data.eval_results] == [read_manifest()["exp4"].accuracy]


def test_cards_have_the_sections_that_readers_expect(tmp_path):
    """A card states use and limits, training, an accuracy with its interval, and the license."""
    mnistzoo.exp4(pretrained=True).save_pretrained(tmp_path)
    card = (tmp_path / "README.md").read_text("utf8")
    sections = "Usage", "Intended use and limits", "Training", "Evaluation", "License and citation"
    assert all(f"\n## {section}\n" in card for section in sections)
    assert "--recipe record --seed 0" in card
    assert "99.64%" in card
    assert re.search(r"95% interval 99\.5\d% to 99\.7\d%", card)


def test_cards_of_other_shipped_weights_say_which(tmp_path):
    """The card of the world weights names them, their start, and their accuracy in fog."""
    mnistzoo.exp5(pretrained="world").save_pretrained(tmp_path)
    card = (tmp_path / "README.md").read_text("utf8")
    assert "# exp5 · Deep CNN + BatchNorm, world weights\n" in card
    assert "starts from the library's MNIST weights of exp5" in card
    assert "| fog | 98.75% |" in card
    assert ModelCard.load(tmp_path / "README.md").data.model_name == "exp5.world"


def test_cards_of_custom_weights_state_no_accuracy(tmp_path):
    """Without an accuracy, a card has no metric."""
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
        (10, {"accuracy": 99.5}, "99.5"),
        (10, {"accuracy": float("nan")}, "fraction"),
        (26, {"accuracy": 0.9}, "dataset"),
    ],
)
def test_meaningless_accuracies_are_refused(tmp_path, classes, given, said):
    """A percentage, or an accuracy without a dataset, is refused, and nothing is written."""
    with pytest.raises(InputError, match=said):
        mnistzoo.get_model("exp1", num_classes=classes).save_pretrained(tmp_path, **given)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("spoil", ["nan", "half", "renamed", "huge"])
def test_a_model_that_would_not_load_is_not_saved(tmp_path, spoil):
    """A model must be float32, finite, as built, and small enough to be read."""
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
    """The card of shipped weights states the manifest's accuracy, and accepts no other."""
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
