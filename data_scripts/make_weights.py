"""Train the networks that come with the package, on randomised phantoms alone.

python data_scripts/make_weights.py chest OUT.safetensors
python data_scripts/make_weights.py chest OUT.safetensors --phantoms 16 --steps 2

The first makes what `denseseg.weights` holds: half an hour to an hour on one processor core, as the cards say. Stopped, it goes on
where it was; its state lies in --run. The same command with the same seed on the same kind of processor gives the same bytes.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from denseseg.anatomy import get_anatomy
from denseseg.augment import Augmentation
from denseseg.errors import exit_status
from denseseg.geometry.frame import Size
from denseseg.methods import create, get_recipe, save_method
from denseseg.phantom import PHANTOMS, RANDOMISED
from denseseg.training.settings import Run, Steps

# Phantoms differ already in pose and looks, but are drawn once: each is changed again, a little, whenever it is seen.
AUGMENTATION = Augmentation(rotation=12, translation=0.08, scale=0.2, elastic=0.02, gamma=0.2, contrast=0.2, noise=0.02)


@dataclass(frozen=True)
class Plan:
    """What one network is trained on, at full size."""

    size: Size
    channels: tuple[int, ...]
    phantoms: int
    steps: int
    validation: int = 100
    batch_size: int = 8


PLANS = {
    "chest": Plan((128, 128), (16, 32, 64, 128, 256), phantoms=4000, steps=5000),
    "wrist": Plan((192, 112), (16, 32, 64, 128, 256), phantoms=4000, steps=4000),
}


def make(anatomy: str, path: Path, run: Path | None = None, seed: int = 0, phantoms: int = 0, steps: int = 0) -> Path:
    """Draw, train and write the weights in half precision; 0 phantoms or steps: as many as the plan says."""
    plan = PLANS[anatomy]
    count, steps = phantoms or plan.phantoms, steps or plan.steps
    print(f"drawing {count} phantoms of {plan.size[0]} x {plan.size[1]} pixels", flush=True)
    draw = PHANTOMS[anatomy]
    train = draw(count, plan.size, seed, **RANDOMISED[anatomy])
    validation = draw(min(count, plan.validation), plan.size, seed + 1, **RANDOMISED[anatomy])
    recipe = get_recipe("denseseg", "default")
    settings = recipe.training.changed(
        length=Steps(steps), batch_size=plan.batch_size, augmentation=AUGMENTATION, ema_decay=0.998, validate_every=1
    )
    method = create("denseseg", get_anatomy(anatomy), plan.size, recipe, channels=plan.channels, training=settings)
    method.fit(train, validation, Run(seed=seed, folder=run))
    return save_method(method, path, half=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("anatomy", choices=sorted(PLANS))
    parser.add_argument("out", type=Path, help="the weights file to write")
    parser.add_argument("--run", type=Path, help="folder of the training's state (default: beside the weights)")
    parser.add_argument("--seed", type=int, default=0, help="of phantoms and training (default 0)")
    parser.add_argument("--phantoms", type=int, default=0, help="draw so many instead of the plan's")
    parser.add_argument("--steps", type=int, default=0, help="train so many instead of the plan's")
    given = parser.parse_args(arguments)
    if min(given.seed, given.phantoms, given.steps) < 0:
        parser.error("seed, phantoms and steps are numbers from 0 up")
    if given.out.suffix != ".safetensors":
        parser.error(f"{given.out} is to be a weights file; let its name end in .safetensors")
    run = given.run or given.out.with_suffix("")

    def work() -> None:
        path = make(given.anatomy, given.out, run, given.seed, given.phantoms, given.steps)
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")

    return exit_status(work)


if __name__ == "__main__":
    sys.exit(main())
