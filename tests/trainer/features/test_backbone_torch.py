"""The network's publisher's own PyTorch code beside our graph; where both are installed."""

from __future__ import annotations

import io

import numpy as np
import pytest

from edge.sources.virtual import Scene, draw
from trainer.errors import DataError
from trainer.features import Features
from trainer.features.backbone import backbone
from trainer.features.weights import load_weights, read_weights

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
theirs = pytest.importorskip(
    "efficientnet_lite_pytorch",
    reason="the network's PyTorch code is not installed: pip install efficientnet-lite-pytorch",
)


@pytest.fixture(scope="module")
def state():
    try:
        content = read_weights("backbone")
    except DataError as missing:
        pytest.skip(str(missing))
    return torch.load(io.BytesIO(content), weights_only=True)


def torch_maps(state, image, blocks):
    """What their network makes of a square picture: float `[channels, rows, columns]`."""
    network = theirs.EfficientNet.from_name("efficientnet-lite0", image_size=len(image))
    network.load_state_dict(state)
    network.eval()
    picture = torch.tensor(image).permute(2, 0, 1)[None]
    inputs = (picture.float() - 127) / 128
    with torch.no_grad():
        if blocks is None:
            return network.extract_features(inputs)[0]
        found = network._swish(network._bn0(network._conv_stem(inputs)))
        for block in network._blocks[:blocks]:
            found = block(found)
        return found[0]


def test_every_array_is_read_as_pytorch_reads_it(state):
    ours = load_weights("backbone")
    assert list(ours) == list(state)
    for name, array in state.items():
        np.testing.assert_array_equal(ours[name], array.numpy(), strict=array.is_floating_point())


@pytest.mark.parametrize("side", [100, 128, 224])
@pytest.mark.parametrize("blocks", [1, 5, 11, 15, None])
def test_features_agree_with_pytorch(state, side, blocks):
    image = draw("palm", Scene.random(3, (side, side)), 0)
    maps = torch_maps(state, image, blocks)
    expected = [torch.nn.functional.adaptive_avg_pool2d(maps, n).flatten() for n in (1, 2)]
    features = Features("backbone", backbone(side, blocks, pool=(1, 2)))(image)
    np.testing.assert_allclose(features, torch.cat(expected).numpy(), atol=2e-5 * maps.abs().max())
