"""BigEarthNet v1 and v2 (reBEN): names, footprints, labels and files of its patches."""
