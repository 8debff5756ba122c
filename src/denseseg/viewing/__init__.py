"""Pictures of cases, templates, uv maps, predictions and results; and the interactive uv explorer."""
