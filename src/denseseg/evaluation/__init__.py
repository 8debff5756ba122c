"""How good a prediction is, and how sure that number is. Nothing here knows which method made it."""

from denseseg.evaluation.scores import evaluate, per_landmark
from denseseg.evaluation.sliding import sliding
from denseseg.evaluation.summary import compare_methods, image_specific_errors, per_case, summarise

__all__ = ["compare_methods", "evaluate", "image_specific_errors", "per_case", "per_landmark", "sliding", "summarise"]
