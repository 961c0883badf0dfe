"""Ragged clouds: a disjoint union of S clouds and the S + 1 offsets, `splits`, at which they begin and end."""

import torch
from torch import Tensor


def check_splits(function: str, name: str, splits: Tensor, total: int, counted: str) -> None:
    """An error unless `splits` cuts `total` items: int64, from 0 to `total`, nowhere decreasing."""
    if splits.ndim != 1 or len(splits) == 0 or splits.dtype != torch.int64:
        raise ValueError(
            f"{function}: {name} is {splits.dtype} of shape {tuple(splits.shape)}; give the offsets as int64 'S+1'"
        )
    offsets = splits.tolist()
    if offsets[0] != 0 or offsets[-1] != total or sorted(offsets) != offsets:
        raise ValueError(
            f"{function}: {name} runs {_told(offsets)}; it must rise from 0 to the number of {counted}, {total}"
        )


def check_as_many(function: str, query_splits: Tensor, point_splits: Tensor) -> None:
    """An error unless there are as many clouds of queries as of points."""
    if len(query_splits) != len(point_splits):
        raise ValueError(
            f"{function}: {len(query_splits) - 1} clouds of queries and {len(point_splits) - 1} of points; "
            "give as many of each"
        )


def equal_splits(count: int, size: int) -> Tensor:
    """The offsets of `count` clouds of `size` points each; on the CPU."""
    return torch.arange(count + 1) * size


def _told(offsets: list[int]) -> str:
    return ", ".join(map(str, offsets if len(offsets) <= 8 else [*offsets[:4], "…", *offsets[-3:]]))
