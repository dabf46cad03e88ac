"""A ``gridcwl serve`` from its client's side: what a run needs is uploaded, events are followed, outputs fetched."""
