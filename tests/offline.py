"""Load every network with all sockets blocked; run by `.ci/run` against an installed wheel."""

import sys


def refuse(event: str, _: object) -> None:
    """Raise on any use of the network."""
    if event in {"socket.connect", "socket.getaddrinfo", "socket.bind", "socket.sendto"}:
        raise RuntimeError(f"the network was used: {event}")


sys.addaudithook(refuse)

import mnistzoo  # noqa: E402 - after the hook, so that imports are watched too

for name in mnistzoo.list_models():
    model = mnistzoo.get_model(name, pretrained=True)
    digits = mnistzoo.mnist(train=False)
    answers = model((digits.images[:100].unsqueeze(1) / 255 - 0.1307) / 0.3081).argmax(1)
    assert (answers == digits.labels[:100]).sum() >= 95, name
    print(name, mnistzoo.__file__, "offline")
