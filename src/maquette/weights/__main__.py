"""`python -m maquette.weights`: make the bundled weights again."""

import tyro

from maquette.weights.recipe import Recipe, make_weights

if __name__ == "__main__":
    make_weights(tyro.cli(Recipe))
