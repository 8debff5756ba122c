"""What makes a number trustworthy: profiles, runs, records and where they come from. It works without the book."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "benchmark": ["benchmark", "benchmark_table", "on_equal_terms"],
        "experiment": ["Experiment", "evaluate_method", "is_current", "recipe_of", "run_experiment"],
        "pooling": ["pooled"],
        "profiles": ["PROFILES", "Profile", "get_profile", "load_cases"],
        "published": ["published"],
        "record": ["Record", "Spec", "StudyRecord", "make_record", "study_record"],
        "store": ["read_records", "read_studies", "write_record", "write_study"],
        "tables": ["comparison_table", "results_table", "run_title"],
    },
)
