"""The checks that every other test relies on: a wrong shape or type in a signature is an error."""

from collections.abc import Iterator

import pytest
import torch
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import Float
from torch import Tensor

from checked import checked_when_called, unchecked
from maquette.shapes import PointCloud, estimate_normals


@checked_when_called
def rows_of(a: Float[Tensor, "A 3"], b: Float[Tensor, "B 3"], lie: bool = False) -> Float[Tensor, "A B"]:
    return torch.zeros(len(b), len(a)) if lie else torch.zeros(len(a), len(b))


def test_shapes_that_agree_pass_call_after_call():
    for count in (2, 5):
        assert rows_of(torch.zeros(count, 3), torch.zeros(4, 3)).shape == (count, 4)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param((torch.zeros(2, 4), torch.zeros(4, 3)), id="a wrong axis"),
        pytest.param((torch.zeros(2, 3, dtype=torch.long), torch.zeros(4, 3)), id="a wrong dtype"),
        pytest.param((torch.zeros(2, 3), [[0.0, 0.0, 0.0]]), id="a wrong type"),
        pytest.param((torch.zeros(2, 3), torch.zeros(4, 3), True), id="a wrong result"),
    ],
)
def test_what_disagrees_with_the_signature_is_an_error(arguments):
    with pytest.raises(BeartypeCallHintViolation):
        rows_of(*arguments)


def test_the_package_is_checked():
    with pytest.raises(BeartypeCallHintViolation):
        PointCloud(torch.zeros(3, 2))
    with pytest.raises(BeartypeCallHintViolation):
        estimate_normals(PointCloud(torch.zeros(9, 3)), "seven")


def test_checks_can_be_left_out():
    with unchecked():
        assert rows_of(torch.zeros(2, 4), torch.zeros(4, 4)).shape == (2, 4)
        PointCloud(torch.zeros(3, 2))
    with pytest.raises(BeartypeCallHintViolation):
        rows_of(torch.zeros(2, 4), torch.zeros(4, 4))


@checked_when_called
def first_rows(values: Float[Tensor, "N C"], k: int) -> Float[Tensor, "{k} C"]:
    return values[: k if k < 3 else 1]


def test_a_shape_may_name_an_argument():
    assert first_rows(torch.zeros(5, 2), 2).shape == (2, 2)
    with pytest.raises(BeartypeCallHintViolation):
        first_rows(torch.zeros(5, 2), 3)


@checked_when_called
def in_steps(a: Float[Tensor, "N 3"], b: Float[Tensor, "N 3"]) -> Iterator[Tensor]:
    yield a
    yield b


def test_a_generator_is_checked_when_it_is_called_and_by_sizes_of_its_own():
    with pytest.raises(BeartypeCallHintViolation):
        in_steps(torch.zeros(2, 3), torch.zeros(5, 3))

    @checked_when_called
    def longest(points: Float[Tensor, "N 3"]) -> int:
        return max(len(step) for step in in_steps(torch.zeros(5, 3), torch.zeros(5, 3)))

    assert longest(torch.zeros(2, 3)) == 5
