"""The network that comes with Maquette, in `trio/`, and how it was made: `python -m maquette.weights`."""
