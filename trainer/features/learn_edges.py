"""Teaches the small network of `edges`, and writes its weights beside this module.

    python -m trainer.features.learn_edges [--hands 10000] [--pictures 100000] [--steps 12000]

Needs PyTorch, which nothing else does, and about half an hour on two cores. Everything it learns
from is drawn: no photograph goes in. It learns where the hand is, which fingers are up, how far the
others are curled, where the fingertips are, which way the hand points, and left from right. What
the network says about all that is then thrown away; what it looks at on the way is the features.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import numpy as np
import torch  # type: ignore[import-not-found,unused-ignore]
from torch import nn
from torch.nn import functional  # type: ignore[import-not-found,unused-ignore]

from trainer.features.clutter import draw_clutter
from trainer.features.drawn_hands import SIDE as DRAWN
from trainer.features.drawn_hands import Truth, compose, draw_hand
from trainer.features.edges import FILE, SIDE, STEPS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Tensor = Any  # PyTorch is not there where types are checked

BATCH = 128
RATE = 4e-3
WALLS = 3000
GRASP = 8
"""Pixels between two places of the second map; the last map's lie twice as far apart."""


class Looker(nn.Module):  # type: ignore[misc,unused-ignore]
    """The network of `edges`, and on top of it what it is asked while it learns."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.ModuleDict()
        for name, step in STEPS.items():
            last = step.kind == "linear"
            convolution = nn.Conv2d(
                step.inputs, step.channels, step.kernel, step.stride, step.pad, bias=last
            )
            norm = nn.Identity() if last else nn.BatchNorm2d(step.channels)
            self.steps[name.replace(".", "_")] = nn.Sequential(convolution, norm)
        self.tips = nn.Conv2d(32, 6, 1)  # fingertips that are up, and the hand's middle
        self.at_hand = _answers(64)
        self.about_hand = _answers(64 * 9 + 32 * 25)
        self.anywhere = _answers(64 * 10)

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Return the place's logits `[n, 36]`, the tips' `[n, 6, 11, 11]`, and three answers."""
        x, near = pictures.float() / 127.5 - 1, pictures
        for name, step in STEPS.items():
            total = self.steps[name.replace(".", "_")](x)
            if step.kind == "linear":
                break
            x = functional.relu(total + x if step.kind == "residual" else total)
            near = x if name == "near.again" else near
        share = functional.softmax(total.flatten(1), 1).view(-1, 1, 6, 6)
        about = [_crop(x, share, 1, 1), _crop(near, share, 2, 2)]
        thirds, most = functional.avg_pool2d(x, 2).flatten(1), x.amax((2, 3))
        return (
            total.flatten(1),
            self.tips(near),
            self.at_hand((x * share).sum((2, 3))),
            self.about_hand(torch.cat(about, 1)),
            self.anywhere(torch.cat([thirds, most], 1)),
        )

    def weights(self) -> dict[str, NDArray[np.float16]]:
        """Return what `edges` needs; norms, and the pixels' scale, go into the filters."""
        arrays = {}
        for name, step in STEPS.items():
            convolution, norm = self.steps[name.replace(".", "_")]
            filters = convolution.weight.detach().numpy().astype(np.float64)
            if step.kind == "linear":
                biases = convolution.bias.detach().numpy()
            else:
                gain = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach().numpy()
                filters *= gain[:, None, None, None]
                biases = norm.bias.detach().numpy() - norm.running_mean.numpy() * gain
            if name == "stem":  # bytes go in: x / 127.5 - 1; the stem pads nothing
                biases = biases - filters.sum((1, 2, 3))
                filters = filters / 127.5
            arrays[f"{name}.filters"] = filters.astype(np.float16)
            arrays[f"{name}.biases"] = biases.astype(np.float16)
        return arrays


def _answers(inputs: int) -> Tensor:
    """Return layers from features to 14 numbers and 33 classes: `_asked` says which."""
    return nn.Sequential(
        nn.Dropout(0.1), nn.Linear(inputs, 128), nn.ReLU(), nn.Linear(128, 14 + 33)
    )


def _crop(x: Tensor, share: Tensor, reach: int, stride: int) -> Tensor:
    """Return the map about the hand, `[n, channels * (2 reach + 1)^2]`."""
    x = functional.pad(x, (reach,) * 4)
    span = 6 * stride - stride + 1
    offsets = [(down, right) for down in range(2 * reach + 1) for right in range(2 * reach + 1)]
    parts = [
        (x[:, :, down : down + span : stride, right : right + span : stride] * share).sum((2, 3))
        for down, right in offsets
    ]
    return torch.stack(parts, 2).flatten(1)


def _asked(truth: Truth) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return, of pictures: if there is a hand, where, fingertips, numbers, and which fingers."""
    seen, pose = torch.from_numpy(truth.seen), torch.from_numpy(truth.pose)
    place, tips = torch.from_numpy(truth.place), torch.from_numpy(truth.tips)
    size = torch.from_numpy(truth.size)
    reach = (torch.exp(size) * 35 * 0.25).clamp(6, 14)
    coarse = torch.arange(6) * (2 * GRASP) + GRASP / 2
    where = _hills(coarse, place.clamp(2, SIDE - 2)[:, None], reach[:, None]).flatten(1)
    fine = (torch.arange(11) + 0.5) * GRASP
    up = _hills(fine, tips, torch.full(tips.shape[:2], 6.0)) * pose[:, :5, None, None]
    middle = _hills(fine, place[:, None], reach[:, None] * 1.2)
    maps = torch.cat([up, middle], 1) * seen[:, None, None, None]
    towards = torch.from_numpy(truth.towards)
    numbers = torch.cat([pose[:, :9], towards, pose[:, 9:] * 2 - 1, size[:, None]], 1)
    fingers = (pose[:, :5] * torch.tensor([1, 2, 4, 8, 16])).sum(1).long()
    fingers[seen == 0] = 32
    return seen, where / where.sum(1, keepdim=True), maps, numbers, fingers


def _hills(grid: Tensor, middles: Tensor, reach: Tensor) -> Tensor:
    """Return round hills, `[n, hills, rows, columns]`, about middles `[n, hills, 2]`."""
    right = (grid - middles[..., :1]) ** 2
    down = (grid - middles[..., 1:]) ** 2
    return torch.exp(-(down[..., None] + right[..., None, :]) / (2 * reach[..., None, None] ** 2))


def _answer_loss(said: Tensor, seen: Tensor, numbers: Tensor, fingers: Tensor) -> Tensor:
    up = functional.binary_cross_entropy_with_logits(
        said[:, :5], numbers[:, :5], reduction="none"
    ).mean(1)
    off = (said[:, 5:14] - numbers[:, 5:]) ** 2
    off = off[:, :4].mean(1) * 2 + off[:, 4:6].mean(1) * 1.5 + off[:, 6:].mean(1)
    which = functional.cross_entropy(said[:, 14:], fingers, label_smoothing=0.05)
    return 1.5 * ((up + off) * seen).mean() + 0.6 * which


def _loss(network: Looker, pictures: Tensor, truth: Truth) -> Tensor:
    seen, where, maps, numbers, fingers = _asked(truth)
    place, tips, *answers = network(pictures)
    placed = (functional.cross_entropy(place, where, reduction="none") * seen).mean()
    tipped = functional.binary_cross_entropy_with_logits(tips, maps, pos_weight=torch.tensor(4.0))
    loss = 0.3 * placed + 3 * tipped
    for weight, said in zip((0.6, 1.2, 0.3), answers, strict=True):
        loss = loss + weight * _answer_loss(said, seen, numbers, fingers)
    return loss


def _shifted(
    pictures: NDArray[np.uint8], truth: Truth, rng: np.random.Generator
) -> tuple[Tensor, Truth]:
    """Cut a square of `SIDE` pixels out of each picture, anywhere."""
    left, top = (int(n) for n in rng.integers(0, DRAWN - SIDE + 1, 2))
    cut = pictures[:, top : top + SIDE, left : left + SIDE]
    corner = np.array([left, top], np.float32)
    moved = truth._replace(place=truth.place - corner, tips=truth.tips - corner)
    return torch.from_numpy(cut).permute(0, 3, 1, 2), moved


def learn(hands: int, pictures: int, steps: int, seed: int = 0) -> Looker:
    """Draw hands, put them in front of clutter, and learn what is true of them."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    walls = [draw_clutter(rng) for _ in range(min(WALLS, pictures))]
    drawn = [draw_hand(rng) for _ in range(hands)]
    print(f"drew {hands} hands")
    shown, truth = compose(rng, walls, drawn, pictures)
    print(f"put them into {pictures} pictures")
    network = Looker()
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, RATE, total_steps=steps + 1, pct_start=0.1
    )
    for step in range(steps):
        rows = rng.integers(0, pictures, BATCH)
        taken = Truth(*(part[rows] for part in truth))
        loss = _loss(network, *_shifted(shown[rows], taken, rng))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimiser.step()
        schedule.step()
        if step % 200 == 0:
            print(f"step {step} of {steps}: loss {loss.item():.3f}", flush=True)
    network.eval()
    return network


def main() -> None:
    """Learn, and write `edges.npz`."""
    parser = argparse.ArgumentParser(description="Teach the small network of `edges`.")
    parser.add_argument("--hands", type=int, default=10000)
    parser.add_argument("--pictures", type=int, default=100000)
    parser.add_argument("--steps", type=int, default=12000)
    given = parser.parse_args()
    network = learn(given.hands, given.pictures, given.steps)
    arrays: dict[str, Any] = {**network.weights()}
    np.savez_compressed(FILE, **arrays)
    print(f"wrote {FILE.name}: {FILE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
