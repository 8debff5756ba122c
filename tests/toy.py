"""One small case whose uv map is known in closed form, for the pictures and the explorer."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch

from denseseg.anatomy import Anatomy, Structure
from denseseg.cases.case import Case
from denseseg.geometry.template import Template
from denseseg.geometry.uvmap import uv_maps
from denseseg.prediction import Prediction

SIZE = (72, 60)
TOY = Anatomy("toy", (Structure("disc", 16, "round"), Structure("bar", 12, "long")))
TURN = np.array([[0.95, -0.2], [0.2, 0.95]]) * 0.9
SHIFT = np.array([9.0, -1.0])


def toy_template() -> Template:
    angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    disc = np.stack([30 + 18 * np.cos(angle), 30 + 20 * np.sin(angle)], -1)
    top, side = np.linspace(12, 48, 5), np.array([58.0, 61.0])
    bar = [(x, 56) for x in top] + [(48, y) for y in side[:1]] + [(x, 62) for x in top[::-1]] + [(12, side[0])]
    return Template(TOY, np.concatenate([disc, np.array(bar, float)]), SIZE)


def toy_case() -> SimpleNamespace:
    """A case whose landmarks are a known affine image of the template's, its map, and a prediction one pixel off."""
    template = toy_template()
    landmarks = template.points @ TURN.T + SHIFT
    maps = uv_maps(torch.as_tensor(landmarks[None], dtype=torch.float32), template, SIZE)
    image = np.random.default_rng(0).uniform(0, 1, SIZE).astype(np.float32)
    uv, valid = maps.uv[0].numpy(), maps.valid[0].numpy()
    case = Case("toy-1", image, landmarks, TOY, masks=valid, spacing=0.5)
    covariance = np.tile(np.array([[2.0, 0.5], [0.5, 1.0]]), (len(landmarks), 1, 1))
    prediction = Prediction(TOY, landmarks + 1, valid, uv=uv, covariance=covariance)
    return SimpleNamespace(template=template, case=case, uv=uv, valid=valid, prediction=prediction)
