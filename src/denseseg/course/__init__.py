"""What makes notebooks a book: profiles, checks, records, the runner, the stage and the learner edition."""

from denseseg.course.checks import CheckFailed, check, check_close
from denseseg.experiments.profiles import PROFILES, Profile, get_profile, load_cases

__all__ = ["PROFILES", "CheckFailed", "Profile", "check", "check_close", "get_profile", "load_cases"]
