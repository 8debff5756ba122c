"""The network that trains in the page: its backward pass, its loss terms and its training, against PyTorch's and the package's."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
import torch
from browser import needs_browser
from touch import both_kinds, evaluated, touched

from denseseg.errors import DataError
from denseseg.viewing import loss_mixer
from denseseg.viewing.loss_mixer import TERMS, LossMixer

SIZE = (12, 10)
NAMES = ", ".join(f"{name}: one[{k}]" for k, name in enumerate(TERMS))


def discs(count: int = 5) -> tuple[np.ndarray, dict[str, torch.Tensor], np.ndarray]:
    """Images of a bright disc with its mask, map and landmarks; one landmark lies outside the image."""
    rng, angles = np.random.default_rng(3), np.linspace(0, 2 * np.pi, 7, endpoint=False)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    goal = 0.9 * np.stack([np.cos(angles), np.sin(angles)], -1)
    middle = rng.uniform([4, 5], [6, 7], (count, 2))
    landmarks = middle[:, None] + 3.5 * goal
    landmarks[0, 0] = [11, 5]
    uv = (np.stack([x, y]) - middle[:, :, None, None]) / 3.5
    distance = np.hypot(*uv.transpose(1, 0, 2, 3))
    masks = np.clip(1.5 - distance, 0, 1)[:, None]
    images = masks[:, 0] + 0.1 * rng.normal(size=(count, *SIZE))
    arrays = {"masks": masks, "uv": uv[:, None], "valid": (distance < 1.3)[:, None], "landmarks": landmarks}
    targets = {name: torch.as_tensor(a if a.dtype == bool else a.astype(np.float32)) for name, a in arrays.items()}
    return images, targets, goal


def mixer(epochs: int = 3) -> LossMixer:
    return LossMixer(*discs(), trained=4, epochs=epochs)


@needs_browser
def test_the_backward_pass_against_finite_differences(tmp_path):
    """Every weight of the network, all four terms heard; in so short a step hardly any ReLU or absolute value changes sides."""
    call = f"""(() => {{
      const data = m.unpack({json.dumps(mixer().data)}), one = data.cases[1], parts = [1, 2.5, 0.7, 30];
      const network = new m.Network(data.layers, m.decode(data.weights, Float32Array), data);
      const loss = () => m.judge(network.forward(one.input), one, data, parts).values.reduce((sum, v, k) => sum + v * parts[k], 0);
      loss();
      network.backward(m.judge(network.values.at(-1), one, data, parts).slope);
      const measured = network.weights.map((weight, k) => {{
        const [up, down] = [1e-6, -1e-6].map((h) => {{ network.weights[k] = weight + h; return loss(); }});
        network.weights[k] = weight;
        return (up - down) / 2e-6;
      }});
      return [[...network.gradient], [...measured]];
    }})()"""
    by_hand, measured = map(np.array, evaluated(LossMixer, call, tmp_path))
    assert len(by_hand) == sum(p.numel() for p in loss_mixer.build(0).parameters())
    assert np.abs(by_hand).max() > 0.1 and (by_hand != 0).mean() > 0.7  # taps that only see padding have none
    close = np.isclose(by_hand, measured, rtol=1e-4, atol=1e-6)
    assert close.mean() > 0.995


@needs_browser
def test_loss_terms_and_their_slopes_are_the_packages(tmp_path):
    _, targets, goal = discs()
    outputs = torch.randn(5, 3, *SIZE, generator=torch.Generator().manual_seed(1), requires_grad=True)
    weights = np.eye(4).tolist()
    call = f"""(() => {{ const data = m.unpack({json.dumps(mixer(0).data)});
      return {json.dumps(outputs.flatten(1).tolist())}.map((out, n) => {json.dumps(weights)}.map((parts) => {{
        const {{ values, slope }} = m.judge(out, data.cases[n], data, parts);
        return [values, [...slope]];
      }})); }})()"""
    for n, found in enumerate(evaluated(LossMixer, call, tmp_path)):
        own = {name: values[n : n + 1] for name, values in targets.items()}
        expected = loss_mixer.terms(outputs[n : n + 1], own, torch.as_tensor(goal, dtype=torch.float32))
        for (values, slope), term in zip(found, expected.values(), strict=True):
            assert values == pytest.approx([value.item() for value in expected.values()], rel=1e-4)
            (theirs,) = torch.autograd.grad(term, outputs, retain_graph=True)
            assert np.allclose(slope, theirs[n].flatten(), rtol=1e-3, atol=1e-6)


@needs_browser
@pytest.mark.parametrize("first", [0, 2])
def test_training_in_the_page_is_that_of_pytorch(first, tmp_path):
    """Four epochs from the beginning, and the last two of four after Python's two."""
    whole, begun = mixer(epochs=4), mixer(epochs=first)
    call = f"""(() => {{ const data = m.unpack({json.dumps(begun.data)}), training = new m.Training(data, {json.dumps(first == 0)});
      while (training.epoch < 4) training.advance([1, 2.5, 2.5, 0]);
      return [training.history, [...training.network.weights], [...m.decode({json.dumps(whole.data["weights"])}, Float32Array)]];
    }})()"""
    history, mine, theirs = evaluated(LossMixer, call, tmp_path)
    assert np.allclose(history, whole.history, atol=2e-5)
    assert np.allclose(mine, theirs, atol=1e-4)
    assert history[3][1] < history[0][1]


@needs_browser
@both_kinds
def test_training_by_hand(kind, tmp_path):
    with touched(mixer(), kind, tmp_path, 390, 844) as page:

        def epoch() -> int:
            return int(page.text(".dsw-caption").split()[1].rstrip(","))

        def soon(condition) -> bool:
            until = time.monotonic() + 20
            while not condition() and time.monotonic() < until:
                page.page.evaluate("new Promise((ready) => setTimeout(ready, 50))")
            return condition()

        assert epoch() == 3 and "new 1" in page.text(".dsw-caption")
        trained = page.attribute("path.iso", 0, "d")
        assert page.count("path.curve") == 4 and "no weight" in page.text(".dsw-stage text", 3)
        page.press("input[type=range]", 3, "End")  # all the total variation there is
        assert page.text(".dsw-slider output", 3) == "200" and page.count(".unheard") == 0
        page.click("button")
        assert page.text("button") == "pause" and soon(lambda: epoch() > 12)
        page.drag("input[type=range]", 1, (-30, 0), finger=True)  # turned while it trains
        page.press("input[type=range]", 1, "Home")
        page.click("button")
        assert page.text("button") == "train" and soon(lambda: page.attribute(".dsw-caption", 0, "aria-live") == "polite")
        stopped = epoch()
        page.page.evaluate("new Promise((ready) => setTimeout(ready, 300))")
        assert epoch() == stopped > 12
        assert page.text(".dsw-slider output", 1) == "0.0" and "dense uv" in page.text(".unheard text")
        assert page.attribute("path.iso", 0, "d") != trained
        page.click("[aria-label=case] button", 0)
        assert ", 1: mean" in page.text(".dsw-caption")
        if kind == "live":
            assert len(page.saved("history")) == stopped and page.saved("uv") == 0
            page.write("running", True)
            assert soon(lambda: epoch() > stopped)
            page.write("running", False)
        page.click("button", 1)
        assert epoch() == 0
        rights = [page.page.evaluate(f"document.querySelectorAll('.dsw-stage')[{i}].getBoundingClientRect().right") for i in (0, 1)]
        assert rights[0] < rights[1] < 390  # the two maps side by side on a phone


def test_what_does_not_fit_is_named():
    images, targets, goal = discs()
    with pytest.raises(DataError, match=r"masks \(5, 1, 12, 10\) do not fit images \(4, 12, 10\)"):
        LossMixer(images[:4], targets, goal, 4)
    with pytest.raises(DataError, match="3 training cases of 5; give a multiple of 2"):
        LossMixer(images, targets, goal, 3)
    with pytest.raises(DataError, match="case 5 of 5"):
        mixer(0).case = 5
