"""Numbers of a configuration that no network can be built from are refused before anything is allocated."""


def check_ranges(config: object, ranges: dict[str, tuple[int | float, int | float]]) -> None:
    """ValueError naming the first field of `config` outside its range, both ends allowed."""
    for name, (low, high) in ranges.items():
        value = getattr(config, name)
        if not low <= value <= high:
            raise ValueError(f"{type(config).__name__}: {name} is {value}; give {low:,g} to {high:,g}")
