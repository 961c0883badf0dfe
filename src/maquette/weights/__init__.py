"""The network that comes with Maquette, in `multihead/`, and how it was made: `python -m maquette.weights`."""
