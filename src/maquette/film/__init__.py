"""`maquette render ...`: pictures and films of a shape, one command a file."""
