"""What makes notebooks a book: profiles, checks, records, the runner, the stage and the learner edition."""

from denseseg.course.checks import CheckFailed, check, check_close

__all__ = ["CheckFailed", "check", "check_close"]
