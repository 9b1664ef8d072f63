"""The soak: two nodes for half an hour, and whether everything stays flat and on time. ``run`` is where to start."""
