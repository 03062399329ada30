"""
The reaper: removes what nobody answers for any more, and ends what stands in a queue that has closed.

The orphan sweep (`rules` decides, `service` acts): after any crash, Pods, claim templates, volumes, sessions and
the hub's servers agree again. And `closing`: plan windows, and whatever was to end and has not. Source: design §7.
"""
