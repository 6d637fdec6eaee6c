"""Stage: what people do with a trained network: bundles, predictions, search, and a page to explore."""
