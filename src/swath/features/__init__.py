"""From the stored pixels of tiles to frozen features: the network, the file of features, heads on them."""
