"""The jobs: export, sweep, compare, mixed precision, doctor.  Each is one readable function; none renders."""
