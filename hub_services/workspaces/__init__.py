"""
The workspaces service: workspaces with their states, histories and what is done to them, for programs.

`office` answers, by the methods that the hub's pages ask, too (`eugospawner.lives`, `eugospawner.showing`);
starting and stopping is the hub's, asked for with the caller's own token. `ending` destroys what was terminated.
"""
