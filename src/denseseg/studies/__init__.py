"""Studies: one question each, asked with everything above."""
