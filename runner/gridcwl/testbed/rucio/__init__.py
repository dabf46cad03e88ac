"""A real Rucio server with its database, contents and daemons. ``server/`` runs in Rucio's own environment."""
