"""How good a prediction is, and how sure that number is. Nothing here knows which method made it."""

from denseseg.evaluation.benchmark import compare_methods, evaluate, evaluate_method, per_case, summarise

__all__ = ["compare_methods", "evaluate", "evaluate_method", "per_case", "summarise"]
