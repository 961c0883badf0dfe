"""What an encoder makes of pictures, looked at: a map of its codes, and the way from one picture to another."""
