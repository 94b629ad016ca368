"""Who may ask what of which model."""
