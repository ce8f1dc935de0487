"""The doors: pages, JSON, the console, and the machinery that runs them."""
