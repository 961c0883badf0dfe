"""What an encoder makes of pictures: a code each, and the maps it was made from. B pictures, D numbers, C channels."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Features:
    """Of B pictures, squares about the object as `maquette.data.crop` makes them."""

    code: Float[Tensor, "B D"]
    """One vector a picture."""
    maps: tuple[Float[Tensor, "B _ _ _"], ...] = ()
    """(B, C, h, w) over the same square, fine to coarse; none where an encoder has none, as of codes from a file."""

    def __len__(self) -> int:
        return len(self.code)

    def __getitem__(self, chosen: slice) -> "Features":
        """Those of some of the pictures."""
        return Features(self.code[chosen], tuple(features[chosen] for features in self.maps))

    def float(self) -> "Features":
        """In single precision."""
        return Features(self.code.float(), tuple(features.float() for features in self.maps))
