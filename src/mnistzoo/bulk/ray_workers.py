"""Workers that are tasks on a Ray cluster, each on one CPU (extra `ray`).

These are plain tasks rather than Ray Data: rows stay in order, files need no shared disk, and since
only this machine writes rows, a task that ran twice counts once.
"""

from __future__ import annotations

from typing import Any

from mnistzoo.bulk.predictor import File, Predictor
from mnistzoo.bulk.schedule import RETRIES, Task
from mnistzoo.cluster import connect
from mnistzoo.errors import ClusterError


class RayWorkers:
    """Tasks on a Ray cluster. mnistzoo must be installed on every node."""

    def __init__(self, predictor: Predictor, address: str) -> None:
        """Connect to a cluster; errors are those of `mnistzoo.cluster.connect`."""
        self._ray = connect(address)
        self._predictor = self._ray.put(predictor)
        self._remote = self._ray.remote(num_cpus=1, max_retries=RETRIES)(_predict)
        self._running: dict[Any, Task] = {}

    def count(self) -> int:
        """Return the number of CPUs in the cluster, which may grow and shrink."""
        return max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def start(self, task: Task) -> None:
        """Start a task."""
        self._running[self._remote.remote(self._predictor, task.files)] = task

    def wait(self) -> list[Task]:
        """Wait until a task ends; return those that have, without rows if the node was lost."""
        ended, _ = self._ray.wait(list(self._running))
        return [self._fetch(reference) for reference in ended]

    def close(self) -> None:
        """Disconnect; tasks that are running are canceled."""
        self._ray.shutdown()

    def _fetch(self, reference: Any) -> Task:
        task = self._running.pop(reference)
        errors = self._ray.exceptions
        try:
            task.rows = self._ray.get(reference)
        except (errors.RayTaskError, errors.RuntimeEnvSetupError) as error:
            reason = str(error).strip().splitlines()[-1].strip()
            raise ClusterError(
                f"The cluster cannot predict: {reason}. Install the same version of mnistzoo on "
                "every node."
            ) from error
        except errors.RayError:
            pass  # the process or its node was lost
        return task


def _predict(predictor: Predictor, files: list[File]) -> list[str]:
    return predictor.rows(files)
