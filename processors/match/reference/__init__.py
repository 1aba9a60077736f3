"""Reference data of a matcher: enrolled people, calibrations, walking times and corrections."""
