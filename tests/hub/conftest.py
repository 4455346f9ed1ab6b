"""Local Hub servers, with and without LFS, and clients in processes of their own."""

import json
import os
import signal
import textwrap
from pathlib import Path

import pytest
import torch
from server import WRITER, Hub

import mnistzoo
import warm

HERE = Path(__file__).parent
SOURCE = HERE.parents[1] / "src"


class ClientError(Exception):
    """An error in the client, with the names of its class and bases."""

    def __init__(self, kinds, message):
        super().__init__(f"{kinds[0]}: {message}")
        self.kinds, self.message = kinds, message


class Client:
    """A process that runs code with the real Hub client. See `client.py`."""

    def __init__(self, hub, home, **extra):
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
            "PYTHONPATH": os.pathsep.join([str(SOURCE), os.environ.get("PYTHONPATH", "")]),
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(home),
            "HF_TOKEN": WRITER,
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            "OMP_NUM_THREADS": "1",
            **extra,
        }
        self.log = (home / "client.log").open("w+")
        (asked, ask), (answers, answer) = os.pipe(), os.pipe()
        streams = [asked, answer, self.log]
        self.process = warm.start([HERE / "client.py"], env=environment, streams=streams)
        os.close(asked)
        os.close(answer)
        self.stdin, self.stdout = os.fdopen(ask, "w"), os.fdopen(answers)

    def start(self, code, **given):
        """Send code to run."""
        line = json.dumps({"code": textwrap.dedent(code), "given": given}, default=str)
        self.stdin.write(line + "\n")
        self.stdin.flush()

    def finish(self):
        """Return the `result` of the code, or raise its error as `ClientError`."""
        line = self.stdout.readline()
        assert line, f"the client died: {self.stderr()}"
        answer = json.loads(line)
        if "kinds" in answer:
            raise ClientError(answer["kinds"], answer["message"])
        return answer["result"]

    def run(self, code, **given):
        """Run code and return its `result`."""
        self.start(code, **given)
        return self.finish()

    def fails(self, kind, code, **given):
        """Run code that must raise one of this library's errors, and return the message."""
        with pytest.raises(ClientError) as caught:
            self.run(code, **given)
        assert kind in caught.value.kinds, caught.value
        assert "MnistZooError" in caught.value.kinds
        assert "\n" not in caught.value.message
        return caught.value.message

    def stderr(self):
        """Return what the process has printed to stderr."""
        self.log.seek(0)
        return self.log.read()

    def close(self):
        """End the process."""
        self.stdin.close()
        self.stdout.close()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self.log.close()


@pytest.fixture(scope="session")
def client_of(tmp_path_factory):
    """Start clients of a server. All end with the session."""
    clients = []

    def start(hub, **extra):
        clients.append(Client(hub, tmp_path_factory.mktemp("home"), **extra))
        return clients[-1]

    yield start
    for client in clients:
        client.close()


@pytest.fixture(scope="session")
def files_of(tmp_path_factory):
    """The three files of a model with random weights, by name and seed."""

    def make(name, seed=0):
        folder = tmp_path_factory.mktemp("saved")
        torch.manual_seed(seed)
        mnistzoo.get_model(name).save_pretrained(folder)
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    return make


@pytest.fixture(scope="session")
def lfs_hub():
    """A server that stores weights as LFS objects."""
    with Hub(lfs=True) as hub:
        yield hub


@pytest.fixture(scope="session")
def plain_hub():
    """A server that stores weights like any other file."""
    with Hub(lfs=False) as hub:
        yield hub


@pytest.fixture(scope="session")
def lfs_client(lfs_hub, client_of):
    """A client of `lfs_hub` whose token may write."""
    return client_of(lfs_hub)


@pytest.fixture(scope="session")
def plain_client(plain_hub, client_of):
    """A client of `plain_hub` with default transfers (Xet where installed)."""
    return client_of(plain_hub, HF_HUB_DISABLE_XET="0")


@pytest.fixture(params=["lfs", "plain"])
def pair(request):
    """A server and its client, with LFS and without, reset for each test."""
    hub = request.getfixturevalue(f"{request.param}_hub")
    client = request.getfixturevalue(f"{request.param}_client")
    hub.faults.clear()
    hub.requests.clear()
    return hub, client


@pytest.fixture
def hub(pair):
    """The server of `pair`."""
    return pair[0]


@pytest.fixture
def client(pair):
    """The client of `pair`."""
    return pair[1]
