"""The plugs: one file for each thing outside. Only the bootstrap may know them."""
