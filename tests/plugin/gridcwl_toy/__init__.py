"""A backend and a store for gridcwl, as another distribution brings them."""
