"""gridcwl beside cwltool on generated documents."""
