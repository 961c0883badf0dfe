"""What is learned from: data sets on disk, and the commands that make them."""
