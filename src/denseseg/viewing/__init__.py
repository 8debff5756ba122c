"""Pictures of cases, templates, uv maps, predictions and results; and figures that answer to touch (see `widget`)."""
