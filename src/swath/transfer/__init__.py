"""Stage: checkpoint -> features -> probes -> report: what is a pretrained network worth on labelled tiles."""
