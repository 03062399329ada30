"""What runs inside workspaces: programs that are handed to Pods as text and import nothing of ours."""
