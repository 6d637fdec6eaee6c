"""A training as tensors and back; that a resumed one goes on bitwise is shown in test_resume."""

import torch

from swath.models.vit import VisionTransformer, shape_of
from swath.pretraining.dino import Dino
from swath.pretraining.optimizer import build_optimizer
from swath.pretraining.state import gather, restore


def test_moments_go_where_the_parameters_are(a_recipe):
    """A checkpoint is read on the CPU; on a GPU its moments would not fit the parameters."""
    recipe = a_recipe()
    generator = torch.Generator().manual_seed(0)
    backbone = VisionTransformer(shape_of("vit_micro", 8, in_channels=3, image_px=16), generator=generator)
    method = Dino(backbone, recipe, generator=generator)
    optimizer = build_optimizer(method.student)
    for parameter in method.student.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    files = gather(method, optimizer)
    saved = files["optimizer"]
    elsewhere = {k: {n: t.to("meta") for n, t in v.items()} for k, v in files.items()} | {"optimizer": saved}
    method.student.to("meta")
    method.teacher.to("meta")
    method.centre = method.centre.to("meta")
    optimizer = build_optimizer(method.student)
    restore(elsewhere, method, optimizer)
    moments = [tensor for state in optimizer.state.values() for tensor in state.values()]
    assert len(moments) == len(saved)
    assert {tensor.device.type for tensor in moments} == {"meta"}
