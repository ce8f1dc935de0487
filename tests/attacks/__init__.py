"""Every attack of the catalogue, from outside, against a running service."""
