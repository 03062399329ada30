"""
The reaper: removes what nobody answers for any more.

Today it is the orphan sweep of design §7: after any crash, Pods, claim templates, volumes,
sessions and the hub's servers agree again. `rules` decides, `service` looks and acts.
"""
