"""
The culler: ends sessions that are idle, that have run as long as they may, or whose quota is used up.

`rules` decides, `service` looks, writes why, and has the hub stop it. Plan windows are the reaper's.
"""
