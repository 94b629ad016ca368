"""The demo model's generator, network, exporter and scorer.

Everything the model was trained on comes out of this package; it reads no data set.
"""
