"""How the database's schema has changed, for alembic."""
