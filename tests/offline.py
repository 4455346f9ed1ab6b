"""Load and run each model with all sockets blocked; `.ci/run` does so with an installed wheel."""

import sys


def refuse(event: str, _: object) -> None:
    """Raise an error on any use of the network."""
    if event in {"socket.connect", "socket.getaddrinfo", "socket.bind", "socket.sendto"}:
        raise RuntimeError(f"the network was used: {event}")


sys.addaudithook(refuse)

import mnistzoo  # noqa: E402 - the hook watches imports too

for name in mnistzoo.list_models():
    model = mnistzoo.get_model(name, pretrained=True)
    images, labels = mnistzoo.mnist(train=False)
    predicted = model((images[:100].unsqueeze(1) / 255 - 0.1307) / 0.3081).argmax(1)
    assert (predicted == labels[:100]).sum() >= 95, name
    print(name, mnistzoo.__file__, "offline")
