"""The JSON doors, ``/api/v1``: one file for each kind of thing that is asked about."""
