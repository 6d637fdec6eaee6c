"""The DINO loss, centre and teacher against plain loops."""

import copy
import math
import weakref

import pytest
import torch
import torch.nn.functional as F

from swath.augment.views import Views
from swath.models.vit import VisionTransformer, shape_of
from swath.pretraining.dino import Dino, dino_loss, dino_targets, wanted_by_size
from swath.pretraining.schedule import StepValues


def looped_loss(student, teacher, centre, teacher_temp):
    """Equation 1 of the paper as main_dino.py walks it: teacher views outside, other student views inside."""
    tiles = teacher.shape[0] // 2
    student_views = (student / 0.1).split(tiles)
    teacher_views = F.softmax((teacher - centre) / teacher_temp, dim=-1).split(tiles)
    total, pairs = 0.0, 0
    for i, q in enumerate(teacher_views):
        for v, s in enumerate(student_views):
            if v == i:
                continue
            total += torch.sum(-q * F.log_softmax(s, dim=-1), dim=-1).mean()
            pairs += 1
    return total / pairs


def whole_loss(student, teacher, centre, teacher_temp):
    """The addends of `Dino.learn` together, and the means."""
    targets, means = dino_targets(teacher, centre, teacher_temp=teacher_temp)
    pairs = 2 * (len(student) // targets.shape[1] - 1)
    groups = student[: len(teacher)], student[len(teacher) :]
    addends = [
        dino_loss(out, wanted, pairs=pairs)
        for out, wanted in zip(groups, wanted_by_size(targets), strict=True)
        if len(out)
    ]
    return torch.stack(addends).sum(), means


@pytest.mark.parametrize("views", [2, 4, 10])
def test_the_loss_equals_plain_loops(views):
    generator = torch.Generator().manual_seed(views)
    student = torch.randn(views * 5, 32, generator=generator, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(10, 32, generator=generator, dtype=torch.float64)
    centre = torch.randn(1, 32, generator=generator, dtype=torch.float64) * 0.1
    ours, _ = whole_loss(student, teacher, centre, 0.04)
    theirs = looped_loss(student, teacher, centre, 0.04)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)
    (ours_gradient,) = torch.autograd.grad(ours, student)
    (their_gradient,) = torch.autograd.grad(theirs, student)
    torch.testing.assert_close(ours_gradient, their_gradient, rtol=1e-10, atol=1e-14)


def test_the_loss_is_entropy_plus_divergence_and_ln_k_for_a_silent_student():
    teacher = torch.randn(8, 64, generator=torch.Generator().manual_seed(0))
    silent = torch.zeros(16, 64)
    loss, parts = whole_loss(silent, teacher, torch.zeros(1, 64), 0.04)
    assert loss.item() == pytest.approx(math.log(64), rel=1e-5)
    q = F.softmax(teacher / 0.04, dim=-1)
    entropy = -(q * q.clamp_min(1e-30).log()).sum(-1).mean()
    assert parts["entropy"].item() == pytest.approx(entropy.item(), rel=1e-4)
    torch.testing.assert_close(parts["target"], q.mean(0))


def test_prototypes_counts_how_many_are_in_use(a_method):
    one = torch.zeros(8, 16)
    one[:, 3] = 10.0
    each = torch.eye(16) * 10
    for teacher, in_use in ((one, 1.0), (each, 16.0)):
        student = torch.zeros(2 * len(teacher), 16)
        loss, means = whole_loss(student, teacher, torch.zeros(1, 16), 0.04)
        measured = a_method.measures(loss, means)
        assert measured["prototypes"].item() == pytest.approx(in_use, rel=1e-3)


@pytest.fixture
def a_method(a_recipe) -> Dino:
    generator = torch.Generator().manual_seed(0)
    backbone = VisionTransformer(shape_of("vit_micro", 8, in_channels=3, image_px=16), generator=generator)
    return Dino(backbone, a_recipe(), generator=generator)


def test_commit_moves_teacher_and_centre_as_written_in_the_paper(a_recipe):
    generator = torch.Generator().manual_seed(0)
    backbone = VisionTransformer(shape_of("vit_micro", 8, in_channels=3, image_px=16), generator=generator)
    method = Dino(backbone, a_recipe(), generator=generator)
    views = Views(
        torch.randn(8, 3, 16, 16, generator=generator), torch.randn(8, 3, 8, 8, generator=generator)
    )
    values = StepValues(
        step=0, lr=0, weight_decay=0, momentum=0.75, teacher_temp=0.04, last_layer_frozen=False
    )
    outcome = method.learn(views, values, None, torch.autograd.backward)
    assert torch.equal(method.centre, torch.zeros(1, 32)), "learning alone changes nothing"
    teacher_out = method.teacher.head(method.teacher.backbone(views.globals_))
    before = copy.deepcopy(method.teacher)
    with torch.no_grad():
        for parameter in method.student.parameters():
            parameter.add_(0.5)
    method.commit(outcome.means, values)
    torch.testing.assert_close(method.centre, 0.1 * teacher_out.mean(0, keepdim=True))
    for old, new, student in zip(
        before.parameters(), method.teacher.parameters(), method.student.parameters(), strict=True
    ):
        torch.testing.assert_close(new, 0.75 * old + 0.25 * student)
    assert not any(p.requires_grad for p in method.teacher.parameters())


class Saved:
    """What autograd keeps for a backward pass; counted while it is kept."""

    def __init__(self, tensor):
        self.tensor = tensor


def test_what_one_addend_holds_is_free_before_the_next_is_made(a_method):
    """Peak memory is that of the larger group of views, not of both together."""
    views = Views(torch.randn(8, 3, 16, 16), torch.randn(16, 3, 8, 8))
    values = StepValues(
        step=0, lr=0, weight_decay=0, momentum=0.75, teacher_temp=0.04, last_layer_frozen=False
    )
    held, at_addend = weakref.WeakSet(), []

    def save(tensor):
        saved = Saved(tensor)
        held.add(saved)
        return saved

    def take_back(loss):
        at_addend.append(len(held))
        torch.autograd.backward(loss)

    with torch.autograd.graph.saved_tensors_hooks(save, lambda saved: saved.tensor):
        a_method.learn(views, values, None, take_back)
    of_globals, of_locals = at_addend
    # Each group of views goes through the same operations, so neither holds what the other needs.
    assert of_globals == pytest.approx(of_locals, abs=4), "tensors held when each addend is taken back"
