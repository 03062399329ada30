"""The hub of the sign-in tests, with an organization's Keycloak in place of their fake."""

from pathlib import Path

load_subconfig(str(Path(__file__).parents[1] / "sso" / "hub_config.py"))  # noqa: F821 - the hub's

c = get_config()  # noqa: F821 - the hub's

# Some tests look at the tokens that the hub keeps.
c.JupyterHub.load_roles[0]["scopes"].append("admin:auth_state")

c.EugoAuthenticator.memberships = [
    {"claim": "org", "gives": "organization"},
    {"claim": "groups", "gives": "group", "prefix": "/eugo/"},
    {
        "claim": "realm_access.roles",
        "gives": "role",
        "values": {"eugo-lead": "admin", "eugo-staff": "member"},
    },
    {
        "claim": "resource_access.eugo.roles",
        "gives": "platform-admin",
        "values": {"operator": "platform-admin"},
    },
]
