"""Networks that the processes of a job load, each with a fault of its own."""

import os
import signal
import time

from tests.collection.painted import FakeEmbedder


class Dying(FakeEmbedder):
    """Its process is killed in the middle, the first times that it embeds."""

    def __init__(self, marks, times):
        super().__init__()
        self.marks, self.times = marks, times

    def embed(self, images, *, batch_size=32):
        number = len(list(self.marks.iterdir()))
        if number < self.times:
            (self.marks / str(number)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().embed(images)


def full_disk():
    """Load a network where no file may grow beyond a kilobyte from now on."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    return FakeEmbedder()


class OnGpu(FakeEmbedder):
    def __init__(self):
        import ray

        super().__init__()
        self.pipeline = f"on GPU {ray.get_gpu_ids()}"


class Slow(FakeEmbedder):
    def embed(self, images, *, batch_size=32):
        time.sleep(1)
        return super().embed(images)


def broken():
    raise ValueError("no such weights")
