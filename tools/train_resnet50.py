"""Pre-train the network of `keras.applications.ResNet50` on folders of labelled photos.

    python tools/train_resnet50.py PHOTOS OUT --plan 32x6,48x6,64x3,96x1 --cooldown 3

PHOTOS is a folder of class folders (`PHOTOS/cat/0001.jpg`) or of zip files that hold
`cat/0001.jpg`.  The program is plain PyTorch (`pip install -r
tools/requirements-train.txt`), runs on a GPU if PyTorch sees one and on a CPU
otherwise, in bfloat16 either way.  Stop it at any time and start it again with the
same command: it goes on from the last checkpoint.  `tools/convert_weights.py` turns
the result into the Keras file that the notebooks load.

The plan says how many passes over the photos are made at which size, small pictures
first: a 32-pixel step costs a fifth of a 64-pixel one and teaches nearly as much
while the network is young ("progressive resizing"; Tan & Le, EfficientNetV2, 2021).
The learning rate warms up, stays constant, and falls to zero over the last
`--cooldown` passes, so a run that was stopped in its constant part can be given a
longer or a shorter plan afterwards (Hägele et al., 2024).
"""

import argparse
import io
import json
import math
import os
import time
import zipfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

CAFFE_MEANS = (103.939, 116.779, 123.68)  # BGR, what Keras's ResNet50 subtracts
STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))  # width, blocks, stride
SHARPNESS = 20.0  # cosines lie between -1 and 1: too near for a softmax
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


# --------------------------------------------------------------------- the network
class ConvNorm(nn.Sequential):
    """A convolution and its batch norm, with Keras's epsilon, then perhaps a ReLU."""

    def __init__(self, inputs, outputs, *, kernel=1, stride=1, relu=True):
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        norm = nn.BatchNorm2d(outputs, eps=1.001e-5)
        super().__init__(conv, norm, *([nn.ReLU(inplace=True)] if relu else []))


class Block(nn.Module):
    """A bottleneck as Keras builds it: the stride sits on the first 1x1."""

    def __init__(self, inputs, width, stride, project):
        super().__init__()
        outputs = 4 * width
        self.c1 = ConvNorm(inputs, width, stride=stride)
        self.c2 = ConvNorm(width, width, kernel=3)
        self.c3 = ConvNorm(width, outputs, relu=False)
        self.p = (
            ConvNorm(inputs, outputs, stride=stride, relu=False) if project else None
        )
        nn.init.zeros_(self.c3[1].weight)  # each block starts as the identity

    def forward(self, x):
        """(n, inputs, h, w) -> (n, 4 * width, h / stride, w / stride)."""
        return F.relu(self.c3(self.c2(self.c1(x))) + (self.p(x) if self.p else x))


class ResNet50(nn.Module):
    """The exact topology of `keras.applications.ResNet50`, with a cosine head.

    A class's score is the cosine between the picture's vector and the class's: what
    the notebooks compare with is what the network learns to be good at (Zhai & Wu,
    Classification is a strong baseline for deep metric learning, 2019).
    """

    def __init__(self, classes):
        super().__init__()
        self.stem = ConvNorm(3, 64, kernel=7, stride=2)
        self.pool = nn.MaxPool2d(3, 2, 1)
        blocks, inputs = [], 64
        for width, count, stride in STAGES:
            for k in range(count):
                blocks.append(Block(inputs, width, 1 if k else stride, k == 0))
                inputs = 4 * width
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(inputs, classes, bias=False)

    def features(self, x):
        """Return what Keras's `pooling="avg"` gives: (n, 2048)."""
        return self.blocks(self.pool(self.stem(x))).mean((2, 3))

    def classify(self, features):
        """Return SHARPNESS times the cosines to each class: (n, classes)."""
        unit = F.normalize(features.float())
        return SHARPNESS * F.linear(unit, F.normalize(self.head.weight))

    def forward(self, x):
        """Pictures, preprocessed, to `classify`'s scores."""
        return self.classify(self.features(x))


def preprocess(x):
    """RGB 0-255 to Keras's "caffe" form: BGR minus the ImageNet means."""
    return x.flip(1) - torch.tensor(CAFFE_MEANS, device=x.device).view(1, 3, 1, 1)


# ------------------------------------------------------------------------ the photos
def read_photos(source, side):
    """Decode every photo once: uint8 (n, side, side, 3), class numbers and names."""
    pixels, names = [], []
    for name, file in iterate_files(Path(source)):
        with Image.open(file) as opened:
            image = opened.convert("RGB")
            if image.size != (side, side):
                image = image.resize((side, side), Image.Resampling.BILINEAR)
            pixels.append(np.asarray(image))
        names.append(name)
    if not pixels:
        raise SystemExit(f"{source}: no pictures in class folders or zip files")
    classes, labels = np.unique(names, return_inverse=True)
    return np.stack(pixels), labels.astype(np.int64), classes.tolist()


def iterate_files(source):
    """Yield (class, file) of each photo in class folders and in zip files of them."""
    for archive in sorted(source.glob("*.zip")):
        with zipfile.ZipFile(archive) as entries:
            for name in sorted(entries.namelist()):
                if Path(name).suffix.lower() in SUFFIXES:
                    yield name.split("/")[0], io.BytesIO(entries.read(name))
    for path in sorted(source.glob("*/*")):
        if path.suffix.lower() in SUFFIXES:
            yield path.parent.name, path


def uniform(x, low, high, *shape):
    """Draw a number for each picture of a batch, or an array of this shape."""
    return torch.empty(len(x), *shape, device=x.device).uniform_(low, high)


def draw_crops(x, least):
    """Draw where to crop: `affine_grid`'s matrices, (n, 2, 3), half of them flipped.

    A crop has from the share `least` of the picture's area on, and a ratio of its
    sides from 3/4 to 4/3.
    """
    area = uniform(x, least, 1)
    ratio = uniform(x, math.log(3 / 4), math.log(4 / 3)).exp()
    width = (area * ratio).sqrt().clamp(max=1)
    height = (area / ratio).sqrt().clamp(max=1)
    crops = torch.zeros(len(x), 2, 3, device=x.device)
    crops[:, 0, 0] = width * torch.where(uniform(x, 0, 1) < 0.5, -1.0, 1.0)
    crops[:, 0, 2] = uniform(x, -1, 1) * (1 - width)
    crops[:, 1, 1], crops[:, 1, 2] = height, uniform(x, -1, 1) * (1 - height)
    return crops


def cut(x, crops, size):
    """Return the crops of a batch as squares of this size."""
    grid = F.affine_grid(crops, (len(x), 3, size, size), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)


def vary_colors(x):
    """Change brightness, contrast and saturation, one draw a picture; RGB 0-255."""
    x = x * uniform(x, 0.7, 1.3, 1, 1, 1)
    mean = x.mean((1, 2, 3), keepdim=True)
    x = (x - mean) * uniform(x, 0.7, 1.3, 1, 1, 1) + mean
    gray = x.mean(1, keepdim=True)
    return ((x - gray) * uniform(x, 0.6, 1.4, 1, 1, 1) + gray).clamp(0, 255)


def augment(x, size):
    """Random crop, flip, brightness, contrast and saturation, one draw a picture."""
    return preprocess(vary_colors(cut(x, draw_crops(x, 0.3), size)))


# ---------------------------------------------------------------------- the training
FIXED = ("batch", "aside")  # a run that goes on must not change them


def check_options(then, now):
    """Refuse to go on with other batches, or with other photos kept aside."""
    for name, value in then.items():
        if getattr(now, name) != value:
            raise SystemExit(
                f"{now.out}: this run was begun with --{name} {value}; received "
                f"{getattr(now, name)}. Go on with that, or begin in another folder."
            )


def parse_plan(text):
    """`32x6,48x1` -> [32, 32, 32, 32, 32, 32, 48]: the size of each pass."""
    sizes = []
    for part in text.split(","):
        size, _, passes = part.partition("x")
        sizes += [int(size)] * int(passes or 1)
    return sizes


def learning_rate(position, passes, options):
    """Trapezoid over `position`, counted in passes."""
    up, down = position / options.warmup, (passes - position) / options.cooldown
    return options.rate * max(0.0, min(up, 1.0, down))


@torch.inference_mode()
def judge(network, pixels, labels, size):
    """Return two shares: photos named rightly, and photos whose nearest is a fellow."""
    network.eval()
    device = next(network.parameters()).device
    features = []
    for k in range(0, len(pixels), 200):
        x = torch.from_numpy(pixels[k : k + 200]).to(device).permute(0, 3, 1, 2)
        x = F.interpolate(x.float(), (size, size), mode="bilinear", antialias=True)
        x = preprocess(x).to(memory_format=torch.channels_last)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            features.append(network.features(x).float())
    features, labels = torch.cat(features), torch.from_numpy(labels).to(device)
    named = network.classify(features).argmax(1) == labels
    unit = F.normalize(features)
    nearest = (unit @ unit.T).fill_diagonal_(-1).argmax(1)
    fellow = labels[nearest] == labels
    return round(named.float().mean().item(), 4), round(fellow.float().mean().item(), 4)


@torch.no_grad()
def follow(average, network, decay):
    """Exponential moving average of the weights; counters are copied."""
    pairs = zip(
        average.state_dict().values(), network.state_dict().values(), strict=True
    )
    for kept, new in pairs:
        if kept.is_floating_point():
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)


def save(path, write):
    """Write beside `path` first: a kill leaves the old file or the new one."""
    temporary = path.with_name(path.name + ".part")
    write(temporary)
    os.replace(temporary, path)


def save_arrays(path, arrays):
    """Write arrays as one .npz."""

    def write(part):
        with open(part, "wb") as file:
            np.savez(file, **arrays)

    save(path, write)


def export(network, folder):
    """Write a network's weights as one .npz of float32 arrays, for the converter."""
    arrays = {k: v.float().cpu().numpy() for k, v in network.state_dict().items()}
    save_arrays(folder / "weights.npz", arrays)


def make_sgd(parameters, rate, decay):
    """Return the optimizer; only matrices decay."""
    parameters = list(parameters)
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True)


def main():
    """Read the options and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos")
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--plan", default="32x6,48x6,64x3,96x1", help="SIZExPASSES, ..."
    )
    parser.add_argument(
        "--cooldown", type=float, default=3, help="passes to anneal over"
    )
    parser.add_argument(
        "--warmup", type=float, default=0.5, help="passes to warm up over"
    )
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=0.2, help="peak learning rate")
    parser.add_argument("--decay", type=float, default=5e-5, help="weight decay")
    parser.add_argument(
        "--aside", type=int, default=2000, help="photos kept for testing"
    )
    parser.add_argument(
        "--side", type=int, default=64, help="photos are stored this large"
    )
    parser.add_argument("--minutes", type=float, default=10, help="between checkpoints")
    train(parser.parse_args())


class Training:
    """A run: the network, its moving average, the optimizer, and how far they are."""

    def __init__(self, options, classes, steps):
        self.options, self.steps = options, steps
        self.sizes = parse_plan(options.plan)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network, self.average = (
            ResNet50(classes).to(self.device, memory_format=torch.channels_last)
            for _ in "ab"
        )
        self.average.load_state_dict(self.network.state_dict())
        parameters = self.network.parameters()
        self.sgd = make_sgd(parameters, options.rate, options.decay)
        self.done, self.spent = 0, 0.0
        self.checkpoint = options.out / "checkpoint.pt"
        if self.checkpoint.exists():
            self.resume()
        self.start = self.saved = time.time()

    def resume(self):
        """Go on from the last checkpoint."""
        state = torch.load(self.checkpoint, map_location=self.device)
        check_options(state["options"], self.options)
        for part in ("network", "average", "sgd"):
            getattr(self, part).load_state_dict(state[part])
        self.done, self.spent = state["done"], state["spent"]
        passes = self.done / self.steps
        print(f"going on after step {self.done} ({passes:.2f} passes)", flush=True)

    def keep(self):
        """Write a checkpoint."""
        parts = ("network", "average", "sgd")
        state = {part: getattr(self, part).state_dict() for part in parts}
        state |= {"done": self.done, "spent": self.seconds()}
        state["options"] = {name: getattr(self.options, name) for name in FIXED}
        save(self.checkpoint, lambda path: torch.save(state, path))
        self.saved = time.time()

    def seconds(self):
        """How long the run took, those before included."""
        return self.spent + time.time() - self.start

    def step(self, pixels, labels, size):
        """Learn from one batch; return (learning rate, loss)."""
        x = torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2).float()
        x = augment(x, size).to(memory_format=torch.channels_last)
        position = (self.done + 1) / self.steps
        rate = learning_rate(position, len(self.sizes), self.options)
        for group in self.sgd.param_groups:
            group["lr"] = rate
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            logits = self.network(x)
        target = torch.from_numpy(labels).to(self.device)
        loss = F.cross_entropy(logits, target, label_smoothing=0.1)
        self.sgd.zero_grad()
        loss.backward()
        self.sgd.step()
        self.done += 1
        if self.done % 4 == 0:  # every fourth step: the average costs memory traffic
            decay = min(0.999, (1 + self.done) / (10 + self.done)) ** 4
            follow(self.average, self.network, decay)
        return rate, loss.item()

    def one_pass(self, pixels, labels, rest):
        """Take the steps that the current pass still lacks; return its record."""
        number, batch = self.done // self.steps, self.options.batch
        size = self.sizes[number]
        permutation = rest[np.random.default_rng(number + 1).permutation(len(rest))]
        self.network.train()
        losses = []
        for step in range(self.done % self.steps, self.steps):
            # sorted: neighbours in memory are read together
            chosen = np.sort(permutation[step * batch : (step + 1) * batch])
            rate, loss = self.step(pixels[chosen], labels[chosen], size)
            losses.append(loss)
            if self.done % 50 == 0:
                print(
                    f"pass {self.done / self.steps:.2f} size {size} rate {rate:.4f} "
                    f"loss {np.mean(losses[-50:]):.3f} {self.seconds():.0f} s",
                    flush=True,
                )
            if time.time() - self.saved > 60 * self.options.minutes:
                self.keep()
        record = {"pass": number + 1, "size": size, "rate": round(rate, 4)}
        return record | {"loss": round(float(np.mean(losses)), 4)}

    def report(self, record, test):
        """Judge on the photos set aside; write log and weights."""
        size = max(record["size"], self.options.side)
        for prefix, network in (("", self.network), ("average_", self.average)):
            named, fellow = judge(network, *test, size)
            record |= {prefix + "accuracy": named, prefix + "nearest": fellow}
        record["average"] = record.pop("average_accuracy")
        record["seconds"] = round(self.seconds())
        self.keep()
        # The average leads while the rate is high, the network itself at the end.
        leads = record["average"] > record["accuracy"]
        export(self.average if leads else self.network, self.options.out)
        with open(self.options.out / "log.jsonl", "a") as log:
            log.write(json.dumps(record) + "\n")
        print("==", json.dumps(record), flush=True)


def train(options):
    """Train, or go on training, as the options say."""
    torch.manual_seed(0)
    options.out.mkdir(parents=True, exist_ok=True)
    pixels, labels, classes = read_photos(options.photos, options.side)
    order = np.random.default_rng(0).permutation(len(pixels))
    if not 2 <= options.aside < len(order):
        raise SystemExit(f"--aside must be from 2 to {len(order) - 1}: {options.aside}")
    aside, rest = order[: options.aside], order[options.aside :]
    run = Training(options, len(classes), len(rest) // options.batch)
    while run.done < len(run.sizes) * run.steps:
        record = run.one_pass(pixels, labels, rest)
        run.report(record, (pixels[aside], labels[aside]))


if __name__ == "__main__":
    main()
