"""The shipped patterns, a file for each theme, and in `cases/` what each must find and must not find."""
