"""What every service needs: clock, loop, hub client, health."""
