"""What the numbers of a policy must be, said in one line where they are not."""

from swath.errors import UsageError


def check_share(name: str, value: float) -> None:
    """Raise UsageError unless 0 <= value <= 1."""
    if not 0.0 <= value <= 1.0:
        raise UsageError(f"{name} is {value:g}; it must lie between 0 and 1")


def check_range(name: str, value: tuple[float, float], *, most: float = float("inf")) -> None:
    """Raise UsageError unless value is (low, high) with 0 < low <= high <= most."""
    low, high = value
    if not 0.0 < low <= high <= most:
        bound = "" if most == float("inf") else f" <= {most:g}"
        raise UsageError(f"{name} is ({low:g}, {high:g}); it must be (low, high) with 0 < low <= high{bound}")


def check_pixels(name: str, value: int) -> None:
    """Raise UsageError unless value is at least 1."""
    if value < 1:
        raise UsageError(f"{name} is {value}; a view needs at least 1 pixel a side")
