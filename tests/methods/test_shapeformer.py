"""ShapeFormer: start shapes, what it learns, and an ImageNet backbone where there is one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from denseseg.anatomy import CHEST, Anatomy, Kind, Structure
from denseseg.augment import NO_AUGMENTATION
from denseseg.batch import Batch
from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet
from denseseg.errors import DataError
from denseseg.methods import create, load_method, save_method
from denseseg.methods.method import validation_error
from denseseg.networks.shapeformer import DilatedResNet
from denseseg.phantom import chest_phantom, wrist_phantom
from denseseg.training.settings import Adam, Drops, Run, Steps, TrainingSettings

SIZE = (64, 64)
QUIET = Run(progress=False)
SHORT = TrainingSettings(length=Steps(3), batch_size=2)


@pytest.fixture(scope="module")
def cases() -> CaseSet:
    return chest_phantom(6, SIZE, seed=1)


def tiny(cases: CaseSet, **changes):
    torch.manual_seed(0)
    plain = {"channels": (8, 16), "training": SHORT, "test_time_views": 1, "shape_prior": 0.0}
    method = create("shapeformer", cases.anatomy, cases[0].size, **(plain | changes))
    method.prepare(cases)
    return method


def test_at_full_size_it_has_so_many_weights():
    """The backbone's 787,648 and the transformer's; neither depends on the size of the image."""
    linear, norm = 64 * 64 + 64, 2 * 64
    attention = 3 * linear + (2 * 64 + 64) + linear + (64 * 8 + 8) + (8 * 8 + 8)  # eight features share a weight
    blocks = 3 * (attention + 2 * (linear + norm))
    transformer = (66 * 64 + 64) + 166 * 64 + blocks + (64 * 2 + 2)
    assert create("shapeformer", CHEST, SIZE).parameters == 787_648 + transformer == 880_690


def test_start_shapes_are_training_shapes_drawn_with_the_seed(cases):
    method = tiny(cases)
    batch = Batch.of(cases)
    draws = [method.inputs(batch, torch.Generator().manual_seed(seed))[1] for seed in (0, 0, 1)]
    assert draws[0].shape == (6, 1, 166, 2)
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    shapes = torch.as_tensor(cases.landmarks, dtype=torch.float32)
    assert all((start == shapes).all((1, 2)).any() for start in draws[0][:, 0])


def test_a_new_network_leaves_each_start_where_it_is_and_predicts_their_mean(cases):
    method = tiny(cases, start_shapes=3, through_mean=False)
    images = Batch.of(cases).images
    assert torch.equal(method.moved(images, method.start_shapes), method.start_shapes.expand(6, -1, -1, -1))
    mean = method.start_shapes.double().mean(0).numpy()
    assert all(np.allclose(p.landmarks, mean) for p in method.predict(images))
    assert tiny(cases, start_shapes=99).start_shapes.shape == (6, 166, 2)  # all there are


def test_through_the_mean_a_new_network_predicts_the_mean_shape(cases, tmp_path):
    method = tiny(cases)
    method.network = method.build().eval()
    for learner in (method, load_method(save_method(method, tmp_path / "weights.safetensors"))):
        np.testing.assert_allclose(learner.predict_cases(cases)[0].landmarks, cases.landmarks.mean(0), rtol=1e-5)


def test_features_are_read_where_the_start_shape_lies(cases):
    """A start shape that lies where the image was changed moves elsewhere, one far from it does not: features are local."""
    torch.manual_seed(0)
    size = (256, 256)
    method = tiny(cases.resized(size))
    for parameter in method.network.transformer.last.parameters():
        torch.nn.init.normal_(parameter)
    image = torch.rand(1, 1, *size)
    changed = image.clone()
    changed[..., :30, :30] = 1 - changed[..., :30, :30]
    near, far = (torch.full((1, 166, 2), value) + torch.rand(1, 166, 2) for value in (20.0, 230.0))
    method.normalise = lambda images: images  # the mean of an image is not local
    moves = [(method.moved(one, start) - method.moved(other, start)).abs().max()
             for start in (near, far) for one, other in [(image, changed)]]  # fmt: skip
    assert moves[0] > 1e-2
    assert moves[1] < 1e-4


def test_missing_landmarks_make_no_start_and_no_loss_nan():
    """Wrists, some of which lack bones or are cut by the border."""
    wrists = wrist_phantom(12, (96, 56), seed=2)
    assert np.isnan(wrists.landmarks).any()
    method = tiny(wrists)
    assert torch.isfinite(method.starts).all()
    present = np.isfinite(wrists.landmarks)
    np.testing.assert_allclose(method.starts.numpy()[present], wrists.landmarks[present], rtol=1e-5)
    batch = Batch.of(wrists)
    targets = method.targets(batch)
    inputs = method.inputs(batch, torch.Generator())
    method.network.through_mean = False  # so that the loss is known: the start shapes stay where they are
    loss = method.losses(method.network(*inputs), targets)["distance"]
    known = torch.isfinite(batch.landmarks)
    expected = 100 / 96 * (inputs[1][:, 0] - batch.landmarks)[known].abs().mean()
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in method.network.parameters() if p.grad is not None)
    assert np.isfinite(method.predict(batch.images)[0].landmarks).all()


def test_any_kind_of_structure_will_do():
    odd = Anatomy("odd", (Structure("crease", 3, "c", Kind.CURVE), Structure("spot", 1, "p", Kind.POINTS)))
    rng = np.random.default_rng(0)
    cases = CaseSet("odd", odd, [Case(f"o{i}", rng.random((24, 30)), rng.uniform(2, 22, (4, 2)), odd) for i in range(4)])
    method = create("shapeformer", odd, (24, 30), channels=(4, 8), training=SHORT)
    assert np.isfinite(method.fit(cases, None, QUIET)["loss"]).all()
    assert method.predict_cases(cases)[0].landmarks.shape == (4, 2)


def test_weights_files_hold_the_start_shapes(cases, tmp_path):
    method = tiny(cases, start_shapes=2)
    loaded = load_method(save_method(method, tmp_path / "weights.safetensors"))
    assert torch.equal(loaded.start_shapes, method.start_shapes)
    fresh = create("shapeformer", CHEST, SIZE, channels=(8, 16))
    with pytest.raises(DataError, match="has no start shapes yet; train it or load its weights"):
        fresh.predict(Batch.of(cases).images)


# ---- an ImageNet backbone -------------------------------------------------------------------------------------------


def weights_of_a_resnet18() -> dict[str, torch.Tensor]:
    """What torchvision's file holds, at random: three colours, and stages that are cut off here."""
    torch.manual_seed(5)
    own = {name: value for name, value in DilatedResNet().state_dict().items() if not name.startswith("dilated")}
    random = {name: torch.randn(value.shape) if value.is_floating_point() else value for name, value in own.items()}
    return random | {
        "conv1.weight": torch.randn(64, 3, 7, 7),
        "layer4.0.conv1.weight": torch.zeros(1),
        "fc.bias": torch.zeros(1000),
    }


def test_training_begins_with_the_backbone_that_the_user_has(cases, tmp_path):
    given = weights_of_a_resnet18()
    path = tmp_path / "resnet18.safetensors"
    save_file(given, path)
    still = TrainingSettings(length=Steps(1), batch_size=2, optimiser=Adam(1e-12), schedule=Drops())
    method = create("shapeformer", CHEST, SIZE, backbone=str(path), training=still)
    method.fit(cases, None, QUIET)
    found = method.network.backbone.state_dict()
    torch.testing.assert_close(found["layer2.0.downsample.0.weight"], given["layer2.0.downsample.0.weight"])
    grey = torch.rand(1, 1, 32, 32)
    colours = torch.nn.functional.conv2d(grey.expand(-1, 3, -1, -1), given["conv1.weight"], stride=2, padding=3)
    torch.testing.assert_close(method.network.backbone.conv1(grey), colours, atol=1e-3, rtol=1e-3)
    saved = save_method(method, tmp_path / "weights.safetensors")
    path.unlink()
    load_method(saved)  # complete without the file


@pytest.mark.parametrize(
    ("content", "changes", "message"),
    [
        (None, {}, "is missing; correct the option backbone"),
        (b"\x80\x02}q\x00.", {}, "is no safetensors file .*write the weights with safetensors.torch.save_file"),
        ({"conv1.weight": torch.zeros(64, 3, 7, 7)}, {}, "lacks bn1.bias; give the weights of a ResNet18"),
        (weights_of_a_resnet18(), {"channels": (8, 16)}, r"does not fit .*channels \(64, 128\)"),
    ],
)
def test_a_wrong_backbone_is_told_in_one_line(content, changes, message, cases, tmp_path):
    path = tmp_path / "resnet18.safetensors"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        save_file(content, path)
    method = create("shapeformer", CHEST, SIZE, backbone=str(path), training=SHORT, **changes)
    with pytest.raises(DataError, match=message) as caught:
        method.fit(cases, None, QUIET)
    assert "\n" not in str(caught.value)


# ---- it learns ------------------------------------------------------------------------------------------------------


def test_four_phantoms_are_learned_to_below_a_pixel():
    """From each of the start shapes; the floor is 0, since what it answers is not bound to a grid."""
    cases = chest_phantom(4, SIZE, seed=1)
    training = TrainingSettings(length=Steps(120), batch_size=4, optimiser=Adam(3e-3), augmentation=NO_AUGMENTATION)
    method = tiny(cases, channels=(16, 32), blocks=1, neighbours=8, training=training)
    method.fit(cases, None, QUIET)
    ends = method.moved(Batch.of(cases).images, method.start_shapes)
    error = np.linalg.norm(ends.numpy() - cases.landmarks[:, None], axis=-1).mean(-1)
    assert error.shape == (4, 4)
    assert (error < 1.0).all()
    assert validation_error(method, cases) < 0.7
