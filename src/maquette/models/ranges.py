"""Numbers of a configuration that no network can be built from are refused before anything is allocated."""


def check_ranges(config: object, ranges: dict[str, tuple[int | float, int | float]]) -> None:
    """ValueError naming the first field of `config` outside its range, both ends allowed."""
    for name, (low, high) in ranges.items():
        value = getattr(config, name)
        if not low <= value <= high:
            raise ValueError(f"{type(config).__name__}: {name} is {value}; give {low:,g} to {high:,g}")


def check_widths(config: object, widths: tuple[int, ...]) -> None:
    """ValueError unless every hidden layer has a width that can be built."""
    if not all(1 <= width <= 65_536 for width in widths):
        raise ValueError(f"{type(config).__name__}: hidden is {widths}; give widths of 1 to 65,536")
