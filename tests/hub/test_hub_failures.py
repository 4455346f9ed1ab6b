"""Pulls and pushes that fail end in the right model or in one clear error."""

import time
from itertools import groupby
from pathlib import Path

import pytest
from server import Fault

PULL = "result = digest(mnistzoo.from_pretrained(repo_id, cache_dir=cache, **options))"
WEIGHTS = r"(resolve/.*safetensors|/cdn/)"


@pytest.fixture
def cache(tmp_path):
    """An empty cache for the Hub client."""
    return tmp_path / "cache"


@pytest.fixture
def expected(client, tmp_path):
    """Return the digest of the model that some files hold."""

    def digest(files):
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)
        return client.run("result = digest(mnistzoo.from_pretrained(folder))", folder=tmp_path)

    return digest


def test_a_private_repository_needs_a_token(hub, client, cache, files_of):
    """Without a token a private repository does not exist. With one it loads."""
    hub.make("user/private", files_of("exp1"), private=True)
    given = {"repo_id": "user/private", "cache": cache}
    message = client.fails("HubError", PULL, **given, options={"token": False})
    assert "no repository user/private, or it is private" in message
    message = client.fails("HubError", PULL, **given, options={"token": "hf_wrong"})
    assert "The token for user/private is missing or invalid" in message
    client.run(PULL, **given, options={"token": "hf_reader"})


def test_missing_repositories_revisions_and_files_are_named(hub, client, cache, files_of):
    """The message names what is missing."""
    files = files_of("exp1")
    hub.make("user/here", files)
    hub.make("user/other", {"pytorch_model.bin": b"pickle"})
    hub.make("user/half", {"config.json": files["config.json"]})
    for repo_id, options, said in [
        ("user/absent", {}, "There is no repository user/absent"),
        ("user/here", {"revision": "v9"}, "user/here has no revision v9"),
        ("user/here", {"revision": "0" * 40}, f"user/here has no revision {'0' * 40}"),
        ("user/other", {}, "user/other at main holds no model of this library"),
        ("user/half", {}, "user/half at main holds no model of this library"),
    ]:
        message = client.fails("HubError", PULL, repo_id=repo_id, cache=cache, options=options)
        assert said in message
    message = client.fails("InputError", PULL, repo_id="user/a b", cache=cache, options={})
    assert 'as "user/name"' in message


def test_a_gated_repository_says_where_to_ask(hub, client, cache, files_of):
    """The message links to the repository's page. An account with access can load it."""
    hub.make("user/gated", files_of("exp1"), gated=True)
    given = {"repo_id": "user/gated", "cache": cache}
    message = client.fails("HubError", PULL, **given, options={"token": "hf_reader"})
    assert f"is gated. Ask for access on {hub.url}/user/gated" in message
    client.run(PULL, **given, options={})


def test_an_empty_token_is_refused(hub, client):
    """A token from a variable that is not set is reported as such, without a request."""
    before = len(hub.requests)
    for code in (
        "fresh('exp1').push_to_hub('user/empty', token='')",
        "mnistzoo.from_pretrained('user/empty', token='')",
    ):
        assert "got an empty one" in client.fails("InputError", code)
    assert len(hub.requests) == before


def test_pushes_without_permission_are_refused(hub, client):
    """A read-only token, a wrong token and an invalid name are refused clearly."""
    hub.make("user/theirs")
    push = "fresh('exp1').push_to_hub(repo_id, token=token)"
    for token, said in [("hf_reader", "no permission"), ("hf_wrong", "invalid")]:
        message = client.fails("HubError", push, repo_id="user/theirs", token=token)
        assert said in message
    for repo_id in ("name", "a/b/c", "user/a b"):
        client.fails("InputError", push, repo_id=repo_id, token=None)
    assert hub.repos["user/theirs"].titles == ["initial commit"]


REFUSED_PULLS = [
    ("GET", "/api/models/{}", 500, "failed with status 500"),
    ("GET", "/api/models/{}", 429, "Too many requests"),
    ("HEAD", "/{}/resolve/.*config.json", 500, "failed with status 500"),
    ("HEAD", "/{}/resolve/.*safetensors", 429, "Too many requests"),
    ("GET", "/{}/resolve/.*config.json", 503, "failed with status 503"),
    ("GET", "/{}/resolve/.*config.json", 429, "Too many requests"),
    ("GET", "/{}/resolve/.*config.json", "drop", "failed with RemoteProtocolError"),
]

REFUSED_PUSHES = [
    ("POST", "/api/repos/create", 500, ""),
    ("POST", "/api/validate-yaml", 429, ""),
    ("POST", "/api/models/{}/preupload/main", 500, ""),
    ("POST", "/api/models/{}/commit/main", 503, "failed with status 503"),
    ("POST", "/api/models/{}/commit/main", 412, "Others keep changing"),
]

IN_PARALLEL = """
    import concurrent.futures

    def attempt(repo_id):
        try:
            if "push" in repo_id:
                fresh("exp1", 5).push_to_hub(repo_id)
                return "done"
            return digest(mnistzoo.from_pretrained(repo_id, cache_dir=cache))
        except mnistzoo.MnistZooError as error:
            return f"{type(error).__name__}: {error}"

    with concurrent.futures.ThreadPoolExecutor(len(repo_ids)) as pool:
        result = list(pool.map(attempt, repo_ids))
"""


def refuse(hub, verb, faults, times, files=None):
    """A repository for each fault, which is in force there `times` times; give their names."""
    names = []
    for index, (method, path, kind, _) in enumerate(faults):
        names.append(f"many/{verb}-{times}-{index}")
        if files:
            hub.make(names[-1], files)
        hub.faults.append(Fault(method, path.format(names[-1]) + "$", kind, times))
    return names


def test_a_pull_survives_temporary_failures(hub, client, cache, files_of, expected):
    """A server error, a rate limit or a broken connection is retried."""
    files = files_of("exp1")
    names = refuse(hub, "pull", REFUSED_PULLS, 1, files)
    results = client.run(IN_PARALLEL, repo_ids=names, cache=cache)
    assert results == [expected(files)] * len(names)
    assert not any(fault.times for fault in hub.faults)


def test_a_push_survives_temporary_failures(hub, client, cache):
    """Each request of a push may fail once. There is still one commit."""
    names = refuse(hub, "push", REFUSED_PUSHES, 1)
    assert client.run(IN_PARALLEL, repo_ids=names, cache=cache) == ["done"] * len(names)
    assert not any(fault.times for fault in hub.faults)
    assert all(len(hub.repos[name].titles) == 2 for name in names)


def test_lasting_failures_end_in_one_error(
    lfs_hub, lfs_client, plain_hub, plain_client, cache, files_of
):
    """A Hub that keeps failing is an error within a minute. A failed push changes nothing."""
    files, lasting = files_of("exp1"), REFUSED_PUSHES[3:]
    started = time.monotonic()
    for hub, client in ((lfs_hub, lfs_client), (plain_hub, plain_client)):
        hub.faults.clear()
        pulls = refuse(hub, "pull", REFUSED_PULLS, 10**6, files)
        pushes = refuse(hub, "push", lasting, 10**6)
        client.start(IN_PARALLEL, repo_ids=pulls + pushes, cache=cache / hub.url[-5:])
    for hub, client in ((lfs_hub, lfs_client), (plain_hub, plain_client)):
        messages = client.finish()
        for message, (*_, said) in zip(messages, REFUSED_PULLS + lasting, strict=True):
            assert message.startswith("HubError: ")
            assert said in message
            assert "try again" in message.lower()
            assert "\n" not in message
        assert all(hub.repos[name].titles == ["initial commit"] for name in pushes)
    assert time.monotonic() - started < 300


def test_a_truncated_download_is_refused(hub, client, cache, files_of, expected):
    """Weights cut in half, with a matching length, are an error and are not cached."""
    files = files_of("exp1")
    hub.make("user/short", files)
    hub.faults.append(Fault("GET", WEIGHTS, "short", 1))
    given = {"repo_id": "user/short", "cache": cache, "options": {}}
    assert "try again" in client.fails("HubError", PULL, **given)
    assert client.run(PULL, **given) == expected(files)


def test_an_interrupted_download_is_resumed(hub, client, cache, files_of, expected):
    """A connection that breaks in the middle of the weights, twice, only costs time."""
    files = files_of("exp5", 3)
    hub.make("user/cut", files)
    hub.faults.append(Fault("GET", WEIGHTS, "cut", 2))
    assert client.run(PULL, repo_id="user/cut", cache=cache, options={}) == expected(files)
    assert hub.faults[0].times == 0


def test_a_commit_whose_answer_is_lost_is_not_repeated(hub, client):
    """Pushing again after a lost answer finds the files there."""
    hub.faults.append(Fault("POST", "/commit/", "lose", 1))
    push = "result = fresh('exp1', 9).push_to_hub('user/lost').changed"
    assert "try again" in client.fails("HubError", push)
    assert client.run(push) is False
    assert len(hub.repos["user/lost"].titles) == 2


@pytest.mark.parametrize("path", [WEIGHTS, "resolve/.*config.json"], ids=["weights", "config"])
def test_a_byte_flipped_in_transit_never_loads(hub, client, cache, files_of, expected, path):
    """The digests catch it, every time, until the file is downloaded again."""
    files = files_of("exp3")
    hub.make("user/flip", files)
    hub.faults.append(Fault("GET", path, "flip", 1))
    given = {"repo_id": "user/flip", "cache": cache}
    for options in ({}, {}, {"local_files_only": True}):
        client.fails("WeightsError", PULL, **given, options=options)
    assert client.run(PULL, **given, options={"force_download": True}) == expected(files)
    assert client.run(PULL, **given, options={"local_files_only": True}) == expected(files)


def test_a_byte_flipped_in_the_cache_never_loads(hub, client, cache, files_of, expected):
    """A file that rots on disk is caught at the next load, also offline."""
    files = files_of("exp2")
    repo = hub.make("user/rot", files)
    given = {"repo_id": "user/rot", "cache": cache}
    client.run(PULL, **given, options={})
    (weights,) = cache.glob("models--user--rot/snapshots/*/model.safetensors")
    data = bytearray(weights.read_bytes())
    data[-5] ^= 16
    weights.write_bytes(data)
    for options in ({}, {"revision": repo.heads["main"]}, {"local_files_only": True}):
        assert "force_download" in client.fails("WeightsError", PULL, **given, options=options)
    assert client.run(PULL, **given, options={"force_download": True}) == expected(files)


def test_weights_of_another_model_never_load(hub, client, cache, files_of):
    """A config and weights from two models are refused."""
    other = files_of("exp4")["config.json"]
    hub.make("user/mixed", {**files_of("exp5"), "config.json": other})
    message = client.fails("WeightsError", PULL, repo_id="user/mixed", cache=cache, options={})
    assert "expected SHA-256" in message


def test_an_oversized_file_is_not_downloaded(hub, client, cache, files_of):
    """More than 16 MiB of weights are refused before the request."""
    files = {**files_of("exp1"), "model.safetensors": bytes(2**24 + 1)}
    hub.make("user/vast", files)
    message = client.fails("WeightsError", PULL, repo_id="user/vast", cache=cache, options={})
    assert all(size in message for size in ("16,777,216", "16,777,217"))
    assert not [r for r in hub.requests if r.startswith("GET") and ("cdn" in r or "safe" in r)]


def test_main_is_resolved_once_and_both_files_are_of_that_commit(hub, client, cache, files_of):
    """After one look-up, every request names the commit."""
    repo = hub.make("user/once", files_of("exp1"))
    client.run(PULL, repo_id="user/once", cache=cache, options={})
    assert hub.requests[0] == "GET /api/models/user/once"
    rest = [request for request in hub.requests[1:] if "/cdn/" not in request]
    assert rest
    assert all(f"/resolve/{repo.heads['main']}/" in request for request in rest)


def test_a_cached_commit_needs_no_request(hub, client, cache, files_of, expected):
    """A pulled commit loads without any request. A branch that moved is followed."""
    files, newer = files_of("exp1", 1), files_of("exp1", 2)
    repo = hub.make("user/warm", files)
    given = {"repo_id": "user/warm", "cache": cache}
    client.run(PULL, **given, options={})
    commit = repo.heads["main"]
    repo.commit("main", newer, "newer")
    assert client.run(PULL, **given, options={}) == expected(newer)
    hub.requests.clear()
    assert client.run(PULL, **given, options={"revision": commit}) == expected(files)
    assert client.run(PULL, **given, options={"local_files_only": True}) == expected(newer)
    assert hub.requests == []


def test_the_cache_works_while_the_hub_is_down(hub, client, cache, files_of, expected):
    """The commit that was pulled last loads while the Hub answers with errors."""
    files = files_of("exp1", 4)
    hub.make("user/down", files)
    given = {"repo_id": "user/down", "cache": cache, "options": {}}
    client.run(PULL, **given)
    for kind in (500, "lose"):
        hub.faults = [Fault(method, "user/down", kind) for method in ("GET", "HEAD")]
        assert client.run(PULL, **given) == expected(files)


def test_offline_mode_loads_from_the_cache(lfs_hub, lfs_client, client_of, tmp_path, files_of):
    """With HF_HUB_OFFLINE, cached models load. Others are one error that says what to do."""
    lfs_hub.faults.clear()
    repo = lfs_hub.make("user/offline", files_of("exp5"))
    lfs_hub.make("user/cold", files_of("exp5"))
    warm = {"repo_id": "user/offline", "cache": tmp_path}
    before = lfs_client.run(PULL, **warm, options={})
    offline = client_of(lfs_hub, HF_HUB_OFFLINE="1")
    lfs_hub.requests.clear()
    for options in ({}, {"revision": repo.heads["main"]}, {"local_files_only": True}):
        assert offline.run(PULL, **warm, options=options) == before
    for options in ({}, {"revision": "1" * 40}, {"local_files_only": True}):
        message = offline.fails(
            "HubError", PULL, repo_id="user/cold", cache=tmp_path, options=options
        )
        assert "is not in the cache" in message
        assert "Go online and try again" in message
    offline.fails("HubError", PULL, **warm, options={"force_download": True})
    message = offline.fails("HubError", "fresh('exp1').push_to_hub('user/offline')")
    assert "Go online" in message
    assert lfs_hub.requests == []


def _warm_first(hub, other, newcomer, cache, files):
    """Check that the first load of a process, telemetry included, makes no request."""
    repo = hub.make("user/ready", files)
    given = {"repo_id": "user/ready", "cache": cache / "ready"}
    before = other.run(PULL, **given, options={})
    hub.requests.clear()
    assert newcomer.run(PULL, **given, options={"revision": repo.heads["main"]}) == before
    assert newcomer.run(PULL, **given, options={"local_files_only": True}) == before
    assert hub.requests == []


def test_processes_share_a_cache_and_one_is_killed(
    lfs_hub, lfs_client, client_of, tmp_path, files_of
):
    """Two processes can pull at once. Killing one midway leaves nothing that loads."""
    lfs_hub.faults.clear()
    lfs_hub.make("user/two", files_of("exp5", 1))
    victim = client_of(lfs_hub, HF_HUB_DISABLE_TELEMETRY="0")
    _warm_first(lfs_hub, lfs_client, victim, tmp_path, files_of("exp2"))
    for repeat in range(5):
        given = {"repo_id": "user/two", "cache": tmp_path / str(repeat), "options": {}}
        lfs_client.start(PULL, **given)
        victim.start(PULL, **given)
        assert lfs_client.finish() == victim.finish()

    files = files_of("exp5", 2)
    lfs_hub.make("user/killed", files)
    given = {"repo_id": "user/killed", "cache": tmp_path / "killed"}
    lfs_hub.faults.append(Fault("GET", WEIGHTS, "stall", 1))
    lfs_hub.stalled.clear()
    victim.start(PULL, **given, options={})
    assert lfs_hub.stalled.wait(300)
    victim.process.kill()
    victim.process.wait()
    message = lfs_client.fails("HubError", PULL, **given, options={"local_files_only": True})
    assert "is not in the cache" in message
    after = lfs_client.run(PULL, **given, options={})
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    load = "result = digest(mnistzoo.from_pretrained(folder))"
    assert after == lfs_client.run(load, folder=tmp_path)


def test_a_killed_save_leaves_a_whole_model(lfs_client, tmp_path):
    """Whenever a save is killed, the folder holds the old model or the new one, or none yet."""
    outcomes = lfs_client.run(
        """
        import os, random, signal, time

        models = [fresh("exp5", 1), fresh("exp5", 2)]
        whole, outcomes = {digest(model) for model in models}, set()
        models[0].save_pretrained(f"{folder}/0")  # imports what saving needs
        chance = random.Random(0)
        for round in range(30):
            here = f"{folder}/{round % 4}"
            child = os.fork()
            if not child:
                while True:
                    for model in models:
                        model.save_pretrained(here)
            time.sleep(chance.uniform(0.0, 0.2))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            try:
                outcomes.add("whole" if digest(mnistzoo.from_pretrained(here)) in whole else "bad")
            except mnistzoo.MnistZooError as error:
                outcomes.add(type(error).__name__)
        result = sorted(outcomes)
        """,
        folder=tmp_path,
    )
    assert "whole" in outcomes
    assert set(outcomes) <= {"whole", "FileReadError"}


PULL_KILLED = """
    import sys

    sys.path.insert(0, tests)
    from dying import deaths
    from huggingface_hub import constants

    def pull(number):
        constants.HF_HUB_CACHE = f"{folder}/{number}/cache"
        done = command("pull", "user/dying", "-o", f"{folder}/{number}/net")
        assert done["status"] == 0, done["err"]

    def held(source, **options):
        try:
            found = digest(mnistzoo.from_pretrained(source, **options))
        except mnistzoo.MnistZooError as error:
            return type(error).__name__
        return {digest(old): "old", digest(new): "new"}.get(found, "torn")

    old, new, result = fresh("exp1", 1), mnistzoo.from_pretrained("user/dying"), []
    command("pull", "user/dying", "-o", f"{folder}/warm")  # imports what pulling needs
    for number, step in deaths(pull, lambda n: old.save_pretrained(f"{folder}/{n}/net")):
        cached = {"cache_dir": f"{folder}/{number}/cache", "local_files_only": True}
        result.append([step, held(f"{folder}/{number}/net"), held("user/dying", **cached)])
        pull(number)
        result[-1].append(held(f"{folder}/{number}/net"))
"""


def test_a_pull_killed_at_any_step_can_be_repeated(lfs_hub, lfs_client, files_of, tmp_path):
    """The folder holds the old or the new model, the cache nothing or the new one."""
    lfs_hub.faults.clear()
    lfs_hub.make("user/dying", files_of("exp1", 2))
    given = {"folder": tmp_path, "tests": Path(__file__).parents[1]}
    steps, folder, cache, retried = zip(*lfs_client.run(PULL_KILLED, **given), strict=True)
    assert steps.count("fsync") == 3
    assert [state for state, _ in groupby(folder)] == ["old", "new"]
    assert [state for state, _ in groupby(cache)] == ["HubError", "new"]
    assert set(retried) == {"new"}


def test_a_pull_onto_a_full_disk_can_be_repeated(
    lfs_hub, lfs_client, files_of, tmp_path, small_disk
):
    """A full or read-only cache or folder is one error. Elsewhere the same pull works."""
    lfs_hub.faults.clear()
    lfs_hub.make("user/large", files_of("exp1", 3))
    cache, folder = small_disk(48), small_disk(48)
    pull = "result = digest(mnistzoo.from_pretrained('user/large', cache_dir=cache))"
    message = lfs_client.fails("HubError", pull, cache=cache)
    assert "No space left on device" in message
    assert "Check the connection and the disk" in message
    done = lfs_client.run(
        "result = command('pull', 'user/large', '-o', folder)", folder=folder / "net"
    )
    assert done["status"] == 1
    assert "No space left on device. Choose a writable folder" in done["err"]
    assert done["err"].count("\n") == 1
    small_disk(48, disk=cache, writable=False)
    assert "Read-only file system" in lfs_client.fails("HubError", pull, cache=cache)
    assert lfs_client.run(pull, cache=tmp_path / "elsewhere")
