"""The connection to a Ray cluster (extra `ray`)."""

from __future__ import annotations

import logging
import socket
from typing import Any

from mnistzoo.errors import ClusterError, InputError, MissingExtraError

CONNECT_SECONDS = 10.0
"""How long a cluster may take to answer; Ray itself tries for minutes, then ends the process."""


def connect(address: str) -> Any:
    """Return the module `ray`, connected to a cluster.

    Args:
        address: "auto" or "HOST:PORT", of a cluster that has this machine as a node.

    Raises:
        MissingExtraError: Ray is not installed.
        InputError: The address has another form.
        ClusterError: There is no cluster at the address.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("A Ray cluster", "ray") from error
    host, _, port = address.rpartition(":")
    if address != "auto" and not (host and "/" not in host and port.isdecimal()):
        raise InputError(f"Expected a cluster's address, auto or HOST:PORT, got {address!r}.")
    try:
        if address != "auto":
            socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, OverflowError, RuntimeError, ValueError) as error:
        raise ClusterError(
            f"There is no Ray cluster at {address} with this machine as a node: "
            f"{str(error).splitlines()[0]}. Start one with `ray start`."
        ) from error
    return ray
