"""``gridcwl lint``: what is valid CWL and will cause trouble on a grid or elsewhere."""
