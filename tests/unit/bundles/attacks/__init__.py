"""Every attack on a bundle, on the real importer, through the real operation."""
