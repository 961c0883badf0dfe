"""Every function and dataclass of the package checks the shapes and types of its signature, where tests run it.

jaxtyping's import hook decorates them all, which for thousands of functions takes longer than many tests; here the
checks of a function are made when it is first called, and look at its arguments once. What jaxtyping keeps private is
used as the pinned version has it.
"""

import dataclasses
import functools
import inspect
import re
import types
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import beartype
import jaxtyping
from jaxtyping._storage import pop_shape_memo, push_shape_memo

SOURCE = Path(__file__).parents[1] / "src" / "maquette"


def check_types() -> None:
    """From now on, whatever is imported of the package checks its signatures."""
    jaxtyping.jaxtyped = checked  # the hook writes this name above every function and class
    hook = jaxtyping.install_import_hook("maquette", "beartype.beartype").hook
    inside, kernels = hook.should_instrument, kernel_modules()
    hook.should_instrument = lambda name: inside(name) and name not in kernels


def kernel_modules() -> set[str]:
    """Modules of numba's or Triton's kernels: the wrappers are not Python that either can compile."""
    kernels = re.compile(r"^(from|import) (numba|triton)", re.MULTILINE)
    files = [file for file in SOURCE.rglob("*.py") if kernels.search(file.read_text())]
    return {".".join(("maquette", *file.relative_to(SOURCE).with_suffix("").parts)) for file in files}


def checked(typechecker):
    """Stands for `jaxtyping.jaxtyped(typechecker=...)`, which the hook writes next to every function and class."""

    def decorate(target):
        if not isinstance(target, type):
            return checked_when_called(target)
        if dataclasses.is_dataclass(target) and "__init__" in vars(target):
            target.__init__ = checked_when_called(target.__init__)
        return target

    return decorate


def checked_when_called(function: types.FunctionType) -> types.FunctionType:
    """The function, which makes its checks when it is first called; itself if it has no annotations."""
    if not function.__annotations__:
        return function
    if inspect.isgeneratorfunction(function):
        function = begun_by(function)
    parameters = inspect.signature(function).parameters
    defaults = {name: p.default for name, p in parameters.items() if p.default is not inspect.Parameter.empty}
    positional = [name for name, p in parameters.items() if p.kind <= inspect.Parameter.POSITIONAL_OR_KEYWORD]
    check = None

    @functools.wraps(function)
    def call(*args, **kwargs):
        nonlocal check
        if jaxtyping.config.jaxtyping_disable:
            return function(*args, **kwargs)
        if check is None:
            function.__annotations__ = {name: resolved(hint, function) for name, hint in call.__annotations__.items()}
            check = beartype.beartype(function)
        # The memo of named axes begins with the arguments, for shapes like "N {k}".
        push_shape_memo(defaults | dict(zip(positional, args, strict=False)) | kwargs)
        try:
            return check(*args, **kwargs)
        finally:
            pop_shape_memo()

    return call


def begun_by(generator: types.FunctionType) -> types.FunctionType:
    """A plain function that begins the generator: of a generator function, beartype would look at the arguments only
    when the first value is asked for.
    """

    @functools.wraps(generator)
    def begin(*args, **kwargs):
        return generator(*args, **kwargs)

    return begin


@contextmanager
def unchecked() -> Iterator[None]:
    """As users call the package: nothing checks its signatures."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def resolved(hint, function: types.FunctionType):
    """The hint without quotes, or anything where only the type checker imports the name."""

    def of(_: hint): ...

    try:
        return typing.get_type_hints(of, function.__globals__, include_extras=True)["_"]
    except NameError:
        return Any
