"""What makes notebooks a book: profiles, checks, records, the runner, the stage and the learner edition."""

from denseseg.course.checks import CheckFailed, check, check_close, hint_on_error
from denseseg.experiments.profiles import PROFILES, Profile, get_profile, load_cases

__all__ = ["PROFILES", "CheckFailed", "Profile", "check", "check_close", "get_profile", "hint_on_error", "load_cases"]
